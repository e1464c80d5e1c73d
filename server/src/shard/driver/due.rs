//! What a shard does by itself when its time has come: timers, sleepers, messages that are said again, retention; and
//! how a virtual clock gets there.

use super::{RELOAD_PAUSE, Shard, runs::ReadError};
use crate::{
    Namespace,
    engine::{Dispatch, Input, SECOND, Time, retention_end},
    matching::QueueKind,
    shard::{
        clock::Clock,
        runs::CachedRun,
        tasks::queue_key,
        timers::{Due, Sleeper},
    },
};

/// How often closed runs are looked through for retention, and how many are deleted in one commit.
pub(super) const CLEANING_PAUSE: i64 = 300 * SECOND;
const CLEANED_AT_ONCE: usize = 200;
/// With a virtual clock: a queue that was polled this recently counts as having a worker.
const WORKER_MEMORY: i64 = 30 * SECOND;

impl Shard {
    pub(in crate::shard) fn fire_timers(&mut self) {
        let now = self.now();
        // A run that is read may be due itself.
        let mut due = Vec::new();
        while let Some(next) = self.timers.pop(now) {
            match next {
                Due::Wake(number) => self.wake(number),
                Due::Read(seq) => {
                    if let Err(ReadError::Store(_)) = self.load(seq) {
                        self.timers.insert(now.after(RELOAD_PAUSE), Due::Read(seq));
                    }
                }
                Due::SayAgain(seq) => self.say_again(seq),
                Due::Fire(seq) => {
                    self.runs.take_due(seq);
                    due.push(seq);
                }
            }
        }
        for seq in due {
            // The input cannot be refused; timers are set again from the run's new state.
            let _ = self.apply(seq, Input::TimersDue);
        }
    }

    fn wake(&mut self, number: u64) {
        let Some(Sleeper { reply, locks }) = self.timers.wake(number) else { return };
        if locks {
            self.shared.clock.lock();
        }
        self.batch.reply(reply, Ok(()));
    }

    /// Deletes closed runs that have outlived their namespace's retention. With a virtual clock they stay: a test that
    /// skips a month for one workflow still wants to see the others.
    pub(super) fn clean(&mut self) {
        let now = self.now();
        if now < self.next_cleaning {
            return;
        }
        self.next_cleaning = now.after(CLEANING_PAUSE);
        self.shared.matching.forget_idle(Clock::real().0);
        if self.shared.clock.is_virtual() {
            return;
        }
        let Ok(namespaces) = self.shared.store.namespaces() else { return };
        for (id, encoded) in namespaces {
            // What cannot be read is not deleted.
            let Ok(namespace) = Namespace::decode(&encoded) else { continue };
            let retention = i64::try_from(namespace.retention.as_nanos()).unwrap_or(i64::MAX);
            let Some(before) = retention_end(now, retention) else { continue };
            let expired = self.shared.store.closed_before(self.index, &id, before.0, CLEANED_AT_ONCE);
            let Ok(expired) = expired else { continue };
            if expired.len() == CLEANED_AT_ONCE {
                self.next_cleaning = now.after(SECOND);
            }
            for seq in expired {
                self.unload(seq);
                self.batch.changes.deletes.push(seq);
            }
        }
    }

    /// When something is due next, cleaning included.
    pub(super) fn next_due(&self) -> Time {
        self.timers.next().map_or(self.next_cleaning, |due| due.min(self.next_cleaning))
    }

    /// With a virtual clock: jumps to what is due next when nothing else can happen before it.
    pub(super) fn skip_time(&mut self) {
        let clock = &self.shared.clock;
        let is_held = !clock.is_virtual() || Clock::real() < self.skip_from;
        if is_held || !self.inbox.is_empty() || !clock.may_skip(self.tasks_under_way()) {
            return;
        }
        if let Some(due) = self.timers.next() {
            clock.skip_to(due);
            self.inbox.wake();
        }
    }

    /// Tasks that a worker has or is about to get, for which a virtual clock must wait. A workflow task counts unless it
    /// is known to lead nowhere; an activity only if somebody serves its queue.
    pub(super) fn tasks_under_way(&self) -> usize {
        let (now, real) = (self.now(), Clock::real().0);
        let of = |seq: i64, slot: &CachedRun| {
            // Whoever is left behind by an earlier test must not keep time from going on in the next.
            if self.leads_nowhere(seq) {
                return 0;
            }
            let namespace_id = &slot.run.key().namespace_id;
            let pending = slot.run.pending_dispatch(now).into_iter().filter(|dispatch| match dispatch {
                Dispatch::WorkflowTask { .. } => true,
                Dispatch::Activity { queue, .. } => {
                    let key = queue_key(namespace_id, queue, QueueKind::Activity);
                    // One that has said goodbye takes nothing, however recently it polled.
                    let matching = &self.shared.matching;
                    matching.has_poller(&key, real, WORKER_MEMORY) && matching.is_served(&key, real)
                }
            });
            slot.outstanding + pending.count()
        };
        self.runs.iter().map(|(seq, slot)| of(seq, slot)).sum()
    }
}

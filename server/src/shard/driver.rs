//! The shard's thread: takes what waits, applies all of it in memory, makes it durable with one commit, and only then
//! answers and dispatches. What arrives during a commit is the next batch; nothing waits on purpose.
//!
//! Here are the loop, the commit, and what happens when something goes wrong. The files below are what a shard does,
//! subject by subject; the values that it does it with (`runs`, `timers`, `batch`, `waiters`) know nothing of it.

mod due;
mod fail_fast;
mod handle;
mod letters;
mod queries;
mod runs;
mod set_aside;
mod start;
mod tasks;
mod updates;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::{
    batch::{Batch, Changes},
    clock::Clock,
    delivery::Offer,
    inbox::Inbox,
    lease::{self, Held, Tenure},
    letters::{Courier, NamespaceIds, Untaken},
    placement::MAX_SHARDS,
    route::Route,
    runs::Runs,
    set_aside::SetAside,
    suspects::Suspects,
    timers::{Due, Timers},
    waiters::{Ending, Waiters},
    work::Work,
};
use crate::{
    ServiceError,
    engine::{SECOND, Time},
    error::panic_message,
    matching::Matching,
    store::{Commit, OpenRun, Store, StoreError},
};
use due::CLEANING_PAUSE;
use runs::ReadError;

/// How long to wait before looking again at runs that could not be read back.
const RELOAD_PAUSE: i64 = SECOND;
/// How soon a jump of the system's clock is noticed.
const CLOCK_CHECK: Duration = Duration::from_secs(5);
/// How many panics that no run is to blame for a shard survives.
const MAX_STRIKES: i32 = 3;

/// What the shards of a process have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub store: Arc<dyn Store>,
    pub clock: Arc<Clock>,
    pub matching: Matching<Offer>,
    pub courier: Arc<dyn Courier>,
    pub route: Arc<dyn Route>,
    pub tenure: Tenure,
    /// Notified when the store is no longer where it was opened.
    pub displaced: Arc<Notify>,
    /// Callers hear why what they wait for can't go on.
    pub fail_fast: bool,
    /// Counts the starts of runs, so that numbers of runs grow with time across shards.
    starts: Arc<AtomicI64>,
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<Clock>,
        matching: Matching<Offer>,
        courier: Arc<dyn Courier>,
        route: Arc<dyn Route>,
        tenure: Tenure,
    ) -> Self {
        let starts = Arc::new(AtomicI64::new(1));
        Self {
            store,
            clock,
            matching,
            courier,
            route,
            tenure,
            displaced: Arc::default(),
            fail_fast: false,
            starts,
        }
    }

    /// Counts on from the runs that are there: whoever had a shard may have started some.
    fn count_on(&self) -> Result<(), StoreError> {
        self.starts.fetch_max(self.store.last_seq()? / MAX_SHARDS + 1, Ordering::Relaxed);
        Ok(())
    }

    /// A number for a run of the shard that starts now.
    fn next_seq(&self, shard: u32) -> i64 {
        self.starts.fetch_add(1, Ordering::Relaxed) * MAX_SHARDS + i64::from(shard)
    }
}

/// Why a shard's thread stopped working on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its inbox was closed.
    Closed,
    /// Another process has its lease.
    Fenced,
}

/// One shard: the only writer of its runs.
pub(super) struct Shard {
    index: u32,
    /// The lease's token; also the incarnation number that tasks are marked with.
    pub(in crate::shard) lease: i64,
    held: Held,
    shared: Shared,
    inbox: Arc<Inbox>,
    /// Last id given to an event.
    task_id: i64,

    pub(super) runs: Runs,
    pub(super) timers: Timers,
    pub(super) batch: Batch,
    waiters: Waiters,
    /// Runs that nobody seems to work for; only looked for where callers are told so.
    suspects: Suspects,
    /// Until this real time a virtual clock stands: an attempt has failed just now, once more.
    skip_from: Time,
    namespace_ids: NamespaceIds,
    untaken: Untaken,
    /// Runs that cannot be read, or whose handling panicked. They touch no other run, and wait for somebody to
    /// terminate them.
    pub(super) set_aside: BTreeMap<i64, SetAside>,

    /// The run that is being worked on: after a panic it is known who was to blame.
    pub(super) at_work: Option<i64>,
    /// What was asked of it last.
    doing: &'static str,
    /// When to look for closed runs beyond their namespace's retention.
    pub(super) next_cleaning: Time,
    /// Set when another process took the lease over: nothing is done any more.
    fenced: Option<ServiceError>,
}

impl Shard {
    /// Takes the lease and finds what is open.
    pub(super) fn open(index: u32, inbox: Arc<Inbox>, shared: Shared) -> Result<Self, StoreError> {
        let held = Held::take(shared.tenure.clone(), &*shared.store, index, shared.clock.now())?;
        let lease = held.token();
        shared.count_on()?;
        let next_cleaning = shared.clock.now().after(CLEANING_PAUSE);
        Ok(Self {
            index,
            lease,
            held,
            shared,
            inbox,
            // Ids grow across restarts because the lease does.
            task_id: lease << 32,
            runs: Runs::default(),
            timers: Timers::default(),
            batch: Batch::default(),
            waiters: Waiters::default(),
            suspects: Suspects::default(),
            skip_from: Time(0),
            namespace_ids: NamespaceIds::default(),
            untaken: Untaken::default(),
            set_aside: BTreeMap::new(),
            at_work: None,
            doing: "nothing",
            next_cleaning,
            fenced: None,
        })
    }

    /// Brings runs with pending tasks into memory and remembers when the others are due.
    pub(super) fn resume(&mut self) -> Result<(), StoreError> {
        let mut runnable = Vec::new();
        let timers = &mut self.timers;
        self.shared.store.open_runs(self.index, &mut |run: OpenRun| {
            if run.runnable {
                runnable.push(run.seq);
            } else if let Some(due) = run.next_due {
                timers.insert(Time(due), Due::Read(run.seq));
            }
            ControlFlow::Continue(())
        })?;
        for seq in runnable {
            match self.load(seq) {
                // One run that cannot be read stops no other.
                Ok(()) | Err(ReadError::SetAside(_)) => {}
                Err(ReadError::Store(error)) => return Err(error),
            }
        }
        self.finish_batch();
        Ok(())
    }

    /// [`Shard::work`], panics notwithstanding: what a panic left in memory is thrown away, what is stored is read back,
    /// and the run that was being worked on is set aside. `failed` learns when that does not help.
    pub(super) fn work_on(mut self, failed: &watch::Sender<Option<String>>) -> Ended {
        let mut reopened = false;
        let mut strikes = 0;
        loop {
            let ended = catch_unwind(AssertUnwindSafe(|| {
                if reopened {
                    self.resume()?;
                }
                Ok::<_, StoreError>(self.work())
            }));
            let problem = match ended {
                Ok(Ok(ended)) => return ended,
                Ok(Err(error)) => return self.give_up(failed, &error.to_string()),
                Err(panic) => panic_message(&*panic),
            };
            // Without anybody to blame it may be the shard's own books: they are made anew, but not for ever.
            strikes += i32::from(self.at_work.is_none());
            if strikes > MAX_STRIKES {
                return self.give_up(failed, &problem);
            }
            match self.begin_anew(&problem) {
                Ok(shard) => self = shard,
                Err(StoreError::Held { lease, .. }) => {
                    self.shared.route.is_at(self.index, *lease);
                    return Ended::Fenced;
                }
                Err(error) => return self.give_up(failed, &error.to_string()),
            }
            reopened = true;
        }
    }

    fn begin_anew(&mut self, problem: &str) -> Result<Self, StoreError> {
        tracing::error!(
            shard = self.index,
            problem,
            doing = self.doing,
            "the shard panicked; it reads its runs back and goes on"
        );
        let blamed = self.at_work.and_then(|seq| Some((seq, self.runs.get(seq)?.run.key().clone())));
        let mut shard = Self::open(self.index, self.inbox.clone(), self.shared.clone())?;
        shard.set_aside = std::mem::take(&mut self.set_aside);
        // What runs were asked went with them.
        self.waiters.end_all(Ending::TakenBack);
        if let Some((seq, key)) = blamed {
            shard.set_aside(seq, key, format!("handling it failed with a panic ({problem})"), false);
        }
        Ok(shard)
    }

    /// Nothing is answered any more; waiting callers and those to come hear of it.
    fn give_up(self, failed: &watch::Sender<Option<String>>, problem: &str) -> Ended {
        tracing::error!(shard = self.index, problem, "the shard has failed; restart the server");
        failed.send_replace(Some(problem.to_owned()));
        self.inbox.close();
        self.inbox.take(None);
        Ended::Closed
    }

    /// Works until the inbox is closed, or the lease is lost to another process.
    fn work(&mut self) -> Ended {
        loop {
            let Some(work) = self.inbox.clone().take(Some(self.patience())) else { break };
            self.keep_lease();
            self.handle_all(work);
            if self.shared.store.commits_are_worth_sharing() && !self.batch.changes.is_empty() {
                // Whoever is about to send more, and only lacks a processor, still gets into this commit (decision 088).
                thread::yield_now();
                let more = self.inbox.empty();
                self.handle_all(more);
            }
            self.fire_timers();
            self.clean();
            self.finish_batch();
            self.tell_why_nothing_happens();
            if self.fenced.is_some() && self.held.tenure().is_shared() {
                return Ended::Fenced;
            }
            self.evict();
            self.skip_time();
        }
        self.store_everything();
        self.held.release(&*self.shared.store);
        Ended::Closed
    }

    fn handle_all(&mut self, work: VecDeque<Work>) {
        for work in work {
            self.handle(work);
        }
    }

    /// Renews the lease when it is time. Without it, what is in memory may be out of date: nothing is answered from it.
    fn keep_lease(&mut self) {
        let now = self.now();
        if self.fenced.is_none()
            && let Err(error) = self.held.keep(&*self.shared.store, now)
        {
            tracing::error!(shard = self.index, %error, "the shard's lease is lost");
            self.fenced = Some(self.lost());
        }
    }

    /// What callers are answered that come too late.
    fn lost(&self) -> ServiceError {
        lease::lost(self.index, &*self.shared.store, &*self.shared.route)
    }

    pub(super) fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// Why no work is accepted any more.
    pub(super) fn check_alive(&self) -> Result<(), ServiceError> {
        self.fenced.clone().map_or(Ok(()), Err)
    }

    /// How long to wait for work.
    fn patience(&self) -> Duration {
        let due = self.held.renewal().map_or(self.next_due(), |renewal| renewal.min(self.next_due()));
        let left = due.since(self.now()).max(0);
        // A clock that is set ahead, or a machine that slept, does not wake a waiting thread.
        let patience = Duration::from_nanos(left as u64).min(CLOCK_CHECK);
        self.real_patience().map_or(patience, |real| real.min(patience))
    }

    /// Makes the batch durable, then lets its answers and tasks out.
    pub(super) fn finish_batch(&mut self) {
        loop {
            self.start_waiting();
            let durable = self.commit();
            if durable.is_ok() {
                // Before what is released, in which may be the word that settles a message: nothing is said again behind it.
                self.send_messages();
            }
            let undelivered = self.batch.release(durable.as_ref().copied());
            if durable.is_ok() {
                let runs = &self.runs;
                self.waiters
                    .notify(|seq| runs.get(seq).map(|slot| (slot.run.is_open(), slot.run.next_event_id())));
            }
            self.offer_tasks();
            for task in undelivered {
                self.take_back(&task);
            }
            // Taking back a task may offer it again, or even close a run; go on until nothing is left.
            if self.batch.is_empty() {
                return;
            }
        }
    }

    fn commit(&mut self) -> Result<(), ServiceError> {
        let changes = std::mem::take(&mut self.batch.changes);
        if let Some(error) = &self.fenced {
            let error = error.clone();
            self.discard(changes.touched);
            return Err(error);
        }
        if changes.is_empty() {
            return Ok(());
        }
        let Changes { touched, namespaces, deletes, closes } = changes;
        let runs = touched.iter().filter_map(|seq| self.runs.take_write(*seq)).collect();
        let commit = Commit { shard: self.index, lease: self.lease, runs, closes, deletes, namespaces };
        match self.shared.store.commit(&commit) {
            Ok(()) => {
                for seq in touched {
                    self.waiters.mark(seq);
                    self.refresh(seq);
                }
                for seq in commit.deletes {
                    self.waiters.end(seq, Ending::Deleted);
                }
                Ok(())
            }
            Err(error) => {
                let mut answer =
                    ServiceError::unavailable(format!("the change could not be stored: {error}"));
                if matches!(error, StoreError::Fenced { .. }) {
                    if self.held.tenure().is_shared() {
                        answer = self.lost();
                    }
                    self.fenced = Some(answer.clone());
                }
                if matches!(error, StoreError::Gone(_)) {
                    self.shared.displaced.notify_one();
                }
                for close in commit.closes {
                    if let Some(run) = self.set_aside.get_mut(&close.seq) {
                        run.closed = false;
                    }
                }
                tracing::error!(%error, runs = touched.len(), "commit failed; the changes are taken back");
                if let StoreError::Damaged { seq, what } = error
                    && let Some(key) = self.runs.get(seq).map(|slot| slot.run.key().clone())
                {
                    self.set_aside(seq, key, what, false);
                    self.unload(seq);
                }
                self.discard(touched);
                Err(answer)
            }
        }
    }

    /// Forgets what the failed batch did in memory; the runs that it touched are read back from the store.
    fn discard(&mut self, touched: Vec<i64>) {
        let again = self.now().after(RELOAD_PAUSE);
        for seq in touched {
            self.unload(seq);
            self.timers.insert(again, Due::Read(seq));
            self.waiters.end(seq, Ending::TakenBack);
        }
        // What other runs offer and say stands: nothing of theirs was in the batch.
        let runs = &self.runs;
        self.batch.offers.retain(|(seq, _)| runs.contains(*seq));
        self.batch.messages.retain(|message| self.fenced.is_none() && runs.has(&message.from.key));
    }

    /// Before the end: changes that were not worth a commit of their own.
    fn store_everything(&mut self) {
        let dirty: BTreeSet<i64> =
            self.runs.iter().filter(|(_, slot)| slot.run.is_dirty()).map(|(seq, _)| seq).collect();
        for seq in dirty {
            self.touch(seq);
        }
        self.finish_batch();
        self.waiters.end_all(Ending::Stopped);
    }
}

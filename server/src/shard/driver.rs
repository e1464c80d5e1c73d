//! The shard's thread: takes what waits, applies all of it in memory, makes it durable with one commit, and only then
//! answers and dispatches. What arrives during a commit is the next batch; nothing waits on purpose.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{oneshot, watch};

use super::{
    clock::Clock,
    courier::{Courier, Mail},
    inbox::Inbox,
    lease::{self, Held, Tenure},
    queries::Askers,
    route::Route,
    runs::{CACHE_BYTES, ReadError, Slot},
    set_aside::SetAside,
    tasks::{Grant, GrantSender, Offer, Sleeper, TaskRef},
    watch::Watchers,
};
use crate::{
    Namespace, ServiceError,
    engine::{Dispatch, Input, RunKey, Time, retention_end},
    matching::Matching,
    store::{CloseRow, Commit, OpenRun, RunWrite, Store, StoreError},
};

/// An answer that leaves once the batch is durable, or the reason why it is not. A task whose poller is gone comes
/// back.
type Release = Box<dyn FnOnce(Result<(), &ServiceError>) -> Option<TaskRef> + Send>;

/// How often closed runs are looked through for retention, and how many are deleted in one commit.
const CLEANING_PAUSE: i64 = 5 * 60 * 1_000_000_000;
const CLEANED_AT_ONCE: usize = 200;
/// How long to wait before looking again at runs that could not be read back.
const RELOAD_PAUSE: i64 = 1_000_000_000;

/// There are at most as many shards; a run's number says which it is of, so that no two shards give out the same.
pub(super) const MAX_SHARDS: i64 = 256;
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
    /// Counts the starts of runs, so that numbers of runs grow with time across shards.
    pub starts: Arc<AtomicI64>,
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
        Self { store, clock, matching, courier, route, tenure, starts }
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
    pub(super) index: u32,
    /// The lease's token; also the incarnation number that tasks are marked with.
    pub(super) lease: i64,
    held: Held,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<Clock>,
    pub(super) matching: Matching<Offer>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) courier: Arc<dyn Courier>,
    route: Arc<dyn Route>,
    pub(super) mail: Mail,

    pub(super) runs: HashMap<i64, Slot>,
    pub(super) by_key: HashMap<RunKey, i64>,
    /// The newest run of a workflow id, for runs in memory.
    pub(super) newest: HashMap<(Arc<str>, Arc<str>), i64>,
    starts: Arc<AtomicI64>,
    pub(super) task_id: i64,
    pub(super) bytes: usize,
    /// How many of them runs may take before those unused for longest leave memory.
    pub(super) cache_bytes: usize,
    pub(super) use_counter: u64,
    /// Closed runs in memory, in the order in which they closed or were read.
    pub(super) closed: VecDeque<i64>,

    /// When runs in memory want their timers handled.
    pub(super) timers: BTreeSet<(Time, i64)>,
    /// The same for open runs that are not in memory.
    pub(super) sleeping: BTreeSet<(Time, i64)>,
    pub(super) sleepers: BTreeMap<(Time, u64), Sleeper>,
    pub(super) watchers: Watchers,
    pub(super) askers: Askers,

    /// Runs that this batch must store, in the order of their first change.
    touched: Vec<i64>,
    namespaces: Vec<(String, Vec<u8>)>,
    releases: Vec<Release>,
    pub(super) offers: Vec<(i64, Dispatch)>,
    pub(super) deletes: Vec<i64>,
    /// Runs that are set aside, to be closed by this batch.
    pub(super) closes: Vec<CloseRow>,
    /// Runs that cannot be read, or whose handling panicked. They touch no other run, and wait for somebody to
    /// terminate them.
    pub(super) set_aside: BTreeMap<i64, SetAside>,
    /// The run that is being worked on: after a panic it is known who was to blame.
    pub(super) at_work: Option<i64>,
    /// When to look for closed runs beyond their namespace's retention.
    pub(super) next_cleaning: Time,
    /// Set when another process took the lease over: nothing is done any more.
    fenced: Option<ServiceError>,
}

impl Shard {
    /// Takes the lease and finds what is open.
    pub(super) fn open(index: u32, inbox: Arc<Inbox>, shared: Shared) -> Result<Self, StoreError> {
        let Shared { store, clock, matching, courier, route, tenure, starts } = shared;
        let held = Held::take(tenure, &*store, index, clock.now())?;
        let lease = held.token();
        // Whoever had the shard may have started runs that this process has not counted.
        starts.fetch_max(store.last_seq()? / MAX_SHARDS + 1, Ordering::Relaxed);
        let next_cleaning = clock.now().after(CLEANING_PAUSE);
        Ok(Self {
            index,
            lease,
            held,
            store,
            clock,
            matching,
            inbox,
            courier,
            route,
            mail: Mail::default(),
            runs: HashMap::new(),
            by_key: HashMap::new(),
            newest: HashMap::new(),
            starts,
            // Ids grow across restarts because the lease does.
            task_id: lease << 32,
            bytes: 0,
            cache_bytes: CACHE_BYTES,
            use_counter: 0,
            closed: VecDeque::new(),
            timers: BTreeSet::new(),
            sleeping: BTreeSet::new(),
            sleepers: BTreeMap::new(),
            watchers: Watchers::default(),
            askers: Askers::default(),
            touched: Vec::new(),
            namespaces: Vec::new(),
            releases: Vec::new(),
            offers: Vec::new(),
            deletes: Vec::new(),
            closes: Vec::new(),
            set_aside: BTreeMap::new(),
            at_work: None,
            next_cleaning,
            fenced: None,
        })
    }

    /// Brings runs with pending tasks into memory and remembers when the others are due.
    pub(super) fn resume(&mut self) -> Result<(), StoreError> {
        let mut runnable = Vec::new();
        let mut sleeping = BTreeSet::new();
        self.store.open_runs(self.index, &mut |run: OpenRun| {
            if run.runnable {
                runnable.push(run.seq);
            } else if let Some(due) = run.next_due {
                sleeping.insert((Time(due), run.seq));
            }
            ControlFlow::Continue(())
        })?;
        self.sleeping = sleeping;
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
                    self.route.is_at(self.index, *lease);
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
            "the shard panicked; it reads its runs back and goes on"
        );
        let blamed = self.at_work.and_then(|seq| Some((seq, self.runs.get(&seq)?.run.key().clone())));
        let common = Shared {
            store: self.store.clone(),
            clock: self.clock.clone(),
            matching: self.matching.clone(),
            courier: self.courier.clone(),
            route: self.route.clone(),
            tenure: self.held.tenure().clone(),
            starts: self.starts.clone(),
        };
        let mut shard = Self::open(self.index, self.inbox.clone(), common)?;
        shard.set_aside = std::mem::take(&mut self.set_aside);
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
            for work in work {
                work(self);
            }
            self.fire_timers();
            self.clean();
            self.finish_batch();
            if self.fenced.is_some() && self.held.tenure().is_shared() {
                return Ended::Fenced;
            }
            self.evict();
            self.skip_time();
        }
        self.store_everything();
        self.held.release(&*self.store);
        Ended::Closed
    }

    /// Renews the lease when it is time. Without it, what is in memory may be out of date: nothing is answered from it.
    pub(super) fn keep_lease(&mut self) {
        let now = self.now();
        if self.fenced.is_none()
            && let Err(error) = self.held.keep(&*self.store, now)
        {
            tracing::error!(shard = self.index, %error, "the shard's lease is lost");
            self.fenced = Some(lease::lost(self.index, &*self.store, &*self.route));
        }
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Answers `reply` when the batch is durable.
    pub(super) fn reply<T: Send + 'static>(
        &mut self,
        reply: oneshot::Sender<Result<T, ServiceError>>,
        result: Result<T, ServiceError>,
    ) {
        self.releases.push(Box::new(move |durable| {
            // Whoever asked may be gone; then nobody needs the answer.
            let _ = reply.send(match durable {
                Ok(()) => result,
                Err(error) => Err(error.clone()),
            });
            None
        }));
    }

    /// Like [`Shard::reply`] for a task that must not get lost when the poller is gone.
    pub(super) fn reply_task(&mut self, reply: GrantSender, grant: Grant, task: TaskRef) {
        self.releases.push(Box::new(move |durable| match durable {
            Ok(()) => reply.send(Ok(Some(grant))).err().map(|_| task),
            Err(error) => {
                let _ = reply.send(Err(error.clone()));
                None
            }
        }));
    }

    /// Does something once the batch is stored, or has failed.
    pub(super) fn when_durable(&mut self, act: impl FnOnce(bool) + Send + 'static) {
        self.releases.push(Box::new(move |durable| {
            act(durable.is_ok());
            None
        }));
    }

    /// A number for a run that starts now.
    pub(super) fn next_seq(&self) -> i64 {
        self.starts.fetch_add(1, Ordering::Relaxed) * MAX_SHARDS + i64::from(self.index)
    }

    pub(super) fn put_namespace(&mut self, id: String, encoded: Vec<u8>) {
        self.namespaces.push((id, encoded));
    }

    /// The run must be stored with this batch.
    pub(super) fn touch(&mut self, seq: i64) {
        if let Some(slot) = self.runs.get_mut(&seq)
            && !slot.touched
        {
            slot.touched = true;
            self.touched.push(seq);
        }
    }

    /// Why no work is accepted any more.
    pub(super) fn check_alive(&self) -> Result<(), ServiceError> {
        self.fenced.clone().map_or(Ok(()), Err)
    }

    fn patience(&self) -> Duration {
        let due = self.next_due().into_iter().chain(self.held.renewal());
        let due = due.fold(self.next_cleaning, Time::min);
        let left = due.since(self.now()).max(0);
        // A clock that is set ahead, or a machine that slept, does not wake a waiting thread.
        Duration::from_nanos(left as u64).min(CLOCK_CHECK)
    }

    fn next_due(&self) -> Option<Time> {
        let first = |timers: &BTreeSet<(Time, i64)>| timers.first().map(|(time, _)| *time);
        let sleeper = self.sleepers.first_key_value().map(|((time, _), _)| *time);
        let again = first(&self.mail.again);
        first(&self.timers).into_iter().chain(first(&self.sleeping)).chain(sleeper).chain(again).min()
    }

    pub(super) fn fire_timers(&mut self) {
        let now = self.now();
        while let Some(((time, _), _)) = self.sleepers.first_key_value()
            && *time <= now
        {
            if let Some((_, sleeper)) = self.sleepers.pop_first() {
                if sleeper.locks {
                    self.clock.lock();
                }
                self.reply(sleeper.reply, Ok(()));
            }
        }
        while let Some((_, seq)) = self.sleeping.first().copied().filter(|(time, _)| *time <= now) {
            self.sleeping.pop_first();
            if let Err(ReadError::Store(_)) = self.load(seq) {
                self.sleeping.insert((now.after(RELOAD_PAUSE), seq));
            }
        }
        self.resend_messages();
        let mut due = Vec::new();
        while let Some((_, seq)) = self.timers.first().copied().filter(|(time, _)| *time <= now) {
            self.timers.pop_first();
            due.push(seq);
        }
        for seq in due {
            // The input cannot be refused; timers are set again from the run's new state.
            let _ = self.apply(seq, Input::TimersDue);
        }
    }

    /// Deletes closed runs that have outlived their namespace's retention. With a virtual clock they stay: a test that
    /// skips a month for one workflow still wants to see the others.
    fn clean(&mut self) {
        let now = self.now();
        if now < self.next_cleaning {
            return;
        }
        self.next_cleaning = now.after(CLEANING_PAUSE);
        self.matching.forget_idle(Clock::real().0);
        if self.clock.is_virtual() {
            return;
        }
        let Ok(namespaces) = self.store.namespaces() else { return };
        for (id, encoded) in namespaces {
            // What cannot be read is not deleted.
            let Ok(namespace) = Namespace::decode(&encoded) else { continue };
            let retention = i64::try_from(namespace.retention.as_nanos()).unwrap_or(i64::MAX);
            let Some(before) = retention_end(now, retention) else { continue };
            let Ok(expired) = self.store.closed_before(self.index, &id, before.0, CLEANED_AT_ONCE) else {
                continue;
            };
            if expired.len() == CLEANED_AT_ONCE {
                self.next_cleaning = now.after(1_000_000_000);
            }
            for seq in expired {
                self.unload(seq);
                self.deletes.push(seq);
            }
        }
    }

    /// Makes the batch durable, then lets its answers and tasks out.
    pub(super) fn finish_batch(&mut self) {
        loop {
            self.start_waiting();
            let durable = self.commit();
            let mut undelivered = Vec::new();
            for release in std::mem::take(&mut self.releases) {
                undelivered.extend(release(durable.as_ref().copied()));
            }
            if durable.is_ok() {
                self.watchers.notify(&self.runs);
                self.send_messages();
            }
            self.offer_tasks();
            for task in undelivered {
                self.take_back(&task);
            }
            // Taking back a task may offer it again, or even close a run; go on until nothing is left.
            let idle = self.touched.is_empty() && self.releases.is_empty() && self.mail.outgoing.is_empty();
            if idle && self.offers.is_empty() {
                return;
            }
        }
    }

    fn commit(&mut self) -> Result<(), ServiceError> {
        if let Some(error) = &self.fenced {
            let error = error.clone();
            self.discard_batch();
            return Err(error);
        }
        let touched = std::mem::take(&mut self.touched);
        let namespaces = std::mem::take(&mut self.namespaces);
        let deletes = std::mem::take(&mut self.deletes);
        let closes = std::mem::take(&mut self.closes);
        if touched.is_empty() && namespaces.is_empty() && deletes.is_empty() && closes.is_empty() {
            return Ok(());
        }
        let mut runs = Vec::with_capacity(touched.len());
        for seq in &touched {
            if let Some(slot) = self.runs.get_mut(seq) {
                slot.touched = false;
                runs.push(RunWrite { seq: *seq, new: slot.new_row.take(), change: slot.run.take_commit() });
            }
        }
        let commit = Commit { shard: self.index, lease: self.lease, runs, closes, deletes, namespaces };
        match self.store.commit(&commit) {
            Ok(()) => {
                for seq in touched {
                    self.watchers.mark(seq);
                    self.refresh(seq);
                }
                Ok(())
            }
            Err(error) => {
                let mut answer =
                    ServiceError::unavailable(format!("the change could not be stored: {error}"));
                if matches!(error, StoreError::Fenced { .. }) {
                    if self.held.tenure().is_shared() {
                        answer = lease::lost(self.index, &*self.store, &*self.route);
                    }
                    self.fenced = Some(answer.clone());
                }
                tracing::error!(%error, runs = touched.len(), "commit failed; the changes are taken back");
                self.touched = touched;
                self.discard_batch();
                Err(answer)
            }
        }
    }

    /// Forgets what the failed batch did in memory; the runs are read back from the store.
    fn discard_batch(&mut self) {
        let again = self.now().after(RELOAD_PAUSE);
        for seq in std::mem::take(&mut self.touched) {
            self.unload(seq);
            self.sleeping.insert((again, seq));
        }
        // What other runs offer stands: nothing of theirs was in the batch.
        self.offers.retain(|(seq, _)| self.runs.contains_key(seq));
        self.mail.outgoing.retain(|message| self.by_key.contains_key(&message.from.key));
        self.namespaces.clear();
        self.deletes.clear();
        self.closes.clear();
    }

    /// Before the end: changes that were not worth a commit of their own.
    fn store_everything(&mut self) {
        let dirty: BTreeSet<i64> =
            self.runs.iter().filter(|(_, slot)| slot.run.is_dirty()).map(|(seq, _)| *seq).collect();
        for seq in dirty {
            self.touch(seq);
        }
        self.finish_batch();
        self.watchers.end();
    }

    /// With a virtual clock: jumps to what is due next when nothing else can happen before it.
    fn skip_time(&mut self) {
        if !self.clock.is_virtual() || !self.inbox.is_empty() || !self.clock.may_skip(self.tasks_under_way())
        {
            return;
        }
        if let Some(due) = self.next_due() {
            self.clock.skip_to(due);
            self.inbox.wake();
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

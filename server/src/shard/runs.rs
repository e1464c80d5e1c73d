//! Runs in memory: found, read from the store, given inputs, and dropped again when memory is short.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use durably_proto::temporal::api::{
    common::v1::WorkflowExecution,
    history::v1::{History, HistoryEvent},
};
use prost::Message;

use super::{driver::Shard, set_aside::SetAside};
use crate::{
    ServiceError,
    engine::{
        Context, Effects, Execution, Input, LoadError, NewRun, Output, RunKey, Time, WorkflowTaskGrant,
    },
    store::{NewRow, Store, StoreError},
};

/// How much memory runs may take before those unused for longest are dropped from it.
pub(super) const CACHE_BYTES: usize = 256 * 1024 * 1024;
/// How many closed runs stay in memory. Who awaits their results asks soon after; later the store answers.
const CLOSED_RUNS: usize = 1_000;

/// A run in memory.
pub(super) struct Slot {
    pub run: Execution,
    /// Until the run's first commit.
    pub new_row: Option<NewRow>,
    /// In the list of what this batch stores.
    pub touched: bool,
    due: Option<Time>,
    /// In the queue of closed runs.
    is_closed: bool,
    weight: usize,
    last_use: u64,
    /// Tasks with workers, as counted in the total.
    pub outstanding: usize,
}

/// Which run a call means: with an empty run id the newest of the workflow id.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "these are the API's names")]
pub(super) struct Target {
    pub namespace_id: Arc<str>,
    pub workflow_id: Arc<str>,
    pub run_id: Option<Arc<str>>,
}

impl Target {
    pub(super) fn new(namespace_id: &str, execution: Option<&WorkflowExecution>) -> Self {
        let (workflow_id, run_id) = execution.map_or(("", ""), |e| (&e.workflow_id, &e.run_id));
        Self::named(namespace_id, workflow_id, run_id)
    }

    pub(super) fn named(namespace_id: &str, workflow_id: &str, run_id: &str) -> Self {
        Self {
            namespace_id: namespace_id.into(),
            workflow_id: workflow_id.into(),
            run_id: (!run_id.is_empty()).then(|| as_given_out(run_id).into()),
        }
    }
}

/// A run id as the server writes it, from any way to write a UUID.
fn as_given_out(run_id: &str) -> String {
    uuid::Uuid::try_parse(run_id).map_or_else(|_| run_id.to_owned(), |id| id.to_string())
}

/// Bringing a run into memory failed.
#[derive(Debug)]
pub(super) enum ReadError {
    /// Another try may succeed.
    Store(StoreError),
    /// It will not until somebody does something.
    SetAside(SetAside),
}

impl From<ReadError> for ServiceError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::SetAside(set_aside) => set_aside.error(),
        }
    }
}

/// Reading a run failed.
#[derive(Debug, thiserror::Error)]
enum DecodeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Shard {
    /// The run that a call means, in memory.
    pub(super) fn find(&mut self, target: &Target) -> Result<i64, ServiceError> {
        self.check_alive()?;
        self.find_or_none(target)?.ok_or_else(|| {
            // Programs look for the first words.
            let error = ServiceError::not_found(format!("workflow not found for ID: {}", target.workflow_id))
                .with("workflow_id", &*target.workflow_id);
            match &target.run_id {
                Some(run_id) => error.with("run_id", &**run_id),
                None => error,
            }
        })
    }

    /// A run that the call means, if it is one that is set aside.
    pub(super) fn find_set_aside(&mut self, target: &Target) -> Result<Option<i64>, ServiceError> {
        self.check_alive()?;
        match self.seek(target) {
            Err(ReadError::SetAside(set_aside)) => Ok(Some(set_aside.seq)),
            Err(ReadError::Store(error)) => Err(ReadError::Store(error).into()),
            Ok(_) => Ok(None),
        }
    }

    pub(super) fn find_or_none(&mut self, target: &Target) -> Result<Option<i64>, ServiceError> {
        Ok(self.seek(target)?)
    }

    pub(super) fn seek(&mut self, target: &Target) -> Result<Option<i64>, ReadError> {
        let Target { namespace_id, workflow_id, run_id } = target;
        let known = match run_id {
            Some(run_id) => {
                let key = RunKey {
                    namespace_id: namespace_id.clone(),
                    workflow_id: workflow_id.clone(),
                    run_id: run_id.clone(),
                };
                self.by_key.get(&key).copied()
            }
            None => self.newest.get(&(namespace_id.clone(), workflow_id.clone())).copied(),
        };
        if let Some(seq) = known {
            return Ok(Some(seq));
        }
        let stored =
            self.store.find(namespace_id, workflow_id, run_id.as_deref()).map_err(ReadError::Store)?;
        let Some(seq) = stored else { return Ok(None) };
        self.load(seq)?;
        if run_id.is_none() {
            self.newest.insert((namespace_id.clone(), workflow_id.clone()), seq);
        }
        Ok(Some(seq))
    }

    pub(super) fn run(&self, seq: i64) -> Result<&Execution, ServiceError> {
        self.runs
            .get(&seq)
            .map(|slot| &slot.run)
            .ok_or_else(|| ServiceError::unavailable("the run is being read back"))
    }

    /// Brings a run into memory. What a restart means for its tasks is applied here.
    pub(super) fn load(&mut self, seq: i64) -> Result<(), ReadError> {
        if self.runs.contains_key(&seq) {
            return Ok(());
        }
        if let Some(set_aside) = self.set_aside.get(&seq) {
            return Err(ReadError::SetAside(set_aside.clone()));
        }
        let stored = match self.store.run(seq) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(()),
            Err(StoreError::Damaged { what, .. }) => {
                let (key, closed) = self.store.unverified(seq);
                return Err(ReadError::SetAside(self.set_aside(seq, key, what, closed)));
            }
            Err(error) => return Err(ReadError::Store(error)),
        };
        let (key, closed) = (stored.row.key.clone(), stored.row.close_time.is_some());
        let store = Arc::clone(&self.store);
        let loaded = Execution::load::<DecodeError>(stored.row.key, &stored.state, &stored.rows, |ids| {
            fetch(&*store, seq, ids)
        });
        let run = match loaded {
            Ok(run) => run,
            Err(DecodeError::Store(StoreError::Damaged { what, .. })) => {
                return Err(ReadError::SetAside(self.set_aside(seq, key, what, closed)));
            }
            Err(DecodeError::Store(error)) => return Err(ReadError::Store(error)),
            Err(DecodeError::Load(error)) => {
                return Err(ReadError::SetAside(self.set_aside(seq, key, error.to_string(), closed)));
            }
        };
        if let Some(due) = run.next_due() {
            self.sleeping.remove(&(due, seq));
        }
        self.insert(seq, run, None);
        let _ = self.apply(seq, Input::Resume);
        // Offered as it is after the restart was taken into account: a sticky queue may be gone with its worker.
        self.offers.retain(|(offered, _)| *offered != seq);
        if let Some(slot) = self.runs.get(&seq) {
            let dispatch = slot.run.pending_dispatch(self.now());
            self.offers.extend(dispatch.into_iter().map(|task| (seq, task)));
            self.mail.outgoing.extend(slot.run.pending_messages());
        }
        Ok(())
    }

    fn insert(&mut self, seq: i64, run: Execution, new_row: Option<NewRow>) {
        let key = run.key().clone();
        self.use_counter += 1;
        if new_row.is_some() {
            self.newest.insert((key.namespace_id.clone(), key.workflow_id.clone()), seq);
        }
        self.by_key.insert(key, seq);
        let slot = Slot {
            run,
            new_row,
            touched: false,
            due: None,
            is_closed: false,
            weight: 0,
            last_use: self.use_counter,
            outstanding: 0,
        };
        self.runs.insert(seq, slot);
        self.refresh(seq);
    }

    /// Starts a run in this batch.
    pub(super) fn start_run(&mut self, new: NewRun) -> (i64, Option<WorkflowTaskGrant>) {
        let seq = self.next_seq();
        let mut effects = Effects::default();
        let mut cx = Context {
            now: self.clock.now(),
            epoch: self.lease,
            task_id: &mut self.task_id,
            new_run_id: &mut fresh_id,
            effects: &mut effects,
        };
        let (run, grant) = Execution::start(new, &mut cx);
        let row = NewRow {
            key: run.key().clone(),
            workflow_type: run
                .start_attributes()
                .workflow_type
                .as_ref()
                .map_or_else(String::new, |kind| kind.name.clone()),
            task_queue: run.task_queue().to_owned(),
            start_time: run.start_time().0,
            execution_time: run.execution_time().0,
        };
        self.insert(seq, run, Some(row));
        self.carry_out(seq, effects);
        (seq, grant)
    }

    /// Gives an input to a run in memory and plans what follows from it.
    pub(super) fn apply(&mut self, seq: i64, input: Input) -> Result<Output, ServiceError> {
        self.check_alive()?;
        self.use_counter += 1;
        let mut effects = Effects::default();
        let Some(slot) = self.runs.get_mut(&seq) else { return Ok(Output::Stale) };
        slot.last_use = self.use_counter;
        self.at_work = Some(seq);
        let mut cx = Context {
            now: self.clock.now(),
            epoch: self.lease,
            task_id: &mut self.task_id,
            new_run_id: &mut fresh_id,
            effects: &mut effects,
        };
        let output = slot.run.handle(input, &mut cx);
        self.at_work = None;
        self.carry_out(seq, effects);
        output
    }

    fn carry_out(&mut self, seq: i64, effects: Effects) {
        if effects.durable {
            self.touch(seq);
        }
        self.offers.extend(effects.dispatch.into_iter().map(|task| (seq, task)));
        self.mail.outgoing.extend(effects.messages);
        for (id, answer) in effects.answers {
            self.answer_query(id, answer);
        }
        for query in effects.direct_queries {
            self.ask_directly(seq, &query);
        }
        self.refresh(seq);
        if let Some(successor) = effects.successor {
            self.start_run(*successor);
        }
    }

    /// Brings the books about a run up to date after it changed.
    pub(super) fn refresh(&mut self, seq: i64) {
        let Some(slot) = self.runs.get_mut(&seq) else { return };
        let due = slot.run.next_due();
        if due != slot.due
            && let Some(old) = slot.due
        {
            self.timers.remove(&(old, seq));
        }
        slot.due = due;
        if let Some(due) = due {
            self.timers.insert((due, seq));
        }
        let weight = slot.run.weight();
        self.bytes = self.bytes + weight - slot.weight;
        slot.weight = weight;
        slot.outstanding = slot.run.outstanding();
        if !slot.is_closed && !slot.run.is_open() {
            slot.is_closed = true;
            self.closed.push_back(seq);
        }
    }

    /// Drops a run from memory, changes and all.
    pub(super) fn unload(&mut self, seq: i64) {
        let Some(slot) = self.runs.remove(&seq) else { return };
        if let Some(due) = slot.due {
            self.timers.remove(&(due, seq));
        }
        self.bytes -= slot.weight;
        let key = slot.run.key();
        self.by_key.remove(key);
        let name = (key.namespace_id.clone(), key.workflow_id.clone());
        if self.newest.get(&name) == Some(&seq) {
            self.newest.remove(&name);
        }
    }

    /// Drops closed runs, but for those that closed last.
    fn evict_closed(&mut self) {
        for _ in CLOSED_RUNS..self.closed.len() {
            let Some(seq) = self.closed.pop_front() else { return };
            match self.runs.get(&seq) {
                Some(slot) if is_idle(slot) => self.unload(seq),
                // A query waits for it.
                Some(_) => self.closed.push_back(seq),
                None => {}
            }
        }
    }

    /// Drops runs that have not been used for longest until memory is within its bound. Runs with tasks stay.
    pub(super) fn evict(&mut self) {
        self.evict_closed();
        if self.bytes <= self.cache_bytes {
            return;
        }
        let mut candidates: Vec<(u64, i64)> = self
            .runs
            .iter()
            .filter(|(_, slot)| is_idle(slot))
            .map(|(seq, slot)| (slot.last_use, *seq))
            .collect();
        candidates.sort_unstable();
        for (_, seq) in candidates {
            // A margin, so that this does not run for every batch.
            if self.bytes <= self.cache_bytes / 10 * 9 {
                break;
            }
            let due = self.runs.get(&seq).and_then(|slot| slot.due);
            self.unload(seq);
            if let Some(due) = due {
                self.sleeping.insert((due, seq));
            }
        }
    }
}

fn is_idle(slot: &Slot) -> bool {
    slot.run.can_unload() && !slot.run.is_runnable()
}

/// The events with these ids, each batch read once.
fn fetch(store: &dyn Store, seq: i64, ids: &BTreeSet<i64>) -> Result<Vec<HistoryEvent>, DecodeError> {
    let mut found = Vec::with_capacity(ids.len());
    let mut read_to = 0;
    for id in ids.iter().copied() {
        if id < read_to {
            continue;
        }
        for (_, batch) in store.events(seq, id, id + 1)? {
            let events = History::decode(batch).map_err(LoadError::from)?.events;
            read_to = events.last().map_or(read_to, |event| event.event_id + 1);
            found.extend(events.into_iter().filter(|event| ids.contains(&event.event_id)));
        }
    }
    Ok(found)
}

/// The events with `from <= id < end` out of stored batches.
pub(super) fn decode(
    batches: Vec<(i64, Bytes)>,
    from: i64,
    end: i64,
) -> Result<Vec<HistoryEvent>, LoadError> {
    let mut events = Vec::new();
    for (_, batch) in batches {
        let history = History::decode(batch)?;
        events.extend(
            history.events.into_iter().filter(|event| event.event_id >= from && event.event_id < end),
        );
    }
    Ok(events)
}

/// A random UUID, from this thread's generator: the operating system's costs a call for each.
pub(super) fn fresh_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

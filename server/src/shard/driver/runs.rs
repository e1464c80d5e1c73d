//! Runs found, read from the store when they are not in memory, and given inputs.

use std::sync::Arc;

use super::Shard;
use crate::{
    ServiceError,
    engine::{Context, Effects, Execution, Input, NewRun, Output, WorkflowTaskGrant, pause_after},
    shard::{
        clock::Clock,
        events::{DecodeError, fetch},
        runs::{DueChange, Target, fresh_id},
        set_aside::SetAside,
        timers::Due,
    },
    store::{Ancestors, NewRow, StoreError},
};

/// Bringing a run into memory failed.
#[derive(Debug)]
pub(in crate::shard) enum ReadError {
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

impl Shard {
    /// The run that a call means, in memory.
    pub(in crate::shard) fn find(&mut self, target: &Target) -> Result<i64, ServiceError> {
        self.check_alive()?;
        self.seek(target)?.ok_or_else(|| {
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

    /// The run that a call means, in memory, if there is one.
    pub(super) fn seek(&mut self, target: &Target) -> Result<Option<i64>, ReadError> {
        if let Some(seq) = self.runs.find(target) {
            return Ok(Some(seq));
        }
        let Target { namespace_id, workflow_id, run_id } = target;
        let stored = self.shared.store.find(namespace_id, workflow_id, run_id.as_deref());
        let Some(seq) = stored.map_err(ReadError::Store)? else { return Ok(None) };
        self.load(seq)?;
        if !self.runs.contains(seq) {
            return Ok(None);
        }
        if run_id.is_none() {
            self.runs.set_newest(target, seq);
        }
        Ok(Some(seq))
    }

    pub(super) fn run(&self, seq: i64) -> Result<&Execution, ServiceError> {
        let slot = self.runs.get(seq);
        slot.map(|slot| &slot.run).ok_or_else(not_in_memory)
    }

    /// Brings a run into memory. What a restart means for its tasks is applied here.
    pub(super) fn load(&mut self, seq: i64) -> Result<(), ReadError> {
        if self.runs.contains(seq) {
            return Ok(());
        }
        if let Some(set_aside) = self.set_aside.get(&seq) {
            return Err(ReadError::SetAside(set_aside.clone()));
        }
        let Some(run) = self.read(seq)? else { return Ok(()) };
        if let Some(due) = run.next_due() {
            self.timers.remove(due, Due::Read(seq));
        }
        self.insert(seq, run, None);
        let _ = self.apply(seq, Input::Resume);
        // Offered as it is after the restart was taken into account: a sticky queue may be gone with its worker.
        self.batch.offers.retain(|(offered, _)| *offered != seq);
        if let Some(slot) = self.runs.get(seq) {
            self.batch.offer(seq, slot.run.pending_dispatch(self.now()));
        }
        self.speak_again(seq);
        Ok(())
    }

    /// The run as it is stored; `None` when it is not there any more. One that cannot be used is set aside.
    fn read(&mut self, seq: i64) -> Result<Option<Execution>, ReadError> {
        let store = Arc::clone(&self.shared.store);
        let stored = match store.run(seq) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(None),
            Err(StoreError::Damaged { what, .. }) => {
                let (key, closed) = store.unverified(seq);
                return Err(ReadError::SetAside(self.set_aside(seq, key, what, closed)));
            }
            Err(error) => return Err(ReadError::Store(error)),
        };
        let (key, closed) = (stored.row.key.clone(), stored.row.close_time.is_some());
        let loaded = Execution::load::<DecodeError>(stored.row.key, &stored.state, &stored.rows, |ids| {
            fetch(&*store, seq, ids)
        });
        let what = match loaded {
            Ok(run) => return Ok(Some(run)),
            Err(DecodeError::Store(StoreError::Damaged { what, .. })) => what,
            Err(DecodeError::Store(error)) => return Err(ReadError::Store(error)),
            Err(DecodeError::Load(error)) => error.to_string(),
        };
        Err(ReadError::SetAside(self.set_aside(seq, key, what, closed)))
    }

    fn insert(&mut self, seq: i64, run: Execution, new_row: Option<NewRow>) {
        self.runs.insert(seq, run, new_row);
        self.refresh(seq);
    }

    /// Starts a run in this batch.
    pub(super) fn start_run(&mut self, new: NewRun) -> (i64, Option<WorkflowTaskGrant>) {
        let seq = self.shared.next_seq(self.index);
        let mut effects = Effects::default();
        let mut cx = Context {
            now: self.shared.clock.now(),
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
            ancestors: ancestors(&run),
        };
        self.insert(seq, run, Some(row));
        self.carry_out(seq, effects);
        self.answer_for_predecessor(seq);
        (seq, grant)
    }

    /// Gives an input to a run in memory and plans what follows from it. Refused as unavailable when the run is not there:
    /// nothing was done, and whoever asks again has it read back.
    pub(in crate::shard) fn apply(&mut self, seq: i64, input: Input) -> Result<Output, ServiceError> {
        self.check_alive()?;
        let mut effects = Effects::default();
        let slot = self.runs.in_use(seq).ok_or_else(not_in_memory)?;
        self.at_work = Some(seq);
        let mut cx = Context {
            now: self.shared.clock.now(),
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

    /// [`Shard::apply`] for an input that is done or refused.
    pub(super) fn accomplish(&mut self, seq: i64, input: Input) -> Result<(), ServiceError> {
        match self.apply(seq, input)? {
            Output::Done => Ok(()),
            output => Err(unexpected(&output)),
        }
    }

    fn carry_out(&mut self, seq: i64, effects: Effects) {
        if effects.durable {
            self.touch(seq);
        }
        if effects.failed_attempt > 0 && self.shared.clock.is_virtual() {
            self.skip_from = Clock::real().after(pause_after(effects.failed_attempt));
        }
        self.batch.offer(seq, effects.dispatch);
        self.batch.messages.extend(effects.messages);
        for (id, answer) in effects.answers {
            self.answer_query(id, answer);
        }
        for (update_id, came) in effects.updates {
            self.update_came(seq, &update_id, came);
        }
        for query in effects.direct_queries {
            self.ask_directly(seq, &query);
        }
        self.refresh(seq);
        if let Some(successor) = effects.successor {
            self.start_run(*successor);
        }
    }

    /// The run must be stored with this batch.
    pub(super) fn touch(&mut self, seq: i64) {
        if self.runs.touch(seq) {
            self.batch.changes.touched.push(seq);
        }
    }

    /// Brings the books about a run up to date after it changed.
    pub(super) fn refresh(&mut self, seq: i64) {
        let Some(DueChange { old, new }) = self.runs.refresh(seq) else { return };
        if let Some(old) = old {
            self.timers.remove(old, Due::Fire(seq));
        }
        if let Some(new) = new {
            self.timers.insert(new, Due::Fire(seq));
        }
    }

    /// Drops a run from memory, changes and all.
    pub(super) fn unload(&mut self, seq: i64) {
        if let Some(again) = self.runs.take_saying_again(seq) {
            self.timers.remove(again, Due::SayAgain(seq));
        }
        if let Some(due) = self.runs.remove(seq) {
            self.timers.remove(due, Due::Fire(seq));
        }
    }

    /// Drops what memory has no room for. Open runs come back when their timers are due.
    pub(in crate::shard) fn evict(&mut self) {
        if self.runs.is_full() {
            self.forget_vanished_updates();
        }
        for (seq, due) in self.runs.evict() {
            let Some(due) = due else { continue };
            self.timers.remove(due, Due::Fire(seq));
            self.timers.insert(due, Due::Read(seq));
        }
    }
}

fn not_in_memory() -> ServiceError {
    ServiceError::unavailable("the run is being read back")
}

/// What is said of an answer that is none to the input that the run was given.
pub(super) fn unexpected(output: &Output) -> ServiceError {
    let what = match output {
        Output::Done => "done",
        Output::Stale => "stale",
        Output::WorkflowTask(_) => "a workflow task",
        Output::Activity(_) => "an activity task",
        Output::WorkflowTaskCompleted(_) => "a completed workflow task",
        Output::Heartbeat { .. } => "a heartbeat",
        Output::Received(_) => "a message that was taken in",
        Output::QueryAccepted => "a query that was accepted",
        Output::Update(_) => "an update",
    };
    ServiceError::internal(format!("the run has answered what it was not asked: {what}"))
}

/// Whose child the run is.
fn ancestors(run: &Execution) -> Option<Box<Ancestors>> {
    let start = run.start_attributes();
    let parent = start.parent_workflow_execution.clone()?;
    let root = run.root();
    Some(Box::new(Ancestors {
        parent_namespace_id: start.parent_workflow_namespace_id.clone(),
        parent_workflow_id: parent.workflow_id,
        parent_run_id: parent.run_id,
        root_workflow_id: root.workflow_id,
        root_run_id: root.run_id,
    }))
}

//! [`Execution`]: the run itself, its event log in the making, and the way to and from the store.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Bytes, BytesMut};
use durably_proto::temporal::api::{
    common::v1::{Link, Memo, SearchAttributes, WorkflowExecution},
    enums::v1::WorkflowExecutionStatus,
    history::v1::{HistoryEvent, WorkflowExecutionStartedEventAttributes, history_event::Attributes},
    sdk::v1::UserMetadata,
};
use prost::Message;

use super::{
    Context, Dispatch, Input, Output, Time,
    activity::Activity,
    event::{self, Batch, Tail},
    pending::{Kinds, StoredRows},
    query::Queries,
    state::{self, RunState, WorkflowTask},
    updates::Requested,
    weight,
};
use crate::{
    ServiceError,
    store::{RunCommit, RunKey},
};

/// What a run takes by itself, and with its names in the books of its shard.
const BASE_WEIGHT: usize = size_of::<Execution>() + 512;

/// One run of a workflow.
pub struct Execution {
    pub(super) key: RunKey,
    pub(super) start: Arc<WorkflowExecutionStartedEventAttributes>,
    /// What `start` and `user_metadata` take; they never change, and may be large.
    start_weight: usize,
    /// What the memo and the search attributes take that differ from those of `start`.
    attributes_weight: usize,
    pub(super) user_metadata: Option<UserMetadata>,
    pub(super) state: RunState,
    pub(super) pending: Kinds,
    pub(super) queries: Queries,
    pub(super) requested: Requested,
    /// The workflow has tried to end while an update waited that it had not seen: the next time it ends.
    pub(super) close_deferred: bool,
    /// When the last speculative task began. The next one may have its event ids, but not its time.
    pub(super) last_speculation: i64,
    /// The store has a speculative task, since something else was to be stored while it ran.
    pub(super) speculation_stored: bool,
    /// The poller of the running workflow task was gone before it got it: the next one gets the same task.
    pub(super) task_undelivered: bool,
    /// What the run's code has failed its workflow task with, until one succeeds.
    pub(super) task_failure: Option<Box<str>>,
    /// Events since the last commit, encoded.
    batch: BytesMut,
    batch_first_event_id: i64,
    tail: Tail,
    /// Changed since the last commit.
    dirty: bool,
    attributes_changed: bool,
}

impl Execution {
    pub(super) fn new(
        key: RunKey,
        start: WorkflowExecutionStartedEventAttributes,
        user_metadata: Option<UserMetadata>,
        state: RunState,
    ) -> Self {
        let mut run = Self {
            key,
            start_weight: weight::of(Some(&start)) + weight::of(user_metadata.as_ref()),
            start: Arc::new(start),
            attributes_weight: 0,
            user_metadata,
            batch_first_event_id: state.next_event_id,
            state,
            pending: Kinds::default(),
            queries: Queries::default(),
            requested: Requested::default(),
            close_deferred: false,
            last_speculation: 0,
            speculation_stored: false,
            task_undelivered: false,
            task_failure: None,
            batch: BytesMut::new(),
            tail: Tail::default(),
            dirty: true,
            attributes_changed: true,
        };
        run.weigh_attributes();
        run
    }

    /// The run is as the store has it.
    pub(super) fn mark_stored(&mut self) {
        self.dirty = false;
        self.attributes_changed = false;
    }

    /// Carries out one input. On an error nothing has changed.
    pub fn handle(&mut self, input: Input, cx: &mut Context<'_>) -> Result<Output, ServiceError> {
        let output = self.dispatch_input(input, cx)?;
        self.relieve_buffer(cx);
        self.enforce_history_limits(cx);
        Ok(output)
    }

    fn dispatch_input(&mut self, input: Input, cx: &mut Context<'_>) -> Result<Output, ServiceError> {
        match input {
            Input::StartWorkflowTask { scheduled_event_id, attempt, sticky, poller } => {
                Ok(self.start_workflow_task(scheduled_event_id, attempt, sticky, poller, cx))
            }
            Input::CompleteWorkflowTask { token, request } => {
                self.complete_workflow_task(&token, *request, cx)
            }
            Input::FailWorkflowTask { token, request } => self.fail_workflow_task(&token, *request, cx),
            Input::StartActivity { scheduled_event_id, attempt, poller } => {
                Ok(self.start_activity(scheduled_event_id, attempt, poller, cx))
            }
            Input::CompleteActivity { token, result, identity } => {
                self.complete_activity(&token, result, identity, cx)
            }
            Input::FailActivity { token, failure, heartbeat_details, identity } => {
                self.fail_activity(&token, failure, heartbeat_details, identity, cx)
            }
            Input::CancelActivity { token, details, identity } => {
                self.cancel_activity(&token, details, identity, cx)
            }
            Input::HeartbeatActivity { token, details } => self.heartbeat_activity(&token, details, cx),
            Input::Signal(signal) => self.signal(signal, cx),
            Input::RequestCancel { reason, identity, request_id, links } => {
                self.request_cancel(reason, identity, request_id, links, cx)
            }
            Input::Terminate { reason, details, identity, links } => {
                self.terminate(reason, details, identity, links, cx)
            }
            Input::Update(request) => self.update(*request, cx),
            Input::ForgetUpdates { but } => Ok(self.forget_updates(&but, cx)),
            Input::Query { id, query } => self.query(id, query, cx),
            Input::DropQuery { id } => {
                self.queries.remove(id);
                Ok(Output::Done)
            }
            Input::TimersDue => Ok(self.timers_due(cx)),
            Input::WorkflowTaskUndelivered { scheduled_event_id, attempt } => {
                Ok(self.workflow_task_undelivered(scheduled_event_id, attempt, cx))
            }
            Input::ActivityUndelivered { scheduled_event_id, attempt } => {
                Ok(self.activity_undelivered(scheduled_event_id, attempt, cx))
            }
            Input::Receive(message) => Ok(self.receive(*message, cx)),
            Input::Settle { event_id, outcome } => Ok(self.settle(event_id, outcome, cx)),
            Input::Settled(sender) => Ok(self.forget_receipt(&sender, cx)),
            Input::ResetSticky => Ok(self.reset_sticky(cx)),
            Input::Resume => Ok(self.resume(cx)),
        }
    }

    pub fn key(&self) -> &RunKey {
        &self.key
    }

    pub fn start_attributes(&self) -> &WorkflowExecutionStartedEventAttributes {
        &self.start
    }

    pub fn start_request_id(&self) -> &str {
        &self.state.start_request_id
    }

    pub fn status(&self) -> WorkflowExecutionStatus {
        WorkflowExecutionStatus::try_from(self.state.status).unwrap_or_default()
    }

    pub fn is_open(&self) -> bool {
        self.status() == WorkflowExecutionStatus::Running
    }

    pub fn start_time(&self) -> Time {
        Time(self.state.start_time)
    }

    pub fn execution_time(&self) -> Time {
        Time(self.state.execution_time)
    }

    /// Id the next event will get.
    pub fn next_event_id(&self) -> i64 {
        self.state.next_event_id
    }

    /// Changed since the last [`Execution::take_commit`].
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// No query or update waits and no task is known to be undelivered: dropping the run from memory loses nothing.
    pub fn can_unload(&self) -> bool {
        let asked = !self.queries.is_empty() || !self.requested.is_empty();
        !self.dirty && !asked && !self.task_undelivered && !self.task_is_speculative()
    }

    /// About how much memory the run takes.
    pub fn weight(&self) -> usize {
        let Self { start_weight, attributes_weight, tail, batch, requested, .. } = self;
        let own = BASE_WEIGHT + start_weight + attributes_weight + requested.weight();
        own + tail.bytes() + batch.len() + self.pending.weight()
    }

    /// How many of its tasks are with workers now.
    pub fn outstanding(&self) -> usize {
        let running = matches!(self.state.workflow_task, Some(WorkflowTask::AwaitingCompletion(_)));
        usize::from(running) + self.pending.with_workers()
    }

    /// A task of it is with a worker or could be taken by one, or a message of it is under way: the run belongs in
    /// memory.
    pub fn is_runnable(&self) -> bool {
        self.state.workflow_task.is_some() || self.pending.is_runnable()
    }

    /// Events with `from <= id < end`, and the ids among them (first, end) that are no longer in memory.
    pub fn events(&self, from: i64, end: i64) -> (Vec<HistoryEvent>, Option<(i64, i64)>) {
        let end = end.min(self.state.next_event_id);
        let in_memory = self.tail.first_event_id().unwrap_or(self.batch_first_event_id);
        let missing = (from < in_memory.min(end)).then(|| (from, in_memory.min(end)));
        let mut events = Vec::with_capacity((end - from.max(in_memory)).clamp(0, 64) as usize);
        let mut decoded = self.tail.collect(from, end, &mut events);
        if end > self.batch_first_event_id && !self.batch.is_empty() {
            let batch = Bytes::copy_from_slice(&self.batch);
            decoded = decoded.and_then(|()| event::collect(batch, from, end, &mut events));
        }
        if decoded.is_err() {
            // The store holds the same bytes: whoever reads them there says what is wrong with them.
            return (Vec::new(), (from < end).then_some((from, end)));
        }
        (events, missing)
    }

    /// Tasks that pollers could take now; what a driver offers after loading the run.
    pub fn pending_dispatch(&self, now: Time) -> Vec<Dispatch> {
        let mut dispatch = Vec::new();
        if !self.is_open() {
            return dispatch;
        }
        if let Some(WorkflowTask::AwaitingPoller(task)) = &self.state.workflow_task
            && task.not_before.is_none_or(|time| time <= now.0)
        {
            dispatch.push(self.workflow_task_dispatch(task));
        }
        dispatch.extend(self.pending.activities.values().filter_map(Activity::dispatch));
        dispatch
    }

    /// What to store, in the state's present form; afterwards the run is clean.
    pub fn take_commit(&mut self) -> RunCommit {
        self.state.transitions += 1;
        self.speculation_stored = self.task_is_speculative();
        let events = (!self.batch.is_empty()).then(|| {
            let batch =
                Batch { first_event_id: self.batch_first_event_id, bytes: self.batch.split().freeze() };
            self.tail.push(batch.clone());
            self.batch_first_event_id = self.state.next_event_id;
            (batch.first_event_id, batch.bytes)
        });
        let StoredRows { in_header, changed } = self.pending.take_stored();
        self.state.few = in_header.into_iter().filter_map(state::FewRow::of).collect();
        let state = self.state.encode_to_vec();
        self.state.few.clear();
        self.dirty = false;
        let attributes = std::mem::take(&mut self.attributes_changed)
            .then(|| (self.memo().cloned(), self.search_attributes().cloned()));
        RunCommit {
            state,
            rows: changed,
            events,
            status: self.state.status,
            close_time: self.state.close_time,
            history_length: self.state.next_event_id - 1,
            history_bytes: self.state.history_bytes,
            transitions: self.state.transitions,
            next_due: self.next_due().map(|time| time.0),
            runnable: self.is_runnable(),
            attributes,
        }
    }

    pub fn memo(&self) -> Option<&Memo> {
        self.state.memo.as_ref().or(self.start.memo.as_ref())
    }

    pub fn search_attributes(&self) -> Option<&SearchAttributes> {
        self.state.search_attributes.as_ref().or(self.start.search_attributes.as_ref())
    }

    /// The memo or the search attributes are others now.
    pub(super) fn mark_attributes_changed(&mut self) {
        self.attributes_changed = true;
        self.weigh_attributes();
    }

    fn weigh_attributes(&mut self) {
        let RunState { memo, search_attributes, .. } = &self.state;
        self.attributes_weight = weight::of(memo.as_ref()) + weight::of(search_attributes.as_ref());
    }

    pub(super) fn execution(&self) -> WorkflowExecution {
        WorkflowExecution {
            workflow_id: self.key.workflow_id.to_string(),
            run_id: self.key.run_id.to_string(),
        }
    }

    /// The change must reach the disk before its answer leaves.
    pub(super) fn changed(&mut self, cx: &mut Context<'_>) {
        self.dirty = true;
        cx.effects.durable = true;
    }

    /// The change may be lost in a crash; see [`super::Effects::durable`].
    pub(super) fn changed_in_memory(&mut self) {
        self.dirty = true;
    }

    /// Appends an event and returns its id.
    pub(super) fn push(&mut self, attributes: Attributes, cx: &mut Context<'_>) -> i64 {
        self.push_event(HistoryEvent { attributes: Some(attributes), ..Default::default() }, cx)
    }

    /// [`Execution::push`] for an event that carries more than attributes.
    pub(super) fn push_event(&mut self, mut event: HistoryEvent, cx: &mut Context<'_>) -> i64 {
        let id = self.state.next_event_id;
        self.state.next_event_id += 1;
        *cx.task_id += 1;
        event.event_id = id;
        event.task_id = *cx.task_id;
        event.event_time.get_or_insert_with(|| cx.now.proto());
        if let Some(attributes) = &event.attributes {
            event.event_type = event::event_type(attributes) as i32;
        }
        let before = self.batch.len();
        event::encode_into(&event, &mut self.batch);
        self.state.history_bytes += (self.batch.len() - before) as i64;
        self.dirty = true;
        id
    }

    /// Appends an event that did not come from the worker: while a workflow task runs it waits in the buffer.
    /// Answers with its id if it is in the history already.
    pub(super) fn record(
        &mut self,
        attributes: Attributes,
        links: Vec<Link>,
        cx: &mut Context<'_>,
    ) -> Option<i64> {
        let mut event = HistoryEvent { attributes: Some(attributes), links, ..Default::default() };
        if self.task_is_running() {
            event.event_time = Some(cx.now.proto());
            self.pending.buffer.push(event);
            self.dirty = true;
            None
        } else {
            Some(self.push_event(event, cx))
        }
    }

    pub(super) fn task_is_running(&self) -> bool {
        matches!(self.state.workflow_task, Some(WorkflowTask::AwaitingCompletion(_)))
    }

    /// Writes the buffered events, results last, and says whether there were any.
    pub(super) fn flush_buffered(&mut self, cx: &mut Context<'_>) -> bool {
        if self.pending.buffer.is_empty() {
            return false;
        }
        let (last, first): (Vec<_>, Vec<_>) = self
            .pending
            .buffer
            .take()
            .into_iter()
            .partition(|event| event.attributes.as_ref().is_some_and(event::comes_last));
        let mut started = BTreeMap::new();
        for event in first {
            let scheduled = event.attributes.as_ref().and_then(event::started_for);
            let id = self.push_event(event, cx);
            if let Some(scheduled) = scheduled {
                started.insert(scheduled, id);
                self.child_start_recorded(scheduled, id);
            }
        }
        for mut event in last {
            if let Some((scheduled, started_id)) = event.attributes.as_mut().and_then(event::result_ids)
                && let Some(id) = started.get(scheduled)
            {
                *started_id = *id;
            }
            self.push_event(event, cx);
        }
        true
    }
}

//! What a poller gets for a task: the poll responses, and the tokens inside them.

use durably_proto::temporal::api::{
    common::v1::WorkflowExecution,
    enums::v1::TaskQueueKind,
    history::v1::{History, HistoryEvent, WorkflowTaskScheduledEventAttributes, history_event::Attributes},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{PollActivityTaskQueueResponse, PollWorkflowTaskQueueResponse},
};
use prost::Message;

use super::{
    Execution, Time, WorkflowTaskGrant,
    activity::Activity,
    event,
    state::{ActivityPhase, RunningTask, TaskToken, WorkflowTask},
    workflow_task::started,
};

impl Execution {
    fn token(&self) -> TaskToken {
        TaskToken {
            namespace_id: self.key.namespace_id.to_string(),
            workflow_id: self.key.workflow_id.to_string(),
            run_id: self.key.run_id.to_string(),
            ..Default::default()
        }
    }

    /// The running workflow task as a poll response. `sticky`: the worker has the run in its cache and needs only
    /// what is new.
    pub(super) fn grant(&mut self, running: &RunningTask, sticky: bool) -> WorkflowTaskGrant {
        let scheduled = &running.scheduled;
        let from = if sticky { self.state.previous_started_event_id + 1 } else { 1 };
        if !sticky {
            // A worker that gets the whole history has none of the updates that another one had.
            self.detach_requested();
        }
        let (mut events, missing) = self.events(from, running.started_event_id + 1);
        if scheduled.is_unwritten() {
            let last_task_id = events.last().map_or(0, |event| event.task_id);
            let [mut first, mut second] = self.transient_events(running);
            first.task_id = last_task_id + 1;
            second.task_id = last_task_id + 2;
            events.extend([first, second]);
        }
        let token = TaskToken {
            scheduled_event_id: scheduled.scheduled_event_id,
            started_event_id: running.started_event_id,
            attempt: scheduled.attempt,
            started_time: running.started_time,
            epoch: running.epoch,
            ..self.token()
        };
        let response = PollWorkflowTaskQueueResponse {
            task_token: token.encode_to_vec().into(),
            workflow_execution: Some(self.execution()),
            workflow_type: self.start.workflow_type.clone(),
            previous_started_event_id: self.state.previous_started_event_id,
            started_event_id: running.started_event_id,
            attempt: scheduled.attempt,
            history: Some(History { events }),
            workflow_execution_task_queue: Some(TaskQueue {
                name: self.task_queue().to_owned(),
                kind: TaskQueueKind::Normal as i32,
                ..Default::default()
            }),
            scheduled_time: Some(Time(scheduled.scheduled_time).proto()),
            started_time: Some(Time(running.started_time).proto()),
            queries: self.attach_queries(),
            messages: self.send_updates(running.started_event_id),
            ..Default::default()
        };
        WorkflowTaskGrant { response, missing }
    }

    /// The last events of the running task, if they are not written yet and the one before `end` is the last.
    pub fn unwritten_events(&self, end: i64) -> Vec<HistoryEvent> {
        match &self.state.workflow_task {
            Some(WorkflowTask::AwaitingCompletion(running))
                if running.scheduled.is_unwritten() && running.started_event_id + 1 == end =>
            {
                self.transient_events(running).into()
            }
            _ => Vec::new(),
        }
    }

    /// The scheduled and started event of an attempt after the first, or of a speculative task: shown to the worker, and
    /// written only when it completes the task.
    pub(super) fn transient_events(&self, running: &RunningTask) -> [HistoryEvent; 2] {
        [
            transient(
                running.scheduled.scheduled_event_id,
                running.scheduled.scheduled_time,
                Attributes::WorkflowTaskScheduledEventAttributes(WorkflowTaskScheduledEventAttributes {
                    task_queue: Some(self.normal_queue()),
                    start_to_close_timeout: self.start.workflow_task_timeout,
                    attempt: running.scheduled.attempt,
                }),
            ),
            transient(running.started_event_id, running.started_time, started(running)),
        ]
    }

    /// A query task outside any workflow task. With `sticky` the worker is expected to have the run in its cache and
    /// gets no history.
    pub fn query_grant(&self, query: u64, sticky: bool) -> WorkflowTaskGrant {
        let (events, missing) =
            if sticky { (Vec::new(), None) } else { self.events(1, self.state.next_event_id) };
        let token = TaskToken { query, ..self.token() };
        let response = PollWorkflowTaskQueueResponse {
            task_token: token.encode_to_vec().into(),
            workflow_execution: Some(self.execution()),
            workflow_type: self.start.workflow_type.clone(),
            previous_started_event_id: self.state.previous_started_event_id,
            history: Some(History { events }),
            workflow_execution_task_queue: Some(self.normal_queue()),
            ..Default::default()
        };
        WorkflowTaskGrant { response, missing }
    }

    /// The running activity as a poll response; the driver fills in the namespace's name.
    pub(super) fn activity_grant(&self, activity: &Activity) -> PollActivityTaskQueueResponse {
        let (spec, state) = (&activity.spec, &activity.state);
        let started_time = match &state.phase {
            Some(ActivityPhase::AwaitingResult(running)) => running.started_time,
            _ => 0,
        };
        let token = TaskToken {
            scheduled_event_id: state.scheduled_event_id,
            attempt: state.attempt,
            started_time,
            ..self.token()
        };
        PollActivityTaskQueueResponse {
            task_token: token.encode_to_vec().into(),
            workflow_type: self.start.workflow_type.clone(),
            workflow_execution: Some(WorkflowExecution { ..self.execution() }),
            activity_type: spec.activity_type.clone(),
            activity_id: spec.activity_id.clone(),
            header: spec.header.clone(),
            input: spec.input.clone(),
            heartbeat_details: state.heartbeat_details.clone(),
            scheduled_time: Some(Time(state.scheduled_time).proto()),
            current_attempt_scheduled_time: Some(Time(state.attempt_scheduled_time).proto()),
            started_time: Some(Time(started_time).proto()),
            attempt: state.attempt,
            schedule_to_close_timeout: spec.schedule_to_close_timeout,
            start_to_close_timeout: spec.start_to_close_timeout,
            heartbeat_timeout: spec.heartbeat_timeout,
            retry_policy: spec.retry_policy.clone(),
            priority: spec.priority.clone(),
            ..Default::default()
        }
    }

    pub fn task_queue(&self) -> &str {
        self.start.task_queue.as_ref().map_or("", |queue| &queue.name)
    }

    pub(super) fn normal_queue(&self) -> TaskQueue {
        TaskQueue {
            name: self.task_queue().to_owned(),
            kind: TaskQueueKind::Normal as i32,
            ..Default::default()
        }
    }
}

fn transient(event_id: i64, time: i64, attributes: Attributes) -> HistoryEvent {
    HistoryEvent {
        event_id,
        event_time: Some(Time(time).proto()),
        event_type: event::event_type(&attributes) as i32,
        attributes: Some(attributes),
        ..Default::default()
    }
}

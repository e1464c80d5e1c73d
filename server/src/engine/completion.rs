//! A workflow task that its worker has completed: what it asks for is checked and carried out, and what follows is
//! scheduled.

use durably_proto::temporal::api::{
    enums::v1::WorkflowTaskFailedCause,
    failure::v1::{Failure, failure::FailureInfo},
    history::v1::{WorkflowTaskCompletedEventAttributes, history_event::Attributes},
    workflowservice::v1::RespondWorkflowTaskCompletedRequest,
};

use super::{
    Completed, Context, Execution, Output, Poller, commands,
    state::{RunningTask, Sticky, TaskToken, WorkflowTask},
    time::{MINUTE, Nanos, SECOND, Time, nanos},
};
use crate::ServiceError;

/// How long a worker may keep a workflow task alive by completing it with nothing but a wish for a new one.
const HEARTBEAT_LIMIT: Nanos = 30 * MINUTE;

impl Execution {
    pub(super) fn complete_workflow_task(
        &mut self,
        token: &TaskToken,
        mut request: RespondWorkflowTaskCompletedRequest,
        cx: &mut Context<'_>,
    ) -> Result<Output, ServiceError> {
        let running = self.claim_task(token, &request.identity, cx)?;
        // The two events of a task that has none yet are written first, then the completion.
        let unwritten = if running.scheduled.is_unwritten() { 2 } else { 0 };
        let first_event_id = self.state.next_event_id + unwritten + 1;
        let asked = std::mem::take(&mut request.commands);
        let messages = std::mem::take(&mut request.messages);
        let commands = match commands::check(self, asked, messages, first_event_id) {
            Ok(commands) => commands,
            Err(refused) => return Ok(self.refuse_completion(&running, refused, request.identity, cx)),
        };
        self.close_deferred = false;
        let leaves_nothing = self.leaves_nothing(&running, &request, &commands);
        self.take_over(&request, cx);
        if !leaves_nothing {
            self.write_completion(&running, &request, cx);
        }
        let completed_id = self.state.next_event_id - 1;
        let applied = commands::apply(self, commands, completed_id, cx);
        if !request.force_create_new_workflow_task {
            self.reject_ignored_updates(cx);
        }
        let flushed = self.flush_buffered(cx);
        let results = std::mem::take(&mut request.query_results);
        let mut completed = Completed::default();
        if self.is_open() {
            completed = self.after_completion(&running, &request, &applied, flushed, cx);
        }
        completed.reset_to = leaves_nothing.then_some(self.state.previous_started_event_id);
        self.queries_after_completion(results, cx);
        if let Some(new) = &mut completed.new_task {
            // Queries that waited for the next task are part of it.
            new.response.queries.append(&mut self.attach_queries());
        }
        // What the store has of it must go, too.
        if !leaves_nothing || self.speculation_stored {
            self.changed(cx);
        }
        Ok(Output::WorkflowTaskCompleted(Box::new(completed)))
    }

    /// Whether nothing of the task is worth a place in the history: it was there for updates, and the workflow has
    /// rejected them all. A worker that has seen other events with it must know how to forget that it did.
    fn leaves_nothing(
        &self,
        running: &RunningTask,
        request: &RespondWorkflowTaskCompletedRequest,
        commands: &[commands::Checked],
    ) -> bool {
        // Behind the last started event, only the completed one.
        let saw_nothing_else =
            running.scheduled.scheduled_event_id <= self.state.previous_started_event_id + 2;
        let can_forget = request
            .capabilities
            .is_some_and(|capabilities| capabilities.discard_speculative_workflow_task_with_events);
        let has_flags = request.sdk_metadata.as_ref().is_some_and(|metadata| {
            !metadata.core_used_flags.is_empty() || !metadata.lang_used_flags.is_empty()
        });
        running.scheduled.speculative
            && commands.iter().all(commands::Checked::is_rejection)
            && self.pending.buffer.is_empty()
            && (saw_nothing_else || can_forget)
            && !request.force_create_new_workflow_task
            && !has_flags
    }

    /// The task is over, and what the worker says about itself counts from here on.
    fn take_over(&mut self, request: &RespondWorkflowTaskCompletedRequest, cx: &Context<'_>) {
        self.state.workflow_task = None;
        self.task_undelivered = false;
        self.task_failure = None;
        self.state.task_attempt = 1;
        self.state.sticky = request.sticky_attributes.as_ref().and_then(|sticky| {
            let queue = sticky.worker_task_queue.as_ref()?.name.clone();
            let schedule_to_start = sticky.schedule_to_start_timeout.as_ref().map_or(5 * SECOND, nanos);
            (!queue.is_empty()).then_some(Sticky { queue, schedule_to_start, epoch: cx.epoch })
        });
    }

    /// The task fails, although the worker meant to complete it.
    fn refuse_completion(
        &mut self,
        running: &RunningTask,
        refused: commands::Refused,
        identity: String,
        cx: &mut Context<'_>,
    ) -> Output {
        let text = refused.to_string();
        self.close_deferred = refused.cause == WorkflowTaskFailedCause::UnhandledCommand;
        let failure = Failure {
            message: refused.message,
            source: "Server".into(),
            failure_info: Some(FailureInfo::ServerFailureInfo(Default::default())),
            ..Default::default()
        };
        self.fail_running_task(running, refused.cause, Some(failure), identity, cx);
        self.changed(cx);
        Output::WorkflowTaskCompleted(Box::new(Completed { refused: Some(text), ..Default::default() }))
    }

    /// The ids of the task's scheduled and started events, which are written if they weren't yet.
    pub(super) fn task_events(&mut self, running: &RunningTask, cx: &mut Context<'_>) -> (i64, i64) {
        if !running.scheduled.is_unwritten() {
            return (running.scheduled.scheduled_event_id, running.started_event_id);
        }
        let [first, mut second] = self.transient_events(running);
        let scheduled_id = self.push_event(first, cx);
        if let Some(Attributes::WorkflowTaskStartedEventAttributes(started)) = &mut second.attributes {
            started.scheduled_event_id = scheduled_id;
        }
        (scheduled_id, self.push_event(second, cx))
    }

    /// Writes the completed event, and those of the task before it that are missing.
    fn write_completion(
        &mut self,
        running: &RunningTask,
        request: &RespondWorkflowTaskCompletedRequest,
        cx: &mut Context<'_>,
    ) {
        let (scheduled_id, started_id) = self.task_events(running, cx);
        let attributes = WorkflowTaskCompletedEventAttributes {
            scheduled_event_id: scheduled_id,
            started_event_id: started_id,
            identity: request.identity.clone(),
            binary_checksum: request.binary_checksum.clone(),
            worker_version: request.worker_version_stamp.clone(),
            sdk_metadata: request.sdk_metadata.clone(),
            metering_metadata: request.metering_metadata,
            deployment: request.deployment.clone(),
            versioning_behavior: request.versioning_behavior,
            ..Default::default()
        };
        self.push(Attributes::WorkflowTaskCompletedEventAttributes(attributes), cx);
        self.state.previous_started_event_id = started_id;
    }

    /// The next task, if something asks for one, and activities that the worker takes along.
    fn after_completion(
        &mut self,
        running: &RunningTask,
        request: &RespondWorkflowTaskCompletedRequest,
        applied: &commands::Applied,
        flushed: bool,
        cx: &mut Context<'_>,
    ) -> Completed {
        let mut completed = Completed::default();
        for id in &applied.eager_activities {
            let poller = Poller {
                identity: request.identity.clone(),
                in_process: running.in_process,
                ..Default::default()
            };
            if let Output::Activity(task) = self.start_activity(*id, 1, poller, cx) {
                completed.eager_activities.push(*task);
            }
        }
        let heartbeat = request.force_create_new_workflow_task;
        self.state.heartbeat_chain_start = heartbeat.then(|| {
            let began = self.state.heartbeat_chain_start.unwrap_or(running.scheduled.scheduled_time);
            if cx.now.since(Time(began)) > HEARTBEAT_LIMIT { cx.now.0 } else { began }
        });
        let written = flushed || heartbeat || applied.needs_task;
        let is_new = if written {
            self.schedule_task_without_offer(cx)
        } else {
            self.requested.has_unsent() && self.schedule_speculative_task_without_offer(cx)
        };
        if is_new && request.return_new_workflow_task {
            let poller = Poller {
                identity: request.identity.clone(),
                request_id: "request-from-RespondWorkflowTaskCompleted".into(),
                in_process: running.in_process,
            };
            completed.new_task = Some(self.begin_and_grant(true, poller, cx));
        } else if is_new && let Some(WorkflowTask::AwaitingPoller(task)) = &self.state.workflow_task {
            let dispatch = self.workflow_task_dispatch(task);
            cx.effects.dispatch.push(dispatch);
        }
        completed
    }
}

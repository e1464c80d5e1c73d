//! The workflow task of a run: at most one at a time, scheduled, then with a worker, then answered or failed.
//!
//! Only a first attempt leaves events when it is scheduled, started or fails. Later attempts are *transient*: their
//! worker sees scheduled and started events, which are written when the task completes. So it is with a *speculative* task,
//! which is there for updates only, unless something else happens before a worker takes it; if the workflow rejects all of
//! them, nothing is written at all.

use durably_proto::temporal::api::{
    enums::v1::{SuggestContinueAsNewReason, TaskQueueKind, TimeoutType, WorkflowTaskFailedCause},
    failure::v1::Failure,
    history::v1::{
        WorkflowTaskFailedEventAttributes, WorkflowTaskScheduledEventAttributes,
        WorkflowTaskStartedEventAttributes, WorkflowTaskTimedOutEventAttributes, history_event::Attributes,
    },
    taskqueue::v1::TaskQueue,
    workflowservice::v1::RespondWorkflowTaskFailedRequest,
};

use super::{
    Context, Dispatch, Execution, Output, Poller, WorkflowTaskGrant,
    admission::DEFAULT_TASK_TIMEOUT,
    external::SERVER,
    hindrance,
    state::{RunningTask, ScheduledTask, TaskToken, WorkflowTask},
    time::{MINUTE, Nanos, SECOND, Time, positive},
};
use crate::ServiceError;

/// From this attempt on, a failing task is handed out after a growing pause.
const FIRST_DELAYED_ATTEMPT: i32 = 3;
/// A workflow task that has come to this attempt keeps failing, as Temporal's server has it too.
const FAILING_ATTEMPT: i32 = 3;
const FIRST_DELAY: Nanos = SECOND;
const MAX_DELAY: Nanos = 10 * MINUTE;
/// History sizes at which workers are told to continue as new.
const SUGGEST_EVENTS: i64 = 4_096;
const SUGGEST_BYTES: i64 = 4 * 1024 * 1024;

impl Execution {
    /// Makes sure that a workflow task follows what just happened, and offers it to pollers.
    pub(super) fn schedule_task(&mut self, cx: &mut Context<'_>) {
        if self.schedule_task_without_offer(cx)
            && let Some(WorkflowTask::AwaitingPoller(task)) = &self.state.workflow_task
            && task.not_before.is_none()
        {
            let dispatch = self.workflow_task_dispatch(task);
            cx.effects.dispatch.push(dispatch);
        }
    }

    /// Queries and updates that come now are refused: they would wait for a workflow task that keeps failing.
    pub(super) fn task_keeps_failing(&self) -> bool {
        self.state.task_attempt >= FAILING_ATTEMPT
    }

    /// [`Execution::schedule_task`] without offering it; says whether there is a new task.
    pub(super) fn schedule_task_without_offer(&mut self, cx: &mut Context<'_>) -> bool {
        if matches!(&self.state.workflow_task, Some(WorkflowTask::AwaitingPoller(task)) if task.speculative) {
            // What happened is in the history: so is the task for it.
            self.state.workflow_task = None;
        }
        if self.state.workflow_task.is_some() || self.state.first_task_due.is_some() || !self.is_open() {
            return false;
        }
        if self.state.task_attempt > 1 && self.state.next_event_id != self.state.failed_task_end {
            self.state.task_attempt = 1;
        }
        let attempt = self.state.task_attempt;
        let scheduled_event_id =
            if attempt == 1 { self.push_task_scheduled(cx) } else { self.state.next_event_id };
        self.await_poller(scheduled_event_id, attempt, false, cx);
        true
    }

    fn await_poller(&mut self, scheduled_event_id: i64, attempt: i32, speculative: bool, cx: &Context<'_>) {
        let sticky_deadline =
            self.state.sticky.as_ref().map(|sticky| cx.now.after(sticky.schedule_to_start).0);
        self.state.workflow_task = Some(WorkflowTask::AwaitingPoller(ScheduledTask {
            scheduled_event_id,
            scheduled_time: cx.now.0,
            attempt,
            sticky_deadline,
            not_before: None,
            speculative,
        }));
    }

    /// Makes sure that updates get to the workflow: with the task that is pending or running, or with one of their own.
    pub(super) fn schedule_speculative_task(&mut self, cx: &mut Context<'_>) {
        if self.schedule_speculative_task_without_offer(cx)
            && let Some(WorkflowTask::AwaitingPoller(task)) = &self.state.workflow_task
        {
            let dispatch = self.workflow_task_dispatch(task);
            cx.effects.dispatch.push(dispatch);
        }
    }

    pub(super) fn schedule_speculative_task_without_offer(&mut self, cx: &Context<'_>) -> bool {
        if self.state.workflow_task.is_some() || self.state.first_task_due.is_some() || !self.is_open() {
            return false;
        }
        self.await_poller(self.state.next_event_id, 1, true, cx);
        true
    }

    pub(super) fn task_is_speculative(&self) -> bool {
        match &self.state.workflow_task {
            Some(WorkflowTask::AwaitingPoller(task)) => task.speculative,
            Some(WorkflowTask::AwaitingCompletion(running)) => running.scheduled.speculative,
            None => false,
        }
    }

    fn push_task_scheduled(&mut self, cx: &mut Context<'_>) -> i64 {
        let task_queue = match &self.state.sticky {
            Some(sticky) => TaskQueue {
                name: sticky.queue.clone(),
                kind: TaskQueueKind::Sticky as i32,
                normal_name: self.task_queue().to_owned(),
            },
            None => self.normal_queue(),
        };
        let attributes = WorkflowTaskScheduledEventAttributes {
            task_queue: Some(task_queue),
            start_to_close_timeout: self.start.workflow_task_timeout,
            attempt: 1,
        };
        self.push(Attributes::WorkflowTaskScheduledEventAttributes(attributes), cx)
    }

    pub(super) fn workflow_task_dispatch(&self, task: &ScheduledTask) -> Dispatch {
        Dispatch::WorkflowTask {
            queue: self.task_queue().to_owned(),
            sticky: self.state.sticky.as_ref().map(|sticky| sticky.queue.clone()),
            scheduled_event_id: task.scheduled_event_id,
            attempt: task.attempt,
        }
    }

    pub(super) fn start_workflow_task(
        &mut self,
        scheduled_event_id: i64,
        attempt: i32,
        sticky: bool,
        poller: Poller,
        cx: &mut Context<'_>,
    ) -> Output {
        let names =
            |task: &ScheduledTask| task.scheduled_event_id == scheduled_event_id && task.attempt == attempt;
        match &self.state.workflow_task {
            Some(WorkflowTask::AwaitingPoller(task)) if names(task) => {
                Output::WorkflowTask(Box::new(self.begin_and_grant(sticky, poller, cx)))
            }
            Some(WorkflowTask::AwaitingCompletion(running))
                if self.task_undelivered && names(&running.scheduled) =>
            {
                let running = running.clone();
                self.task_undelivered = false;
                Output::WorkflowTask(Box::new(self.grant(&running, sticky)))
            }
            _ => Output::Stale,
        }
    }

    /// Gives the scheduled task to `poller`.
    pub(super) fn begin_and_grant(
        &mut self,
        sticky: bool,
        poller: Poller,
        cx: &mut Context<'_>,
    ) -> WorkflowTaskGrant {
        let running = self.begin_task(poller, cx);
        self.grant(&running, sticky)
    }

    fn begin_task(&mut self, poller: Poller, cx: &mut Context<'_>) -> RunningTask {
        let Some(WorkflowTask::AwaitingPoller(mut scheduled)) = self.state.workflow_task.take() else {
            unreachable!("callers have seen the scheduled task")
        };
        if scheduled.is_unwritten() && self.state.next_event_id != scheduled.scheduled_event_id {
            // Something happened since: what was a repetition, or there for updates only, is a first attempt.
            self.state.task_attempt = 1;
            scheduled.attempt = 1;
            scheduled.speculative = false;
            scheduled.scheduled_event_id = self.push_task_scheduled(cx);
        }
        let suggest_reasons = self.reasons_to_continue_as_new();
        let speculative = scheduled.speculative;
        let mut started_time = cx.now.0;
        if speculative {
            started_time = started_time.max(self.last_speculation + 1);
            self.last_speculation = started_time;
        }
        let mut running = RunningTask {
            deadline: cx.now.after(self.task_timeout()).0,
            started_event_id: scheduled.scheduled_event_id + 1,
            scheduled,
            started_time,
            identity: poller.identity,
            request_id: poller.request_id,
            epoch: cx.epoch,
            in_process: poller.in_process,
            history_bytes: self.state.history_bytes,
            suggest_continue_as_new: !suggest_reasons.is_empty(),
            suggest_reasons,
        };
        if !running.scheduled.is_unwritten() {
            running.started_event_id = self.push(started(&running), cx);
        }
        self.state.workflow_task = Some(WorkflowTask::AwaitingCompletion(running.clone()));
        self.task_undelivered = false;
        if !speculative {
            self.changed_in_memory();
        }
        running
    }

    fn reasons_to_continue_as_new(&self) -> Vec<i32> {
        use SuggestContinueAsNewReason::{HistorySizeTooLarge, TooManyHistoryEvents, TooManyUpdates};
        let reasons = [
            (self.state.history_bytes > SUGGEST_BYTES, HistorySizeTooLarge),
            (self.state.next_event_id > SUGGEST_EVENTS, TooManyHistoryEvents),
            (self.suggests_fewer_updates(), TooManyUpdates),
        ];
        reasons.into_iter().filter(|(applies, _)| *applies).map(|(_, reason)| reason as i32).collect()
    }

    pub(super) fn task_timeout(&self) -> Nanos {
        positive(self.start.workflow_task_timeout.as_ref()).unwrap_or(DEFAULT_TASK_TIMEOUT)
    }

    /// The running task that `token` names. A token from before a crash is good for a task that the crash put back
    /// to the queue, as long as nobody else took it.
    pub(super) fn claim_task(
        &mut self,
        token: &TaskToken,
        identity: &str,
        cx: &mut Context<'_>,
    ) -> Result<RunningTask, ServiceError> {
        let gone = || ServiceError::not_found("workflow task not found.");
        if !self.is_open() {
            return Err(ServiceError::not_found("workflow execution already completed"));
        }
        match &self.state.workflow_task {
            Some(WorkflowTask::AwaitingCompletion(running))
                if running.scheduled.scheduled_event_id == token.scheduled_event_id
                    && running.started_event_id == token.started_event_id
                    && running.scheduled.attempt == token.attempt
                    && running.started_time == token.started_time
                    // A clock that stands still gives a task of before a crash the same time.
                    && running.epoch == token.epoch =>
            {
                Ok(running.clone())
            }
            Some(WorkflowTask::AwaitingPoller(task))
                if token.epoch < cx.epoch
                    && task.scheduled_event_id == token.scheduled_event_id
                    && task.attempt == token.attempt
                    && self.state.next_event_id + i64::from(task.is_unwritten())
                        == token.started_event_id =>
            {
                let poller = Poller { identity: identity.to_owned(), ..Default::default() };
                Ok(self.begin_task(poller, cx))
            }
            _ => Err(gone()),
        }
    }

    pub(super) fn fail_workflow_task(
        &mut self,
        token: &TaskToken,
        request: RespondWorkflowTaskFailedRequest,
        cx: &mut Context<'_>,
    ) -> Result<Output, ServiceError> {
        let cause = request.cause();
        let running = self.claim_task(token, &request.identity, cx)?;
        self.fail_running_task(&running, cause, request.failure, request.identity, cx);
        self.changed(cx);
        Ok(Output::Done)
    }

    /// Ends the running task without its commands and schedules the next attempt.
    pub(super) fn fail_running_task(
        &mut self,
        running: &RunningTask,
        cause: WorkflowTaskFailedCause,
        failure: Option<Failure>,
        identity: String,
        cx: &mut Context<'_>,
    ) {
        if hindrance::blames_code(cause) {
            self.task_failure = Some(hindrance::text(failure.as_ref()).into());
        }
        if running.scheduled.attempt == 1 {
            self.push_task_failed(running, cause, failure, identity, cx);
        }
        self.after_failure(running, cause != WorkflowTaskFailedCause::UnhandledCommand, cx);
    }

    fn push_task_failed(
        &mut self,
        running: &RunningTask,
        cause: WorkflowTaskFailedCause,
        failure: Option<Failure>,
        identity: String,
        cx: &mut Context<'_>,
    ) {
        let (scheduled_event_id, started_event_id) = self.task_events(running, cx);
        let attributes = WorkflowTaskFailedEventAttributes {
            scheduled_event_id,
            started_event_id,
            cause: cause as i32,
            failure,
            identity,
            ..Default::default()
        };
        self.push(Attributes::WorkflowTaskFailedEventAttributes(attributes), cx);
    }

    fn after_failure(&mut self, running: &RunningTask, delay: bool, cx: &mut Context<'_>) {
        self.state.workflow_task = None;
        self.task_undelivered = false;
        self.state.sticky = None;
        self.state.task_attempt = running.scheduled.attempt + 1;
        cx.effects.failed_attempt = cx.effects.failed_attempt.max(running.scheduled.attempt);
        self.state.failed_task_end = self.state.next_event_id;
        self.flush_buffered(cx);
        // Who has waited gets that attempt as well.
        let is_hopeless = self.state.task_attempt > FAILING_ATTEMPT;
        self.queries.detach(is_hopeless, cx);
        self.detach_updates(is_hopeless, cx);
        if !self.schedule_task_without_offer(cx) {
            return;
        }
        let Some(WorkflowTask::AwaitingPoller(task)) = &mut self.state.workflow_task else { return };
        if delay && task.attempt >= FIRST_DELAYED_ATTEMPT {
            let doublings = (task.attempt - FIRST_DELAYED_ATTEMPT).min(20);
            task.not_before = Some(cx.now.after((FIRST_DELAY << doublings).min(MAX_DELAY)).0);
            return;
        }
        let task = task.clone();
        let dispatch = self.workflow_task_dispatch(&task);
        cx.effects.dispatch.push(dispatch);
    }

    /// Ends a running task behind which too many events have gathered, so that they can be written.
    pub(super) fn relieve_buffer(&mut self, cx: &mut Context<'_>) {
        if !self.pending.buffer.is_full() {
            return;
        }
        let Some(WorkflowTask::AwaitingCompletion(running)) = self.state.workflow_task.clone() else {
            return;
        };
        let cause = WorkflowTaskFailedCause::ForceCloseCommand;
        self.fail_running_task(&running, cause, None, SERVER.into(), cx);
        self.changed(cx);
    }

    /// Ends the running task because the run itself ends now.
    pub(super) fn force_close_task(&mut self, cx: &mut Context<'_>) {
        if let Some(WorkflowTask::AwaitingCompletion(running)) = self.state.workflow_task.take()
            && !running.scheduled.is_unwritten()
        {
            let cause = WorkflowTaskFailedCause::ForceCloseCommand;
            self.push_task_failed(&running, cause, None, String::new(), cx);
        }
        self.state.workflow_task = None;
        self.flush_buffered(cx);
    }

    /// When something about the workflow task happens by itself.
    pub(super) fn workflow_task_due(&self) -> Option<Time> {
        match self.state.workflow_task.as_ref()? {
            WorkflowTask::AwaitingPoller(task) => {
                task.sticky_deadline.into_iter().chain(task.not_before).min().map(Time)
            }
            WorkflowTask::AwaitingCompletion(running) => Some(Time(running.deadline)),
        }
    }

    pub(super) fn workflow_task_timers(&mut self, cx: &mut Context<'_>) {
        match self.state.workflow_task.clone() {
            Some(WorkflowTask::AwaitingPoller(task))
                if task.sticky_deadline.is_some_and(|t| t <= cx.now.0) =>
            {
                self.sticky_timed_out(&task, cx);
            }
            Some(WorkflowTask::AwaitingPoller(mut task))
                if task.not_before.is_some_and(|t| t <= cx.now.0) =>
            {
                task.not_before = None;
                let dispatch = self.workflow_task_dispatch(&task);
                self.state.workflow_task = Some(WorkflowTask::AwaitingPoller(task));
                self.changed_in_memory();
                cx.effects.dispatch.push(dispatch);
            }
            Some(WorkflowTask::AwaitingCompletion(running)) if running.deadline <= cx.now.0 => {
                self.workflow_task_timed_out(&running, cx);
            }
            _ => {}
        }
    }

    /// Nobody came to the sticky queue: the same attempt goes to the normal queue.
    fn sticky_timed_out(&mut self, task: &ScheduledTask, cx: &mut Context<'_>) {
        self.state.sticky = None;
        self.state.workflow_task = None;
        if task.speculative {
            return self.schedule_speculative_task(cx);
        }
        if task.attempt == 1 {
            let attributes = WorkflowTaskTimedOutEventAttributes {
                scheduled_event_id: task.scheduled_event_id,
                started_event_id: 0,
                timeout_type: TimeoutType::ScheduleToStart as i32,
            };
            self.push(Attributes::WorkflowTaskTimedOutEventAttributes(attributes), cx);
        }
        self.schedule_task(cx);
        self.changed(cx);
    }

    fn workflow_task_timed_out(&mut self, running: &RunningTask, cx: &mut Context<'_>) {
        if running.scheduled.attempt == 1 {
            let (scheduled_event_id, started_event_id) = self.task_events(running, cx);
            let attributes = WorkflowTaskTimedOutEventAttributes {
                scheduled_event_id,
                started_event_id,
                timeout_type: TimeoutType::StartToClose as i32,
            };
            self.push(Attributes::WorkflowTaskTimedOutEventAttributes(attributes), cx);
        }
        self.after_failure(running, true, cx);
        self.changed(cx);
    }

    pub(super) fn workflow_task_undelivered(
        &mut self,
        scheduled_event_id: i64,
        attempt: i32,
        cx: &mut Context<'_>,
    ) -> Output {
        match &self.state.workflow_task {
            Some(WorkflowTask::AwaitingCompletion(running))
                if running.scheduled.scheduled_event_id == scheduled_event_id
                    && running.scheduled.attempt == attempt =>
            {
                let dispatch = self.workflow_task_dispatch(&running.scheduled);
                self.task_undelivered = true;
                self.queries.detach(false, cx);
                self.detach_updates(false, cx);
                cx.effects.dispatch.push(dispatch);
                Output::Done
            }
            _ => Output::Stale,
        }
    }

    pub(super) fn reset_sticky(&mut self, cx: &mut Context<'_>) -> Output {
        // Not worth storing: who reads the run back finds that nobody polls the queue.
        if self.state.sticky.take().is_none() {
            return Output::Done;
        }
        if let Some(WorkflowTask::AwaitingPoller(task)) = &mut self.state.workflow_task {
            task.sticky_deadline = None;
            let task = task.clone();
            if task.not_before.is_none() {
                let dispatch = self.workflow_task_dispatch(&task);
                cx.effects.dispatch.push(dispatch);
            }
        }
        Output::Done
    }

    /// After a restart: a task inside the old process is lost, one with a worker elsewhere may still be answered.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>) -> Output {
        if self.state.sticky.as_ref().is_some_and(|sticky| sticky.epoch != cx.epoch) {
            self.forget_sticky();
        }
        if let Some(WorkflowTask::AwaitingCompletion(running)) = self.state.workflow_task.clone()
            && running.in_process
            && running.epoch != cx.epoch
        {
            self.workflow_task_timed_out(&running, cx);
        }
        self.withdraw_speculative_task(cx);
        self.resume_activities(cx);
        Output::Done
    }

    /// Takes back a task that waits for a worker, if it is there for updates only, which are lost: those who asked ask again.
    pub(super) fn withdraw_speculative_task(&mut self, cx: &mut Context<'_>) {
        let Some(WorkflowTask::AwaitingPoller(task)) = &self.state.workflow_task else { return };
        if !task.speculative {
            return;
        }
        let is_needed = self.state.next_event_id != task.scheduled_event_id;
        self.state.workflow_task = None;
        if is_needed {
            self.schedule_task(cx);
            self.changed(cx);
        } else {
            self.release_queries(cx);
        }
    }

    /// The worker that held the run in its cache is gone; nothing is offered again.
    fn forget_sticky(&mut self) {
        self.state.sticky = None;
        if let Some(WorkflowTask::AwaitingPoller(task)) = &mut self.state.workflow_task {
            task.sticky_deadline = None;
        }
    }
}

/// What the started event of a task says, whether it is written at once, with the task's completion, or never.
pub(super) fn started(running: &RunningTask) -> Attributes {
    Attributes::WorkflowTaskStartedEventAttributes(WorkflowTaskStartedEventAttributes {
        scheduled_event_id: running.scheduled.scheduled_event_id,
        identity: running.identity.clone(),
        request_id: running.request_id.clone(),
        suggest_continue_as_new: running.suggest_continue_as_new,
        suggest_continue_as_new_reasons: running.suggest_reasons.clone(),
        history_size_bytes: running.history_bytes,
        ..Default::default()
    })
}

//! What a run tells about itself.

use durably_proto::temporal::api::{
    common::v1::WorkflowExecution,
    enums::v1::{PendingActivityState, PendingWorkflowTaskState},
    workflow::v1::{
        PendingActivityInfo, PendingChildExecutionInfo, PendingWorkflowTaskInfo, WorkflowExecutionConfig,
        WorkflowExecutionExtendedInfo, WorkflowExecutionInfo,
    },
    workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use super::{
    Execution, Time,
    activity::Activity,
    children::Child,
    state::{ActivityPhase, WorkflowTask},
    time::duration,
};

impl Execution {
    pub fn describe(&self) -> DescribeWorkflowExecutionResponse {
        DescribeWorkflowExecutionResponse {
            execution_config: Some(WorkflowExecutionConfig {
                task_queue: Some(self.normal_queue()),
                workflow_execution_timeout: self.start.workflow_execution_timeout,
                workflow_run_timeout: self.start.workflow_run_timeout,
                default_workflow_task_timeout: Some(duration(self.task_timeout())),
                user_metadata: self.user_metadata.clone(),
            }),
            workflow_execution_info: Some(self.info()),
            pending_activities: self.pending.activities.values().map(pending_activity).collect(),
            pending_children: self.pending.children.values().map(pending_child).collect(),
            pending_workflow_task: self.pending_workflow_task(),
            workflow_extended_info: Some(WorkflowExecutionExtendedInfo {
                execution_expiration_time: self.start.workflow_execution_expiration_time,
                run_expiration_time: self.state.run_expiration.map(|time| Time(time).proto()),
                cancel_requested: self.state.cancel_requested,
                original_start_time: Some(Time(self.state.start_time).proto()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// The part that lists show too.
    pub fn info(&self) -> WorkflowExecutionInfo {
        let state = &self.state;
        WorkflowExecutionInfo {
            execution: Some(self.execution()),
            r#type: self.start.workflow_type.clone(),
            start_time: Some(Time(state.start_time).proto()),
            close_time: state.close_time.map(|time| Time(time).proto()),
            status: state.status,
            history_length: state.next_event_id - 1,
            execution_time: Some(Time(state.execution_time).proto()),
            memo: self.memo().cloned(),
            search_attributes: self.search_attributes().cloned(),
            task_queue: self.task_queue().to_owned(),
            state_transition_count: state.transitions,
            history_size_bytes: state.history_bytes,
            execution_duration: state.close_time.map(|close| duration(close - state.execution_time)),
            parent_namespace_id: self.start.parent_workflow_namespace_id.clone(),
            parent_execution: self.start.parent_workflow_execution.clone(),
            root_execution: Some(self.root()),
            first_run_id: self.start.first_execution_run_id.clone(),
            priority: self.start.priority.clone(),
            ..Default::default()
        }
    }

    /// The topmost workflow above the run; itself, if it is nobody's child.
    pub fn root(&self) -> WorkflowExecution {
        let given = self.start.root_workflow_execution.clone();
        given.filter(|_| self.start.parent_workflow_execution.is_some()).unwrap_or_else(|| self.execution())
    }

    fn pending_workflow_task(&self) -> Option<PendingWorkflowTaskInfo> {
        let (scheduled, started) = match self.state.workflow_task.as_ref()? {
            WorkflowTask::AwaitingPoller(task) => (task, None),
            WorkflowTask::AwaitingCompletion(running) => (&running.scheduled, Some(running.started_time)),
        };
        let state = match started {
            None => PendingWorkflowTaskState::Scheduled,
            Some(_) => PendingWorkflowTaskState::Started,
        };
        let original = self.state.heartbeat_chain_start.unwrap_or(scheduled.scheduled_time);
        Some(PendingWorkflowTaskInfo {
            state: state as i32,
            scheduled_time: Some(Time(scheduled.scheduled_time).proto()),
            original_scheduled_time: Some(Time(original).proto()),
            started_time: started.map(|time| Time(time).proto()),
            attempt: scheduled.attempt,
        })
    }
}

fn pending_child(child: &Child) -> PendingChildExecutionInfo {
    PendingChildExecutionInfo {
        workflow_id: child.workflow_id.clone(),
        run_id: child.run_id.clone(),
        workflow_type_name: child.workflow_type.clone(),
        initiated_id: child.initiated_event_id,
        parent_close_policy: child.parent_close_policy,
    }
}

fn pending_activity(activity: &Activity) -> PendingActivityInfo {
    let (spec, state) = (&activity.spec, &activity.state);
    let (kind, interval) = match &state.phase {
        Some(ActivityPhase::AwaitingResult(_)) if activity.cancel_requested() => {
            (PendingActivityState::CancelRequested, None)
        }
        Some(ActivityPhase::AwaitingResult(_)) => (PendingActivityState::Started, None),
        Some(ActivityPhase::AwaitingRetry(pause)) => (PendingActivityState::Scheduled, Some(pause.interval)),
        _ => (PendingActivityState::Scheduled, None),
    };
    let time = |time: i64| Time(time).proto();
    PendingActivityInfo {
        activity_id: spec.activity_id.clone(),
        activity_type: spec.activity_type.clone(),
        state: kind as i32,
        heartbeat_details: state.heartbeat_details.clone(),
        last_heartbeat_time: state.heartbeat_time.map(time),
        last_started_time: state.last_started_time.map(time),
        attempt: state.attempt,
        maximum_attempts: spec.retry_policy.as_ref().map_or(0, |policy| policy.maximum_attempts),
        scheduled_time: Some(time(state.attempt_scheduled_time)),
        expiration_time: activity.expiration().map(Time::proto),
        last_failure: state.last_failure.clone(),
        last_worker_identity: state.last_identity.clone(),
        current_retry_interval: interval.map(duration),
        last_attempt_complete_time: state.last_attempt_end.map(time),
        next_attempt_schedule_time: interval.map(|_| time(state.attempt_scheduled_time)),
        priority: spec.priority.clone(),
        ..Default::default()
    }
}

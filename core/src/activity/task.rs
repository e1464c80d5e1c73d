//! From a polled activity task to the event that starts it.

use durably_proto::{
    durably::core::v1::ActivityStart, temporal::api::workflowservice::v1::PollActivityTaskQueueResponse,
};
use tokio::time::Instant;

use crate::convert::{duration, unless_zero};

/// When an attempt that starts now must have ended, if it has a time-out.
pub(super) fn latest_close(task: &PollActivityTaskQueueResponse, now: Instant) -> Option<Instant> {
    // Schedule-to-close counts from a moment on the server's clock; counted from now, it can only be too long.
    let timeouts = [&task.start_to_close_timeout, &task.schedule_to_close_timeout];
    // A time-out beyond what the clock can hold is none.
    timeouts
        .into_iter()
        .filter_map(|t| duration(t.as_ref()))
        .min()
        .and_then(|timeout| now.checked_add(timeout))
}

/// What people know an attempt by, for the log.
pub(super) struct AttemptName {
    activity_type: String,
    activity_id: String,
    workflow_id: String,
    attempt: i32,
}

impl AttemptName {
    pub(super) fn of(task: &PollActivityTaskQueueResponse) -> Self {
        Self {
            activity_type: task.activity_type.as_ref().map(|t| t.name.clone()).unwrap_or_default(),
            activity_id: task.activity_id.clone(),
            workflow_id: task.workflow_execution.as_ref().map(|e| e.workflow_id.clone()).unwrap_or_default(),
            attempt: task.attempt.max(1),
        }
    }

    /// Says that nobody waits for the attempt any more: its worker hears of it nowhere else. Of one that is late again and
    /// again, ever more rarely.
    pub(super) fn tell_late(&self, problem: &str) {
        let Self { activity_type, activity_id, workflow_id, attempt } = self;
        if attempt.cast_unsigned().is_power_of_two() {
            tracing::warn!(
                activity_type,
                activity_id,
                workflow_id,
                attempt,
                "{problem}: what it returns counts for nothing. Give it more time, or let it do less"
            );
        }
    }
}

pub(super) fn start_event(task: PollActivityTaskQueueResponse, is_eager: bool) -> ActivityStart {
    ActivityStart {
        task_token: task.task_token,
        workflow_namespace: task.workflow_namespace,
        workflow_type: task.workflow_type.map(|t| t.name).unwrap_or_default(),
        workflow_execution: task.workflow_execution,
        activity_id: task.activity_id,
        activity_type: task.activity_type.map(|t| t.name).unwrap_or_default(),
        headers: task.header.map(|h| h.fields).unwrap_or_default(),
        input: task.input.map(|p| p.payloads).unwrap_or_default(),
        heartbeat_details: task.heartbeat_details.map(|p| p.payloads).unwrap_or_default(),
        scheduled_time: task.scheduled_time,
        current_attempt_scheduled_time: task.current_attempt_scheduled_time,
        started_time: task.started_time,
        attempt: task.attempt.max(1),
        schedule_to_close_timeout: unless_zero(task.schedule_to_close_timeout),
        start_to_close_timeout: unless_zero(task.start_to_close_timeout),
        heartbeat_timeout: unless_zero(task.heartbeat_timeout),
        retry_policy: task.retry_policy,
        priority: task.priority,
        is_eager,
    }
}

//! History events on one line each.

use durably_proto::temporal::api::{
    common::v1::WorkflowExecution,
    failure::v1::{Failure, failure::FailureInfo},
    history::v1::{HistoryEvent, history_event::Attributes as A},
};

/// An event on one line: what its reader needs to check ids and order.
pub(super) fn brief(event: &HistoryEvent) -> String {
    let detail = match event.attributes.as_ref().unwrap() {
        A::WorkflowExecutionStartedEventAttributes(a) => {
            format!(
                "attempt={} continued={:?} first={}",
                a.attempt, a.continued_execution_run_id, a.first_execution_run_id
            )
        }
        A::WorkflowTaskScheduledEventAttributes(a) => {
            format!("{} attempt={}", a.task_queue.as_ref().unwrap().name, a.attempt)
        }
        A::WorkflowTaskStartedEventAttributes(a) => format!("scheduled={}", a.scheduled_event_id),
        A::WorkflowTaskCompletedEventAttributes(a) => {
            format!("scheduled={} started={}", a.scheduled_event_id, a.started_event_id)
        }
        A::WorkflowTaskTimedOutEventAttributes(a) => {
            format!(
                "scheduled={} started={} {:?}",
                a.scheduled_event_id,
                a.started_event_id,
                a.timeout_type()
            )
        }
        A::WorkflowTaskFailedEventAttributes(a) => {
            format!("scheduled={} started={} {:?}", a.scheduled_event_id, a.started_event_id, a.cause())
        }
        A::TimerStartedEventAttributes(a) => a.timer_id.clone(),
        A::TimerFiredEventAttributes(a) => format!("{} started={}", a.timer_id, a.started_event_id),
        A::TimerCanceledEventAttributes(a) => format!("{} started={}", a.timer_id, a.started_event_id),
        A::WorkflowExecutionSignaledEventAttributes(a) => a.signal_name.clone(),
        A::SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => a.signal_name.clone(),
        A::ExternalWorkflowExecutionSignaledEventAttributes(a) => {
            format!("initiated={}", a.initiated_event_id)
        }
        A::SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
            format!("initiated={} {:?}", a.initiated_event_id, a.cause())
        }
        A::WorkflowExecutionFailedEventAttributes(a) => {
            format!("{:?} new={:?}", a.retry_state(), a.new_execution_run_id)
        }
        A::WorkflowExecutionTimedOutEventAttributes(a) => {
            format!("{:?} new={:?}", a.retry_state(), a.new_execution_run_id)
        }
        A::WorkflowExecutionContinuedAsNewEventAttributes(a) => format!("new={:?}", a.new_execution_run_id),
        A::WorkflowExecutionCancelRequestedEventAttributes(a) => {
            format!("{:?} initiated={}", a.cause, a.external_initiated_event_id)
        }
        other => brief_activity(other).or_else(|| brief_child(other)).unwrap_or_default(),
    };
    format!("{} {:?} {detail}", event.event_id, event.event_type()).trim_end().to_owned()
}

fn brief_child(attributes: &A) -> Option<String> {
    let ids = |initiated: i64, started: i64, run: &Option<WorkflowExecution>| {
        let run = run.as_ref().map_or("", |run| &run.run_id);
        Some(format!("initiated={initiated} started={started} run={run:?}"))
    };
    match attributes {
        A::StartChildWorkflowExecutionInitiatedEventAttributes(a) => {
            Some(format!("{} {:?}", a.workflow_id, a.parent_close_policy()))
        }
        A::StartChildWorkflowExecutionFailedEventAttributes(a) => {
            Some(format!("initiated={} {:?}", a.initiated_event_id, a.cause()))
        }
        A::ChildWorkflowExecutionStartedEventAttributes(a) => {
            ids(a.initiated_event_id, 0, &a.workflow_execution)
        }
        A::ChildWorkflowExecutionCompletedEventAttributes(a) => {
            ids(a.initiated_event_id, a.started_event_id, &a.workflow_execution)
        }
        A::ChildWorkflowExecutionFailedEventAttributes(a) => {
            ids(a.initiated_event_id, a.started_event_id, &a.workflow_execution)
        }
        A::ChildWorkflowExecutionCanceledEventAttributes(a) => {
            ids(a.initiated_event_id, a.started_event_id, &a.workflow_execution)
        }
        A::ChildWorkflowExecutionTimedOutEventAttributes(a) => {
            ids(a.initiated_event_id, a.started_event_id, &a.workflow_execution)
        }
        A::ChildWorkflowExecutionTerminatedEventAttributes(a) => {
            ids(a.initiated_event_id, a.started_event_id, &a.workflow_execution)
        }
        A::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a) => Some(a.reason.clone()),
        A::ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => {
            Some(format!("initiated={}", a.initiated_event_id))
        }
        A::RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => {
            Some(format!("initiated={} {:?}", a.initiated_event_id, a.cause()))
        }
        _ => None,
    }
}

fn brief_activity(attributes: &A) -> Option<String> {
    let timeout = |failure: &Option<Failure>| match failure.as_ref().and_then(|f| f.failure_info.as_ref()) {
        Some(FailureInfo::TimeoutFailureInfo(info)) => format!("{:?}", info.timeout_type()),
        _ => "?".into(),
    };
    let brief = match attributes {
        A::ActivityTaskScheduledEventAttributes(a) => {
            format!("{} completed={}", a.activity_id, a.workflow_task_completed_event_id)
        }
        A::ActivityTaskStartedEventAttributes(a) => {
            format!(
                "scheduled={} attempt={} last_failure={}",
                a.scheduled_event_id,
                a.attempt,
                a.last_failure.is_some()
            )
        }
        A::ActivityTaskCompletedEventAttributes(a) => {
            format!("scheduled={} started={}", a.scheduled_event_id, a.started_event_id)
        }
        A::ActivityTaskFailedEventAttributes(a) => {
            format!("scheduled={} started={} {:?}", a.scheduled_event_id, a.started_event_id, a.retry_state())
        }
        A::ActivityTaskTimedOutEventAttributes(a) => {
            format!(
                "scheduled={} started={} {} {:?}",
                a.scheduled_event_id,
                a.started_event_id,
                timeout(&a.failure),
                a.retry_state()
            )
        }
        A::ActivityTaskCancelRequestedEventAttributes(a) => format!("scheduled={}", a.scheduled_event_id),
        A::ActivityTaskCanceledEventAttributes(a) => {
            format!(
                "scheduled={} started={} requested={}",
                a.scheduled_event_id, a.started_event_id, a.latest_cancel_requested_event_id
            )
        }
        _ => return None,
    };
    Some(brief)
}

//! `REQUEST_CANCEL_ACTIVITY_TASK`: an activity that nobody runs ends at once, a running one learns of it with its
//! next heartbeat.

use durably_proto::temporal::api::{
    command::v1::RequestCancelActivityTaskCommandAttributes as Command,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{ActivityTaskCancelRequestedEventAttributes, history_event::Attributes},
};

use super::{Applied, Context, Execution, Extra, Plan, Refused, push};
use crate::engine::activity::Activity;

pub(super) fn check(a: Command, run: &Execution, plan: &mut Plan<'_>) -> Result<(), Refused> {
    let bad = |message: String| Refused::new(Cause::BadRequestCancelActivityAttributes, message);
    let id = a.scheduled_event_id;
    if id <= 0 {
        return Err(bad("ScheduledEventId is not set on command.".into()));
    }
    let pending = run.pending.activities.get(id);
    if pending.is_some_and(Activity::cancel_requested) || !plan.activities_canceled.insert(id) {
        return Err(bad(format!(
            "cancellation of activity with ScheduledEventId {id} was already requested"
        )));
    }
    match pending {
        Some(_) => Ok(()),
        // It begins with this very task.
        None if plan.activity_events.contains(&id) => Ok(()),
        // It ended while this workflow task was running.
        None if run.pending.buffer.any(|event| ended(event) == Some(id)) => Ok(()),
        None => Err(bad(format!("there is no pending activity with ScheduledEventId {id}"))),
    }
}

fn ended(event: &Attributes) -> Option<i64> {
    match event {
        Attributes::ActivityTaskCompletedEventAttributes(a) => Some(a.scheduled_event_id),
        Attributes::ActivityTaskFailedEventAttributes(a) => Some(a.scheduled_event_id),
        Attributes::ActivityTaskTimedOutEventAttributes(a) => Some(a.scheduled_event_id),
        Attributes::ActivityTaskCanceledEventAttributes(a) => Some(a.scheduled_event_id),
        _ => None,
    }
}

pub(super) fn apply(
    a: Command,
    extra: Extra,
    run: &mut Execution,
    applied: &mut Applied,
    cx: &mut Context<'_>,
) {
    let attributes = ActivityTaskCancelRequestedEventAttributes {
        scheduled_event_id: a.scheduled_event_id,
        workflow_task_completed_event_id: applied.completed_event_id,
    };
    let id = push(run, Attributes::ActivityTaskCancelRequestedEventAttributes(attributes), extra, cx);
    if run.activity_cancel_requested(a.scheduled_event_id, id) {
        applied.canceled.push(a.scheduled_event_id);
    }
}

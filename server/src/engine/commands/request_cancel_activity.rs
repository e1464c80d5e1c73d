//! `REQUEST_CANCEL_ACTIVITY_TASK`: an activity that nobody runs ends at once, a running one learns of it with its
//! next heartbeat.

use durably_proto::temporal::api::{
    command::v1::RequestCancelActivityTaskCommandAttributes as Command,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{ActivityTaskCancelRequestedEventAttributes, history_event::Attributes},
};

use super::{Applied, Context, Execution, Extra, Refused, push};

pub(super) fn check(a: Command, run: &Execution) -> Result<(), Refused> {
    let bad = |message: String| Refused::new(Cause::BadRequestCancelActivityAttributes, message);
    let id = a.scheduled_event_id;
    if id <= 0 {
        return Err(bad("ScheduledEventId is not set on command.".into()));
    }
    match run.activities.get(&id) {
        Some(activity) if activity.cancel_requested() => {
            Err(bad(format!("cancellation of activity with ScheduledEventId {id} was already requested")))
        }
        Some(_) => Ok(()),
        // It ended while this workflow task was running.
        None if run.has_buffered(|event| ended(event) == Some(id)) => Ok(()),
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
    if run.activity_cancel_requested(a.scheduled_event_id, id, "history-service", cx) {
        applied.needs_task = true;
    }
}

//! `CANCEL_TIMER`. A timer that fired while the workflow task was running can still be canceled: its firing has not
//! reached the history yet.

use durably_proto::temporal::api::{
    command::v1::CancelTimerCommandAttributes as Command,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{TimerCanceledEventAttributes, history_event::Attributes},
};

use super::{Applied, Context, Execution, Extra, Plan, Refused, SERVER, check_id, push};

pub(super) fn check<'a>(a: &'a Command, run: &Execution, plan: &mut Plan<'a>) -> Result<(), Refused> {
    check_id(Cause::BadCancelTimerAttributes, "TimerId", &a.timer_id)?;
    let id = a.timer_id.as_str();
    let known = plan.timers_started.remove(id)
        || run.pending.timers.id_of(id).is_some()
        || run.pending.buffer.any(|event| fired(event).is_some_and(|(fired, _)| fired == id));
    if !known || !plan.timers_canceled.insert(id) {
        return Err(Refused::new(
            Cause::BadCancelTimerAttributes,
            format!("there is no running timer with id {id}"),
        ));
    }
    Ok(())
}

fn fired(event: &Attributes) -> Option<(&str, i64)> {
    match event {
        Attributes::TimerFiredEventAttributes(a) => Some((&a.timer_id, a.started_event_id)),
        _ => None,
    }
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let started_event_id = match run.pending.timers.id_of(&a.timer_id) {
        Some(id) => {
            run.pending.timers.remove(id);
            id
        }
        // Its firing goes out of the buffer.
        None => run
            .pending
            .buffer
            .take_first(|event| fired(event).filter(|(id, _)| *id == a.timer_id).map(|(_, started)| started))
            .unwrap_or(0),
    };
    let attributes = TimerCanceledEventAttributes {
        timer_id: a.timer_id,
        started_event_id,
        workflow_task_completed_event_id: applied.completed_event_id,
        identity: SERVER.into(),
    };
    push(run, Attributes::TimerCanceledEventAttributes(attributes), extra, cx);
}

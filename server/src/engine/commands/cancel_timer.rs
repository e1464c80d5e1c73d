//! `CANCEL_TIMER`. A timer that fired while the workflow task was running can still be canceled: its firing has not
//! reached the history yet.

use durably_proto::temporal::api::{
    command::v1::CancelTimerCommandAttributes as Command,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{HistoryEvent, TimerCanceledEventAttributes, history_event::Attributes},
};
use prost::Message;

use super::{Applied, Context, Execution, Extra, Plan, Refused, check_id, push};

pub(super) fn check<'a>(a: &'a Command, run: &Execution, plan: &mut Plan<'a>) -> Result<(), Refused> {
    check_id(Cause::BadCancelTimerAttributes, "TimerId", &a.timer_id)?;
    let id = a.timer_id.as_str();
    let known = plan.timers_started.remove(id)
        || run.state.timers.iter().any(|timer| timer.timer_id == id)
        || run.has_buffered(|event| fired(event).is_some_and(|(fired, _)| fired == id));
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
    let timers = &mut run.state.timers;
    let started_event_id = match timers.iter().position(|timer| timer.timer_id == a.timer_id) {
        Some(index) => timers.remove(index).started_event_id,
        None => forget_firing(run, &a.timer_id).unwrap_or(0),
    };
    let attributes = TimerCanceledEventAttributes {
        timer_id: a.timer_id,
        started_event_id,
        workflow_task_completed_event_id: applied.completed_event_id,
        identity: "history-service".into(),
    };
    push(run, Attributes::TimerCanceledEventAttributes(attributes), extra, cx);
}

/// Takes the timer's firing out of the buffer; returns the id of its started event.
fn forget_firing(run: &mut Execution, timer_id: &str) -> Option<i64> {
    let buffered = &mut run.state.buffered;
    for index in 0..buffered.len() {
        let event = HistoryEvent::decode(buffered[index].clone()).ok()?;
        if let Some((id, started)) = event.attributes.as_ref().and_then(fired)
            && id == timer_id
        {
            buffered.remove(index);
            return Some(started);
        }
    }
    None
}

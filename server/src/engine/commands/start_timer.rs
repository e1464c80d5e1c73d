//! `START_TIMER`.

use bytes::Bytes;
use durably_proto::temporal::api::{
    command::v1::StartTimerCommandAttributes as Command,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{TimerStartedEventAttributes, history_event::Attributes},
};
use prost::Message;

use super::{Applied, Context, Execution, Extra, Plan, Refused, check_id, push};
use crate::{
    engine::{
        Time,
        pending::{Item, Stage},
        state::TimerState,
        time::{duration, nanos, positive},
    },
    store::RowKind,
};

impl Item for TimerState {
    const KIND: RowKind = RowKind::Timer;

    fn encode(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    fn name(&self) -> &str {
        &self.timer_id
    }

    fn due(&self) -> Option<Time> {
        Some(Time(self.due))
    }

    fn stage(&self) -> Stage {
        Stage::Sleeping
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + 192 + 2 * self.timer_id.len()
    }
}

pub(super) fn check<'a>(a: &'a Command, run: &Execution, plan: &mut Plan<'a>) -> Result<(), Refused> {
    check_id(Cause::BadStartTimerAttributes, "TimerId", &a.timer_id)?;
    // Without a time it fires at once, as in Temporal's server.
    if a.start_to_fire_timeout.as_ref().is_some_and(|span| nanos(span) < 0) {
        return Err(Refused::new(
            Cause::BadStartTimerAttributes,
            format!("A valid StartToFireTimeout is not set on command. TimerId={}", a.timer_id),
        ));
    }
    let pending = run.pending.timers.id_of(&a.timer_id).is_some()
        && !plan.timers_canceled.contains(a.timer_id.as_str());
    if pending || !plan.timers_started.insert(&a.timer_id) {
        return Err(Refused::new(
            Cause::StartTimerDuplicateId,
            format!("a timer with id {} is already running", a.timer_id),
        ));
    }
    Ok(())
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let span = positive(a.start_to_fire_timeout.as_ref()).unwrap_or(0);
    let attributes = TimerStartedEventAttributes {
        timer_id: a.timer_id.clone(),
        start_to_fire_timeout: a.start_to_fire_timeout.map(|_| duration(span)),
        workflow_task_completed_event_id: applied.completed_event_id,
    };
    let started_event_id = push(run, Attributes::TimerStartedEventAttributes(attributes), extra, cx);
    let timer = TimerState { timer_id: a.timer_id, started_event_id, due: cx.now.after(span).0 };
    run.pending.timers.insert(started_event_id, timer);
}

//! `SCHEDULE_ACTIVITY_TASK`: an activity begins to wait for a worker.

use durably_proto::temporal::api::{
    command::v1::ScheduleActivityTaskCommandAttributes as Command,
    enums::v1::{TaskQueueKind, WorkflowTaskFailedCause as Cause},
    history::v1::{ActivityTaskScheduledEventAttributes, history_event::Attributes},
    taskqueue::v1::TaskQueue,
};

use super::{Applied, Context, Execution, Extra, Plan, Refused, check_id, check_queue, push};
use crate::engine::{
    activity::Activity,
    retry,
    time::{Nanos, duration, nanos, positive},
};

const BAD: Cause = Cause::BadScheduleActivityAttributes;
const MAX_PENDING: usize = 2_000;

pub(super) fn check<'a>(a: &'a Command, run: &Execution, plan: &mut Plan<'a>) -> Result<(), Refused> {
    check_id(BAD, "ActivityId", &a.activity_id)?;
    check_id(BAD, "ActivityType", a.activity_type.as_ref().map_or("", |kind| &kind.name))?;
    check_queue(BAD, a.task_queue.as_ref())?;
    let spans = [
        ("ScheduleToCloseTimeout", &a.schedule_to_close_timeout),
        ("ScheduleToStartTimeout", &a.schedule_to_start_timeout),
        ("StartToCloseTimeout", &a.start_to_close_timeout),
        ("HeartbeatTimeout", &a.heartbeat_timeout),
    ];
    for (name, span) in spans {
        if span.as_ref().is_some_and(|span| nanos(span) < 0) {
            return Err(Refused::new(
                BAD,
                format!("Invalid {name} for ActivityId {}: it is negative.", a.activity_id),
            ));
        }
    }
    if positive(a.schedule_to_close_timeout.as_ref()).is_none()
        && positive(a.start_to_close_timeout.as_ref()).is_none()
    {
        return Err(Refused::new(
            BAD,
            format!(
                "A valid StartToClose or ScheduleToCloseTimeout is not set on command. ActivityId={}",
                a.activity_id
            ),
        ));
    }
    if let Some(policy) = &a.retry_policy {
        retry::check(policy).map_err(|problem| {
            Refused::new(BAD, format!("Invalid ActivityRetryPolicy: {problem} ActivityId={}", a.activity_id))
        })?;
    }
    let pending = run.pending.activities.id_of(&a.activity_id).is_some();
    if pending || !plan.activities_scheduled.insert(&a.activity_id) {
        return Err(Refused::new(
            Cause::ScheduleActivityDuplicateId,
            format!("an activity with id {} is already pending", a.activity_id),
        ));
    }
    plan.activity_events.insert(plan.event_id);
    if run.pending.activities.len() + plan.activities_scheduled.len() > MAX_PENDING {
        return Err(Refused::new(
            Cause::PendingActivitiesLimitExceeded,
            format!("the number of pending activities has reached the limit of {MAX_PENDING}"),
        ));
    }
    Ok(())
}

pub(super) fn apply(
    a: Command,
    extra: Extra,
    run: &mut Execution,
    applied: &mut Applied,
    cx: &mut Context<'_>,
) {
    // Eager only where the worker that asks also serves the queue the activity goes to.
    let asked_for = a.task_queue.as_ref().map_or("", |queue| &queue.name);
    let eager = a.request_eager_execution && (asked_for.is_empty() || asked_for == run.task_queue());
    let attributes = scheduled(a, run, applied.completed_event_id);
    let spec = attributes.clone();
    let id = push(run, Attributes::ActivityTaskScheduledEventAttributes(attributes), extra, cx);
    let activity = Activity::scheduled(id, spec, cx.now);
    if eager {
        applied.eager_activities.push(id);
    } else {
        cx.effects.dispatch.extend(activity.dispatch());
    }
    run.pending.activities.insert(id, activity);
}

/// The four time-outs of an activity; `None` is none.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TimeOuts {
    schedule_to_close: Option<Nanos>,
    schedule_to_start: Option<Nanos>,
    start_to_close: Option<Nanos>,
    heartbeat: Option<Nanos>,
}

impl TimeOuts {
    /// What they mean in a run with this time-out. Schedule-to-close bounds the others, and stands for those that are
    /// not set; where it is not set itself, the run's time-out takes its place. A heartbeat is due within an attempt.
    fn within(self, run: Option<Nanos>) -> Self {
        let shorter = |span: Option<Nanos>, bound: Option<Nanos>| match (span, bound) {
            (Some(span), Some(bound)) => Some(span.min(bound)),
            (span, bound) => span.or(bound),
        };
        let bound = shorter(self.schedule_to_close, run);
        let start_to_close = shorter(self.start_to_close, bound);
        Self {
            schedule_to_close: bound,
            schedule_to_start: shorter(self.schedule_to_start, bound),
            start_to_close,
            heartbeat: self.heartbeat.map(|span| span.min(start_to_close.unwrap_or(Nanos::MAX))),
        }
    }
}

/// The event, with every time-out made explicit: none is longer than what bounds it.
fn scheduled(a: Command, run: &Execution, completed_event_id: i64) -> ActivityTaskScheduledEventAttributes {
    let asked = TimeOuts {
        schedule_to_close: positive(a.schedule_to_close_timeout.as_ref()),
        schedule_to_start: positive(a.schedule_to_start_timeout.as_ref()),
        start_to_close: positive(a.start_to_close_timeout.as_ref()),
        heartbeat: positive(a.heartbeat_timeout.as_ref()),
    };
    let time_outs = asked.within(positive(run.start.workflow_run_timeout.as_ref()));
    let mut task_queue = a
        .task_queue
        .filter(|queue| !queue.name.is_empty())
        .unwrap_or_else(|| TaskQueue { name: run.task_queue().to_owned(), ..Default::default() });
    task_queue.kind = TaskQueueKind::Normal as i32;
    let explicit = |span: Option<Nanos>| Some(duration(span.unwrap_or(0)));
    ActivityTaskScheduledEventAttributes {
        activity_id: a.activity_id,
        activity_type: a.activity_type,
        task_queue: Some(task_queue),
        header: a.header,
        input: a.input,
        schedule_to_close_timeout: explicit(time_outs.schedule_to_close),
        schedule_to_start_timeout: explicit(time_outs.schedule_to_start),
        start_to_close_timeout: explicit(time_outs.start_to_close),
        heartbeat_timeout: explicit(time_outs.heartbeat),
        workflow_task_completed_event_id: completed_event_id,
        retry_policy: Some(retry::with_defaults(a.retry_policy.unwrap_or_default())),
        use_workflow_build_id: a.use_workflow_build_id,
        priority: a.priority,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use durably_proto::temporal::api::enums::v1::TimeoutType;

    use super::*;
    use crate::engine::{
        activity::ActivityDue,
        state::{ActivityPhase, AwaitingResult},
        time::{SECOND, Time},
    };

    fn spec(time_outs: TimeOuts) -> ActivityTaskScheduledEventAttributes {
        let explicit = |span: Option<Nanos>| span.map(duration);
        ActivityTaskScheduledEventAttributes {
            schedule_to_close_timeout: explicit(time_outs.schedule_to_close),
            schedule_to_start_timeout: explicit(time_outs.schedule_to_start),
            start_to_close_timeout: explicit(time_outs.start_to_close),
            heartbeat_timeout: explicit(time_outs.heartbeat),
            ..Default::default()
        }
    }

    fn first_due(activity: &Activity) -> String {
        match activity.next_due() {
            Some((time, ActivityDue::Timeout(kind))) => format!("{kind:?} after {} s", time.0 / SECOND),
            other => format!("{other:?}"),
        }
    }

    /// Each combination of the four time-outs (absent, or of different lengths), in a run without and with a time-out of
    /// 60 s: what they mean, what happens if no worker comes, and if one takes it at once and never answers.
    #[test]
    fn every_combination() {
        let spans = |short: i64, long: i64| [None, Some(short * SECOND), Some(long * SECOND)];
        let show = |span: Option<Nanos>| span.map_or("-".to_owned(), |span| (span / SECOND).to_string());
        let mut table = String::new();
        for run in [None, Some(60 * SECOND)] {
            for schedule_to_close in spans(10, 90) {
                for schedule_to_start in spans(5, 20) {
                    for start_to_close in spans(7, 30) {
                        for heartbeat in spans(3, 40) {
                            if schedule_to_close.is_none() && start_to_close.is_none() {
                                continue;
                            }
                            let asked =
                                TimeOuts { schedule_to_close, schedule_to_start, start_to_close, heartbeat };
                            let meant = asked.within(run);
                            let mut activity = Activity::scheduled(5, spec(meant), Time(0));
                            let nobody = first_due(&activity);
                            activity.state.phase =
                                Some(ActivityPhase::AwaitingResult(AwaitingResult::default()));
                            let silent = first_due(&activity);
                            let row = |t: TimeOuts| {
                                [t.schedule_to_close, t.schedule_to_start, t.start_to_close, t.heartbeat]
                                    .map(show)
                                    .join(" ")
                            };
                            writeln!(
                                table,
                                "run {}, asked {} = {}; no worker: {nobody}; no answer: {silent}",
                                show(run),
                                row(asked),
                                row(meant)
                            )
                            .unwrap();
                        }
                    }
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    /// When two time-outs end at one moment, it is the more particular one that has passed.
    #[test]
    fn schedule_to_close_alone_is_a_schedule_to_start_too() {
        let asked = TimeOuts {
            schedule_to_close: Some(10 * SECOND),
            schedule_to_start: None,
            start_to_close: None,
            heartbeat: None,
        };
        let activity = Activity::scheduled(5, spec(asked.within(None)), Time(0));
        let due = activity.next_due();
        assert_eq!(due, Some((Time(10 * SECOND), ActivityDue::Timeout(TimeoutType::ScheduleToStart))));
    }
}

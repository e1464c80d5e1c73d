//! `SCHEDULE_ACTIVITY_TASK`: an activity begins to wait for a worker.

use durably_proto::temporal::api::{
    command::v1::ScheduleActivityTaskCommandAttributes as Command,
    enums::v1::{TaskQueueKind, WorkflowTaskFailedCause as Cause},
    history::v1::{ActivityTaskScheduledEventAttributes, history_event::Attributes},
    taskqueue::v1::TaskQueue,
};

use super::{Applied, Context, Execution, Extra, Plan, Refused, check_id, push};
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
        retry::validate(policy).map_err(|problem| {
            Refused::new(BAD, format!("Invalid ActivityRetryPolicy: {problem} ActivityId={}", a.activity_id))
        })?;
    }
    let pending = run.activities.id_of(&a.activity_id).is_some();
    if pending || !plan.activities_scheduled.insert(&a.activity_id) {
        return Err(Refused::new(
            Cause::ScheduleActivityDuplicateId,
            format!("an activity with id {} is already pending", a.activity_id),
        ));
    }
    plan.activity_events.insert(plan.event_id);
    if run.activities.len() + plan.activities_scheduled.len() > MAX_PENDING {
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
    run.activities.insert(id, activity);
}

/// The event, with every time-out made explicit: none is longer than what bounds it.
fn scheduled(a: Command, run: &Execution, completed_event_id: i64) -> ActivityTaskScheduledEventAttributes {
    let run_timeout = positive(run.start.workflow_run_timeout.as_ref());
    let capped = |span: Option<Nanos>| span.map(|span| span.min(run_timeout.unwrap_or(Nanos::MAX)));
    let to_close = capped(positive(a.schedule_to_close_timeout.as_ref()));
    let start_to_close = capped(positive(a.start_to_close_timeout.as_ref()));
    let to_start = capped(positive(a.schedule_to_start_timeout.as_ref()));
    // Schedule-to-close alone bounds the others; without it the run's time-out does.
    let bound = to_close.or(run_timeout);
    let within = |span: Option<Nanos>| match (span, bound) {
        (Some(span), Some(bound)) => Some(span.min(bound)),
        (span, bound) => span.or(bound),
    };
    let start_to_close = within(start_to_close);
    let heartbeat =
        positive(a.heartbeat_timeout.as_ref()).map(|span| span.min(start_to_close.unwrap_or(Nanos::MAX)));
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
        schedule_to_close_timeout: explicit(bound),
        schedule_to_start_timeout: explicit(within(to_start)),
        start_to_close_timeout: explicit(start_to_close),
        heartbeat_timeout: explicit(heartbeat),
        workflow_task_completed_event_id: completed_event_id,
        retry_policy: Some(retry::with_defaults(a.retry_policy.unwrap_or_default())),
        use_workflow_build_id: a.use_workflow_build_id,
        priority: a.priority,
    }
}

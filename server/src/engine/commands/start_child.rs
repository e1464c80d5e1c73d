//! `START_CHILD_WORKFLOW_EXECUTION`: another workflow, whose parent the run is. It is announced and asked for; its start and
//! its end come back as events.

use durably_proto::temporal::api::{
    command::v1::StartChildWorkflowExecutionCommandAttributes as Command,
    enums::v1::{ParentClosePolicy, TaskQueueKind, WorkflowIdReusePolicy, WorkflowTaskFailedCause as Cause},
    history::v1::{StartChildWorkflowExecutionInitiatedEventAttributes, history_event::Attributes},
    taskqueue::v1::TaskQueue,
};

use super::{
    Applied, Context, Execution, Extra, Plan, Refused, check_attributes, check_id, check_queue, push,
};
use crate::engine::{
    admission::{run_timeout, task_timeout},
    children::{Child, StartChildBody},
    outbox::{Address, Body, Unsettled},
    retry,
    time::{duration, nanos, positive},
};

const BAD: Cause = Cause::BadStartChildExecutionAttributes;
/// As many children may be open.
const MAX_PENDING: usize = 2_000;

pub(super) fn check(a: &Command, run: &Execution, plan: &mut Plan<'_>) -> Result<(), Refused> {
    check_id(BAD, "WorkflowId", &a.workflow_id)?;
    check_id(BAD, "WorkflowType", a.workflow_type.as_ref().map_or("", |kind| &kind.name))?;
    check_queue(BAD, a.task_queue.as_ref())?;
    let bad = |what: &str| Err(Refused::new(BAD, format!("{what} WorkflowId={}", a.workflow_id)));
    let spans = [
        ("WorkflowExecutionTimeout", &a.workflow_execution_timeout),
        ("WorkflowRunTimeout", &a.workflow_run_timeout),
        ("WorkflowTaskTimeout", &a.workflow_task_timeout),
    ];
    for (name, span) in spans {
        if span.as_ref().is_some_and(|span| nanos(span) < 0) {
            return bad(&format!("Invalid {name}: it is negative."));
        }
    }
    if ParentClosePolicy::try_from(a.parent_close_policy).is_err() {
        return bad(&format!("ParentClosePolicy {} is unknown.", a.parent_close_policy));
    }
    if WorkflowIdReusePolicy::try_from(a.workflow_id_reuse_policy).is_err() {
        return bad(&format!("WorkflowIdReusePolicy {} is unknown.", a.workflow_id_reuse_policy));
    }
    if !a.cron_schedule.is_empty() {
        return bad("CronSchedule is not supported by this server yet.");
    }
    if let Some(policy) = &a.retry_policy {
        retry::check(policy).or_else(|problem| bad(&format!("Invalid WorkflowRetryPolicy: {problem}")))?;
    }
    check_attributes(a.search_attributes.as_ref())?;
    plan.children += 1;
    if run.pending.children.len() + plan.children > MAX_PENDING {
        return Err(Refused::new(
            Cause::PendingChildWorkflowsLimitExceeded,
            format!("the number of pending child workflows has reached the limit of {MAX_PENDING}"),
        ));
    }
    Ok(())
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let completed_event_id = applied.completed_event_id;
    let user_metadata = extra.user_metadata.clone();
    let initiated = initiated(a, run, completed_event_id);
    let attributes = Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(initiated.clone());
    let event_id = push(run, attributes, extra, cx);
    let child = Child {
        initiated_event_id: event_id,
        started_event_id: 0,
        namespace: initiated.namespace.clone(),
        workflow_id: initiated.workflow_id.clone(),
        run_id: String::new(),
        workflow_type: initiated.workflow_type.as_ref().map_or_else(String::new, |kind| kind.name.clone()),
        parent_close_policy: initiated.parent_close_policy,
    };
    run.pending.children.insert(event_id, child);
    let to = Address {
        namespace: initiated.namespace.clone(),
        workflow_id: initiated.workflow_id.clone(),
        run_id: String::new(),
    };
    let root = Some(run.root());
    let body = Some(Body::StartChild(Box::new(StartChildBody { initiated, user_metadata, root })));
    run.say(Unsettled { event_id, completed_event_id, to, body }, cx);
}

/// The event, with defaults and time-outs made explicit.
fn initiated(
    a: Command,
    run: &Execution,
    workflow_task_completed_event_id: i64,
) -> StartChildWorkflowExecutionInitiatedEventAttributes {
    let execution_timeout = positive(a.workflow_execution_timeout.as_ref());
    let run_timeout = run_timeout(positive(a.workflow_run_timeout.as_ref()), execution_timeout);
    let task_timeout = task_timeout(positive(a.workflow_task_timeout.as_ref()), run_timeout);
    let mut task_queue = a
        .task_queue
        .filter(|queue| !queue.name.is_empty())
        .unwrap_or_else(|| TaskQueue { name: run.task_queue().to_owned(), ..Default::default() });
    task_queue.kind = TaskQueueKind::Normal as i32;
    let parent_close_policy = match ParentClosePolicy::try_from(a.parent_close_policy) {
        Ok(ParentClosePolicy::Unspecified) | Err(_) => ParentClosePolicy::Terminate,
        Ok(policy) => policy,
    };
    let workflow_id_reuse_policy = match WorkflowIdReusePolicy::try_from(a.workflow_id_reuse_policy) {
        Ok(WorkflowIdReusePolicy::Unspecified) | Err(_) => WorkflowIdReusePolicy::AllowDuplicate,
        Ok(policy) => policy,
    };
    StartChildWorkflowExecutionInitiatedEventAttributes {
        namespace: a.namespace,
        workflow_id: a.workflow_id,
        workflow_type: a.workflow_type,
        task_queue: Some(task_queue),
        input: a.input,
        workflow_execution_timeout: execution_timeout.map(duration),
        workflow_run_timeout: Some(duration(run_timeout.unwrap_or(0))),
        workflow_task_timeout: Some(duration(task_timeout)),
        parent_close_policy: parent_close_policy as i32,
        control: a.control,
        workflow_task_completed_event_id,
        workflow_id_reuse_policy: workflow_id_reuse_policy as i32,
        retry_policy: a.retry_policy.map(retry::with_defaults),
        cron_schedule: a.cron_schedule,
        header: a.header,
        memo: a.memo,
        search_attributes: a.search_attributes,
        priority: a.priority,
        ..Default::default()
    }
}

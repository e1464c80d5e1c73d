//! `CONTINUE_AS_NEW_WORKFLOW_EXECUTION`: this run ends and its successor starts in the same commit. Signals that
//! arrived meanwhile are never lost: they make the worker decide again (`UnhandledCommand`).

use std::sync::Arc;

use durably_proto::temporal::api::{
    command::v1::ContinueAsNewWorkflowExecutionCommandAttributes as Command,
    enums::v1::{ContinueAsNewInitiator, WorkflowTaskFailedCause as Cause},
    history::v1::{WorkflowExecutionContinuedAsNewEventAttributes, WorkflowExecutionStartedEventAttributes},
};

use super::{
    Applied, Context, Execution, Extra, Last, Refused, check_attributes, check_length, check_queue, close,
};
use crate::engine::{
    retry,
    time::{duration, nanos, positive},
};

pub(super) fn check(a: &Command) -> Result<(), Refused> {
    const BAD: Cause = Cause::BadContinueAsNewAttributes;
    check_length(BAD, "WorkflowType", a.workflow_type.as_ref().map_or("", |kind| &kind.name))?;
    check_queue(BAD, a.task_queue.as_ref())?;
    check_attributes(a.search_attributes.as_ref())?;
    let bad = |message: String| Err(Refused::new(BAD, message));
    let spans = [
        ("WorkflowRunTimeout", &a.workflow_run_timeout),
        ("WorkflowTaskTimeout", &a.workflow_task_timeout),
        ("BackoffStartInterval", &a.backoff_start_interval),
    ];
    for (name, span) in spans {
        if span.as_ref().is_some_and(|span| nanos(span) < 0) {
            return bad(format!("{name} on command is negative."));
        }
    }
    match a.retry_policy.as_ref().map(retry::check) {
        Some(Err(problem)) => bad(format!("Invalid RetryPolicy: {problem}")),
        _ => Ok(()),
    }
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let start = Arc::clone(&run.start);
    let run_id = (cx.new_run_id)();
    let initiator = match a.initiator() {
        ContinueAsNewInitiator::Unspecified => ContinueAsNewInitiator::Workflow,
        given => given,
    };
    let workflow_type =
        a.workflow_type.filter(|kind| !kind.name.is_empty()).or_else(|| start.workflow_type.clone());
    let task_queue = a.task_queue.filter(|queue| !queue.name.is_empty()).or_else(|| start.task_queue.clone());
    let or_same =
        |given: Option<prost_types::Duration>, same| positive(given.as_ref()).map(duration).or(same);
    let run_timeout = or_same(a.workflow_run_timeout, start.workflow_run_timeout);
    let task_timeout = or_same(a.workflow_task_timeout, start.workflow_task_timeout);
    let memo = a.memo.or_else(|| run.memo().cloned());
    let search_attributes = a.search_attributes.or_else(|| run.search_attributes().cloned());
    let started = WorkflowExecutionStartedEventAttributes {
        workflow_type: workflow_type.clone(),
        task_queue: task_queue.clone(),
        input: a.input.clone(),
        workflow_run_timeout: run_timeout,
        workflow_task_timeout: task_timeout,
        initiator: initiator as i32,
        continued_failure: a.failure.clone(),
        last_completion_result: a.last_completion_result.clone(),
        retry_policy: a.retry_policy.map(retry::with_defaults).or_else(|| start.retry_policy.clone()),
        attempt: 1,
        first_workflow_task_backoff: a.backoff_start_interval,
        memo: memo.clone(),
        search_attributes: search_attributes.clone(),
        header: a.header.clone().or_else(|| start.header.clone()),
        ..(*start).clone()
    };
    let attributes = WorkflowExecutionContinuedAsNewEventAttributes {
        new_execution_run_id: run_id.clone(),
        workflow_type,
        task_queue,
        input: a.input,
        workflow_run_timeout: run_timeout,
        workflow_task_timeout: task_timeout,
        workflow_task_completed_event_id: applied.completed_event_id,
        backoff_start_interval: a.backoff_start_interval,
        initiator: initiator as i32,
        failure: a.failure,
        last_completion_result: a.last_completion_result,
        header: a.header,
        memo,
        search_attributes,
        ..Default::default()
    };
    run.succeed_with(run_id, started, cx);
    close(run, Last::ContinuedAsNew(Box::new(attributes)), extra, cx);
}

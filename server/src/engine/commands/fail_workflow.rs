//! `FAIL_WORKFLOW_EXECUTION`: the run fails; its retry policy may start another.

use durably_proto::temporal::api::{
    command::v1::FailWorkflowExecutionCommandAttributes as Command,
    enums::v1::WorkflowTaskFailedCause as Cause, history::v1::WorkflowExecutionFailedEventAttributes,
};

use super::{Applied, Context, Execution, Extra, Last, Refused, close};

pub(super) fn check(a: &Command) -> Result<(), Refused> {
    if a.failure.is_none() {
        return Err(Refused::new(
            Cause::BadFailWorkflowExecutionAttributes,
            "Failure is not set on FailWorkflowExecutionCommand.",
        ));
    }
    Ok(())
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let failure = a.failure.unwrap_or_default();
    let (retry_state, new_execution_run_id) = run.retry_run(&failure, cx);
    let attributes = WorkflowExecutionFailedEventAttributes {
        failure: Some(failure),
        retry_state: retry_state as i32,
        workflow_task_completed_event_id: applied.completed_event_id,
        new_execution_run_id,
    };
    close(run, Last::Failed(Box::new(attributes)), extra, cx);
}

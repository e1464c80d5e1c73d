//! `CANCEL_WORKFLOW_EXECUTION`: the workflow accepts its cancellation.

use durably_proto::temporal::api::{
    command::v1::CancelWorkflowExecutionCommandAttributes as Command,
    history::v1::WorkflowExecutionCanceledEventAttributes,
};

use super::{Applied, Context, Execution, Extra, Last, close};

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let attributes = WorkflowExecutionCanceledEventAttributes {
        workflow_task_completed_event_id: applied.completed_event_id,
        details: a.details,
    };
    close(run, Last::Canceled(attributes), extra, cx);
}

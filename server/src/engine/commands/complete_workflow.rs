//! `COMPLETE_WORKFLOW_EXECUTION`.

use durably_proto::temporal::api::{
    command::v1::CompleteWorkflowExecutionCommandAttributes as Command,
    history::v1::WorkflowExecutionCompletedEventAttributes,
};

use super::{Applied, Context, Execution, Extra, Last, close};

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    // A cron schedule will start its next run here.
    let attributes = WorkflowExecutionCompletedEventAttributes {
        result: a.result,
        workflow_task_completed_event_id: applied.completed_event_id,
        ..Default::default()
    };
    close(run, Last::Completed(attributes), extra, cx);
}

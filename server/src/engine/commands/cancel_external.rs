//! `REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION`: asks another run to cancel. It is announced, sent and, when the other side
//! has answered, recorded as delivered or failed.

use durably_proto::temporal::api::{
    command::v1::RequestCancelExternalWorkflowExecutionCommandAttributes as Command,
    common::v1::WorkflowExecution,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{
        RequestCancelExternalWorkflowExecutionInitiatedEventAttributes, history_event::Attributes,
    },
};

use super::{
    Applied, Context, Execution, Extra, Plan, Refused, check_id, check_messages, check_run_id, push,
};
use crate::engine::{
    external::CancelBody,
    outbox::{Address, Body, Unsettled},
};

pub(super) fn check(a: &Command, run: &Execution, plan: &mut Plan<'_>) -> Result<(), Refused> {
    const BAD: Cause = Cause::BadRequestCancelExternalWorkflowExecutionAttributes;
    check_id(BAD, "WorkflowId", &a.workflow_id)?;
    check_run_id(BAD, &a.run_id)?;
    check_messages(Cause::PendingRequestCancelLimitExceeded, run, plan)
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let to = Address {
        namespace: a.namespace.clone(),
        workflow_id: a.workflow_id.clone(),
        run_id: a.run_id.clone(),
    };
    let attributes = RequestCancelExternalWorkflowExecutionInitiatedEventAttributes {
        workflow_task_completed_event_id: applied.completed_event_id,
        namespace: a.namespace,
        workflow_execution: Some(WorkflowExecution { workflow_id: a.workflow_id, run_id: a.run_id }),
        control: a.control.clone(),
        child_workflow_only: a.child_workflow_only,
        reason: a.reason.clone(),
        ..Default::default()
    };
    let attributes = Attributes::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(attributes);
    let event_id = push(run, attributes, extra, cx);
    let cancel =
        CancelBody { reason: a.reason, control: a.control, child_workflow_only: a.child_workflow_only };
    let completed_event_id = applied.completed_event_id;
    run.say(Unsettled { event_id, completed_event_id, to, body: Some(Body::Cancel(cancel)) }, cx);
}

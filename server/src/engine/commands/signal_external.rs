//! `SIGNAL_EXTERNAL_WORKFLOW_EXECUTION`: a message to another run, which is announced, sent and, when the other side has
//! answered, recorded as delivered or failed.

use durably_proto::temporal::api::{
    command::v1::SignalExternalWorkflowExecutionCommandAttributes as Command,
    common::v1::WorkflowExecution,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{SignalExternalWorkflowExecutionInitiatedEventAttributes, history_event::Attributes},
};

use super::{
    Applied, Context, Execution, Extra, Plan, Refused, check_id, check_messages, check_run_id, push,
};
use crate::engine::{
    external::SignalBody,
    outbox::{Address, Body, Unsettled},
};

pub(super) fn check(a: &Command, run: &Execution, plan: &mut Plan<'_>) -> Result<(), Refused> {
    const BAD: Cause = Cause::BadSignalWorkflowExecutionAttributes;
    let Some(execution) = &a.execution else {
        return Err(Refused::new(BAD, "Execution is not set on command."));
    };
    check_id(BAD, "WorkflowId", &execution.workflow_id)?;
    check_id(BAD, "SignalName", &a.signal_name)?;
    check_run_id(BAD, &execution.run_id)?;
    check_messages(Cause::PendingSignalsLimitExceeded, run, plan)
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let WorkflowExecution { workflow_id, run_id } = a.execution.unwrap_or_default();
    let to = Address { namespace: a.namespace.clone(), workflow_id, run_id };
    let attributes = SignalExternalWorkflowExecutionInitiatedEventAttributes {
        workflow_task_completed_event_id: applied.completed_event_id,
        namespace: a.namespace,
        workflow_execution: Some(WorkflowExecution {
            workflow_id: to.workflow_id.clone(),
            run_id: to.run_id.clone(),
        }),
        signal_name: a.signal_name.clone(),
        input: a.input.clone(),
        control: a.control.clone(),
        child_workflow_only: a.child_workflow_only,
        header: a.header.clone(),
        ..Default::default()
    };
    let event_id =
        push(run, Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(attributes), extra, cx);
    let signal = SignalBody {
        name: a.signal_name,
        input: a.input,
        header: a.header,
        control: a.control,
        child_workflow_only: a.child_workflow_only,
    };
    let completed_event_id = applied.completed_event_id;
    run.say(Unsettled { event_id, completed_event_id, to, body: Some(Body::Signal(signal)) }, cx);
}

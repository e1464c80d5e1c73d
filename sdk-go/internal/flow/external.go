package flow

import (
	"errors"
	"fmt"

	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	enumspb "go.temporal.io/api/enums/v1"
)

var errNoWorkflowID = errors.New("the workflow id is empty: say which workflow is meant")

// SignalExternalWorkflow sends a signal to another workflow: to the run, or to the open one if runID is empty. The future is
// ready when the signal was delivered; its error is an UnknownExternalWorkflowExecutionError if there is no such workflow.
func SignalExternalWorkflow(ctx Context, workflowID, runID, signalName string, arg any) Future {
	return outboundOf(ctx).SignalExternalWorkflow(ctx, workflowID, runID, signalName, arg)
}

func (o *outbound) SignalExternalWorkflow(ctx Context, workflowID, runID, signalName string, arg any) Future {
	target := &core.ExternalWorkflow{Namespace: GetChildWorkflowOptions(ctx).Namespace, WorkflowId: workflowID, RunId: runID}
	return o.run.signal(ctx, workflowID, arg, &core.SignalExternalWorkflow{
		SignalName: signalName, Target: &core.SignalExternalWorkflow_Workflow{Workflow: target}})
}

func (o *outbound) SignalChildWorkflow(ctx Context, workflowID, signalName string, arg any) Future {
	return o.run.signal(ctx, workflowID, arg, &core.SignalExternalWorkflow{
		SignalName: signalName, Target: &core.SignalExternalWorkflow_ChildWorkflowId{ChildWorkflowId: workflowID}})
}

// signal sends a signal. Cancelling the context doesn't take it back: the official SDK doesn't either.
func (r *Run) signal(ctx Context, workflowID string, arg any, signal *core.SignalExternalWorkflow) Future {
	if workflowID == "" {
		return failed(r, errNoWorkflowID)
	}
	if signal.SignalName == "" {
		return failed(r, fmt.Errorf("the name of the signal to workflow %s is empty", workflowID))
	}
	payloads, err := r.converterOf(ctx).ToPayloads(arg)
	if err != nil {
		return failed(r, fmt.Errorf("the argument of signal %s: %w", signal.SignalName, err))
	}
	r.lastSignal++
	signal.Seq, signal.Arguments = r.lastSignal, payloads.GetPayloads()
	r.command(&core.WorkflowCommand{Location: r.location(), Command: &core.WorkflowCommand_SignalExternalWorkflow{SignalExternalWorkflow: signal}})
	p := &pending{future: &future{run: r}}
	r.signalling[signal.Seq] = p
	return p.future
}

// RequestCancelExternalWorkflow asks another workflow to end as cancelled: the run, or the open one if runID is empty. The
// future is ready when the request was delivered.
func RequestCancelExternalWorkflow(ctx Context, workflowID, runID string) Future {
	return outboundOf(ctx).RequestCancelExternalWorkflow(ctx, workflowID, runID)
}

func (o *outbound) RequestCancelExternalWorkflow(ctx Context, workflowID, runID string) Future {
	r := o.run
	if workflowID == "" {
		return failed(r, errNoWorkflowID)
	}
	r.lastCancel++
	target := &core.ExternalWorkflow{Namespace: GetChildWorkflowOptions(ctx).Namespace, WorkflowId: workflowID, RunId: runID}
	r.command(&core.WorkflowCommand{Location: r.location(), Command: &core.WorkflowCommand_RequestCancelExternalWorkflow{
		RequestCancelExternalWorkflow: &core.RequestCancelExternalWorkflow{Seq: r.lastCancel, Workflow: target}}})
	p := &pending{future: &future{run: r}}
	r.cancelling[r.lastCancel] = p
	return p.future
}

func (r *Run) signalled(job *core.ResolveSignalExternalWorkflow) {
	var err error
	if job.Failure != nil {
		switch job.Cause {
		case enumspb.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND:
			err = &failure.UnknownExternalWorkflowExecutionError{}
		case enumspb.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND:
			err = &failure.NamespaceNotFoundError{}
		default:
			err = &undecoded{run: r, failure: job.Failure}
		}
	}
	settle(r.signalling, job.Seq, nil, err)
}

func (r *Run) cancelRequested(job *core.ResolveRequestCancelExternalWorkflow) {
	var err error
	if job.Failure != nil {
		switch job.Cause {
		case enumspb.CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND:
			err = &failure.UnknownExternalWorkflowExecutionError{}
		case enumspb.CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND:
			err = &failure.NamespaceNotFoundError{}
		default:
			err = &undecoded{run: r, failure: job.Failure}
		}
	}
	settle(r.cancelling, job.Seq, nil, err)
}

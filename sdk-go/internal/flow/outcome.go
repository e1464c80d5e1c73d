package flow

import (
	"fmt"
	"reflect"

	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	commonpb "go.temporal.io/api/common/v1"
)

// FailedByPolicy is what a workflow's failure says by the panic policy FailWorkflow; what went wrong is its cause.
const FailedByPolicy = "Workflow failed on panic due to FailWorkflow workflow panic policy"

// main runs the workflow's function and makes the run's last command of what it returns. Encoding is the user's code as well,
// so it happens here, in the coroutine.
func (r *Run) main(c *coroutine, of reflect.Type, arguments *commonpb.Payloads) {
	end := r.conclude(r.execute(of, arguments))
	if !c.leaving && !r.broken.Load() {
		r.end = end
	}
}

func (r *Run) execute(of reflect.Type, arguments *commonpb.Payloads) (*commonpb.Payload, error) {
	in, err := decodeArguments(r.env.DataConverter, of, 1, arguments)
	if err != nil {
		return nil, fmt.Errorf("workflow %s: %w", r.info.typeName(), err)
	}
	result, err := r.in.ExecuteWorkflow(r.root, &ExecuteWorkflowInput{Args: in})
	if err != nil {
		return nil, err
	}
	payload, err := encodeResult(r.env.DataConverter, result)
	if err != nil {
		return nil, fmt.Errorf("the result of workflow %s: %w", r.info.typeName(), err)
	}
	return payload, nil
}

// conclude is the command that ends the run as its function has.
func (r *Run) conclude(result *commonpb.Payload, err error) *core.WorkflowCommand {
	if err == nil {
		return &core.WorkflowCommand{Command: &core.WorkflowCommand_CompleteWorkflow{
			CompleteWorkflow: &core.CompleteWorkflow{Result: result}}}
	}
	if canceled, ok := failure.As[*failure.CanceledError](err); ok {
		details := r.env.FailureConverter.ErrorToFailure(canceled).GetCanceledFailureInfo().GetDetails()
		return &core.WorkflowCommand{Command: &core.WorkflowCommand_CancelWorkflow{
			CancelWorkflow: &core.CancelWorkflow{Details: details}}}
	}
	if continued, ok := failure.As[*ContinueAsNewError](err); ok {
		return &core.WorkflowCommand{Command: &core.WorkflowCommand_ContinueAsNew{ContinueAsNew: continued.command}}
	}
	return &core.WorkflowCommand{Command: &core.WorkflowCommand_FailWorkflow{
		FailWorkflow: &core.FailWorkflow{Failure: r.env.FailureConverter.ErrorToFailure(err)}}}
}

// panicked fails the workflow or its task, by the worker's policy; the first reason counts.
func (r *Run) panicked(err *failure.PanicError) {
	if r.failed == nil {
		// A retry of the workflow would come to the same.
		err.Final = true
		r.failed, r.hasPanicked = err, true
	}
}

// complete is the answer to an activation.
func (r *Run) complete(runID string) *core.WorkflowCompletion {
	if r.failed != nil && !r.ended && !r.closed {
		r.logFailure()
		if !r.hasPanicked || !r.env.FailOnPanic {
			failed := &core.ActivationFailure{Failure: failure.Of(r.env.FailureConverter, r.failed)}
			return &core.WorkflowCompletion{RunId: runID, Status: &core.WorkflowCompletion_Failure{Failure: failed}}
		}
		failed := failure.Of(r.env.FailureConverter, &failure.ApplicationError{Msg: FailedByPolicy, Cause: r.failed})
		r.end = &core.WorkflowCommand{Command: &core.WorkflowCommand_FailWorkflow{FailWorkflow: &core.FailWorkflow{Failure: failed}}}
	}
	if r.failed == nil && !r.replaying {
		r.env.Failed.Forget(r.runID())
	}
	if r.end != nil && !r.ended && !r.closed {
		if r.failed == nil {
			r.warnOfUnfinished()
		}
		r.ended = true
		r.commands = append(r.commands, r.end)
	}
	return &core.WorkflowCompletion{RunId: runID, Status: &core.WorkflowCompletion_Success{
		Success: &core.ActivationSuccess{Commands: r.commands, UsedFlags: r.used}}}
}

func (r *Run) logFailure() {
	values := append(r.ids(), "Error", r.failed)
	panicked, ok := r.failed.(*failure.PanicError)
	what := failure.Text(r.failed)
	if ok {
		what += failure.UserLine(panicked.Stack)
	}
	count, loud := r.env.Failed.Count(r.runID(), what)
	if !loud {
		r.env.Logger.Debug("A workflow task failed again, in the same way.", append(values, "Times", count)...)
		return
	}
	if count > 1 {
		r.env.Logger.Error("A workflow task has failed many times, in the same way.", append(values, "Times", count)...)
		return
	}
	switch {
	case ok && r.hasPanicked:
		r.env.Logger.Error("Workflow panic", append(values, "StackTrace", panicked.Stack)...)
	default:
		r.env.Logger.Error("A workflow task failed; the server will retry it.", values...)
	}
}

func (r *Run) runID() string {
	if r.info == nil {
		return ""
	}
	return r.info.WorkflowExecution.RunID
}

// ids are the keys and values that tell a run in the log.
func (r *Run) ids() []any {
	if r.info == nil {
		return nil
	}
	return []any{"WorkflowType", r.info.typeName(), "WorkflowID", r.info.id(), "RunID", r.info.WorkflowExecution.RunID, "Attempt", r.info.Attempt}
}

package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"

	"durably.dev/sdk/internal/connection"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"
)

// WorkflowUpdateStage is how far an update has come.
type WorkflowUpdateStage int

const (
	// WorkflowUpdateStageUnspecified is none: a stage is required.
	WorkflowUpdateStageUnspecified WorkflowUpdateStage = iota
	// WorkflowUpdateStageAdmitted: the server has it. One can't wait for that.
	WorkflowUpdateStageAdmitted
	// WorkflowUpdateStageAccepted: the workflow has accepted it, so that it isn't lost any more; or has rejected it.
	WorkflowUpdateStageAccepted
	// WorkflowUpdateStageCompleted: its handler has ended.
	WorkflowUpdateStageCompleted
)

// UpdateWorkflowOptions are an update.
type UpdateWorkflowOptions struct {
	// UpdateID names the update within its run: a second one of the same id is the first one. A random one by default.
	UpdateID string
	// WorkflowID is required, but in UpdateWithStartWorkflow.
	WorkflowID string
	// RunID is the current run by default.
	RunID string
	// UpdateName names the handler. Required.
	UpdateName string
	Args       []any
	// WaitForStage is required: WorkflowUpdateStageAccepted or WorkflowUpdateStageCompleted.
	WaitForStage WorkflowUpdateStage
	// FirstExecutionRunID is the first run of the chain that the updated one must belong to; any by default.
	FirstExecutionRunID string
}

// UpdateWithStartWorkflowOptions are an update, and the start of the workflow that it is for.
type UpdateWithStartWorkflowOptions struct {
	// StartWorkflowOperation is what NewWithStartWorkflowOperation has made, for this call only. Required.
	StartWorkflowOperation WithStartWorkflowOperation
	UpdateOptions          UpdateWorkflowOptions
}

// WithStartWorkflowOperation is the start of a workflow by UpdateWithStartWorkflow.
type WithStartWorkflowOperation interface {
	// Get waits until the workflow is known to run, and returns a handle to it; an error, if the call came to nothing before.
	Get(ctx context.Context) (WorkflowRun, error)
}

// WorkflowUpdateHandle is a handle to an update.
type WorkflowUpdateHandle interface {
	WorkflowID() string
	RunID() string
	UpdateID() string
	// Get waits until the update has ended and decodes its result; nil drops it. Its error is what the validator or the handler
	// has returned, as an *temporal.ApplicationError and the like; a *WorkflowUpdateServiceTimeoutOrCanceledError, if ctx
	// ends first; or a serviceerror, such as NotFound of an update that was never accepted, or whose workflow ended before it.
	Get(ctx context.Context, valuePtr any) error
}

// GetWorkflowUpdateHandleOptions name an update.
type GetWorkflowUpdateHandleOptions struct {
	WorkflowID string
	// RunID is the current run by default.
	RunID    string
	UpdateID string
}

// WorkflowUpdateServiceTimeoutOrCanceledError says that the wait for an update has ended by the caller's time-out or
// cancellation. The update itself goes on.
type WorkflowUpdateServiceTimeoutOrCanceledError struct{ cause error }

// NewWorkflowUpdateServiceTimeoutOrCanceledError makes a WorkflowUpdateServiceTimeoutOrCanceledError.
func NewWorkflowUpdateServiceTimeoutOrCanceledError(err error) *WorkflowUpdateServiceTimeoutOrCanceledError {
	return &WorkflowUpdateServiceTimeoutOrCanceledError{err}
}

func (e *WorkflowUpdateServiceTimeoutOrCanceledError) Error() string {
	return fmt.Sprintf("the wait for the update timed out or was cancelled: %v", e.cause)
}

// Unwrap is the context's error, or the server's.
func (e *WorkflowUpdateServiceTimeoutOrCanceledError) Unwrap() error { return e.cause }

// ofWait is an error of a call that waits for an update.
func ofWait(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	code := serviceerror.ToStatus(err).Code()
	if ctx.Err() != nil || code == codes.Canceled || code == codes.DeadlineExceeded {
		return NewWorkflowUpdateServiceTimeoutOrCanceledError(err)
	}
	return err
}

func (c *workflowClient) updateRequest(options UpdateWorkflowOptions) (*workflowservice.UpdateWorkflowExecutionRequest, error) {
	stage := enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
	switch options.WaitForStage {
	case WorkflowUpdateStageAccepted:
	case WorkflowUpdateStageCompleted:
		stage = enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
	case WorkflowUpdateStageAdmitted:
		return nil, errors.New("WaitForStage WorkflowUpdateStageAdmitted is not supported: wait until the update is accepted")
	case WorkflowUpdateStageUnspecified:
		return nil, errors.New("WaitForStage must be specified: WorkflowUpdateStageAccepted or WorkflowUpdateStageCompleted")
	default:
		return nil, fmt.Errorf("WaitForStage %d is none of the stages", options.WaitForStage)
	}
	if options.UpdateID == "" {
		options.UpdateID = rand.Text()
	}
	arguments, err := c.payloads(options.Args...)
	if err != nil {
		return nil, fmt.Errorf("the arguments of update %s: %w", options.UpdateName, err)
	}
	return &workflowservice.UpdateWorkflowExecutionRequest{
		Namespace: c.connection.Namespace, WorkflowExecution: execution(options.WorkflowID, options.RunID),
		FirstExecutionRunId: options.FirstExecutionRunID, WaitPolicy: &updatepb.WaitPolicy{LifecycleStage: stage},
		Request: &updatepb.Request{
			Meta:  &updatepb.Meta{UpdateId: options.UpdateID, Identity: c.connection.Identity},
			Input: &updatepb.Input{Name: options.UpdateName, Args: arguments},
		},
	}, nil
}

func (c *workflowClient) UpdateWorkflow(ctx context.Context, options UpdateWorkflowOptions) (WorkflowUpdateHandle, error) {
	request, err := c.updateRequest(options)
	if err != nil {
		return nil, err
	}
	response, err := c.service.UpdateWorkflowExecution(connection.Waiting(ctx), request)
	if err != nil {
		return nil, ofWait(ctx, err)
	}
	return c.updateHandle(ctx, request, response)
}

// updateHandle is a handle to an update that has come as far as was asked for.
func (c *workflowClient) updateHandle(
	ctx context.Context, request *workflowservice.UpdateWorkflowExecutionRequest, response *workflowservice.UpdateWorkflowExecutionResponse,
) (WorkflowUpdateHandle, error) {
	handle := &updateHandle{client: c, ref: response.UpdateRef, outcome: response.Outcome}
	if request.WaitPolicy.LifecycleStage == enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED && handle.outcome == nil {
		outcome, err := handle.await(ctx)
		if err != nil {
			return nil, err
		}
		handle.outcome = outcome
	}
	return handle, nil
}

func (c *workflowClient) GetWorkflowUpdateHandle(options GetWorkflowUpdateHandleOptions) WorkflowUpdateHandle {
	return &updateHandle{client: c, ref: &updatepb.UpdateRef{
		WorkflowExecution: execution(options.WorkflowID, options.RunID), UpdateId: options.UpdateID,
	}}
}

type updateHandle struct {
	client *workflowClient
	ref    *updatepb.UpdateRef
	// outcome is absent while it isn't known.
	outcome *updatepb.Outcome
}

func (h *updateHandle) WorkflowID() string { return h.ref.GetWorkflowExecution().GetWorkflowId() }
func (h *updateHandle) RunID() string      { return h.ref.GetWorkflowExecution().GetRunId() }
func (h *updateHandle) UpdateID() string   { return h.ref.GetUpdateId() }

func (h *updateHandle) await(ctx context.Context) (*updatepb.Outcome, error) {
	completed := &updatepb.WaitPolicy{LifecycleStage: enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED}
	response, err := h.client.service.PollWorkflowExecutionUpdate(connection.Waiting(ctx), &workflowservice.PollWorkflowExecutionUpdateRequest{
		Namespace: h.client.connection.Namespace, UpdateRef: h.ref, Identity: h.client.connection.Identity, WaitPolicy: completed,
	})
	if err != nil {
		return nil, ofWait(ctx, err)
	}
	return response.Outcome, nil
}

func (h *updateHandle) Get(ctx context.Context, valuePtr any) (err error) {
	outcome := h.outcome
	if outcome == nil {
		if outcome, err = h.await(ctx); err != nil {
			return err
		}
	}
	connected := h.client.connection
	switch is := outcome.GetValue().(type) {
	case *updatepb.Outcome_Failure:
		return connected.FailureConverter.FailureToError(is.Failure)
	case *updatepb.Outcome_Success:
		if valuePtr == nil {
			return nil
		}
		return (&encodedValue{is.Success, connected.DataConverter}).Get(valuePtr)
	default:
		return fmt.Errorf("the server says of update %s that it has ended, but not how (%T)", h.ref.GetUpdateId(), is)
	}
}

func (c *workflowClient) NewWithStartWorkflowOperation(options StartWorkflowOptions, workflow any, args ...any) WithStartWorkflowOperation {
	operation := &withStartOperation{known: make(chan struct{})}
	if options.WorkflowIDConflictPolicy == enumspb.WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED {
		operation.mistake = errors.New("WorkflowIDConflictPolicy must be set in StartWorkflowOptions for update-with-start")
		return operation
	}
	operation.request, operation.mistake = c.startRequest(options, workflow, args)
	return operation
}

type withStartOperation struct {
	request *workflowservice.StartWorkflowExecutionRequest
	// mistake is why there is no request.
	mistake  error
	executed atomic.Bool
	// known is closed when run or err is set.
	known chan struct{}
	run   *workflowRun
	err   error
}

func (o *withStartOperation) Get(ctx context.Context) (WorkflowRun, error) {
	select {
	case <-o.known:
	case <-ctx.Done():
		if !o.executed.Load() {
			return nil, fmt.Errorf("%w: the operation was not executed: UpdateWithStartWorkflow does that", ctx.Err())
		}
		return nil, ctx.Err()
	}
	if o.err != nil {
		return nil, o.err
	}
	return o.run, nil
}

func (c *workflowClient) UpdateWithStartWorkflow(ctx context.Context, options UpdateWithStartWorkflowOptions) (WorkflowUpdateHandle, error) {
	start, ok := options.StartWorkflowOperation.(*withStartOperation)
	switch {
	case !ok:
		return nil, fmt.Errorf("StartWorkflowOperation must be created by NewWithStartWorkflowOperation, unlike %T", options.StartWorkflowOperation)
	case start.mistake != nil:
		return nil, start.mistake
	case options.UpdateOptions.RunID != "":
		return nil, errors.New("UpdateOptions.RunID can't be set for UpdateWithStartWorkflow: the workflow might not be running")
	case options.UpdateOptions.FirstExecutionRunID != "":
		return nil, errors.New("UpdateOptions.FirstExecutionRunID can't be set for UpdateWithStartWorkflow: the workflow might not be running")
	case start.executed.Swap(true):
		return nil, errors.New("the StartWorkflowOperation was already executed: make one for each call")
	}
	response, request, err := c.updateWithStart(ctx, start, options.UpdateOptions)
	start.err = err
	close(start.known)
	if err != nil {
		return nil, err
	}
	return c.updateHandle(ctx, request, response)
}

// updateWithStart starts and updates in one call, and sets the run of what was started.
func (c *workflowClient) updateWithStart(ctx context.Context, start *withStartOperation, options UpdateWorkflowOptions) (
	*workflowservice.UpdateWorkflowExecutionResponse, *workflowservice.UpdateWorkflowExecutionRequest, error,
) {
	if options.WorkflowID == "" {
		options.WorkflowID = start.request.WorkflowId
	}
	update, err := c.updateRequest(options)
	if err != nil {
		return nil, nil, err
	}
	type operation = workflowservice.ExecuteMultiOperationRequest_Operation
	answer, err := c.service.ExecuteMultiOperation(connection.Waiting(ctx), &workflowservice.ExecuteMultiOperationRequest{
		Namespace: c.connection.Namespace,
		Operations: []*operation{
			{Operation: &workflowservice.ExecuteMultiOperationRequest_Operation_StartWorkflow{StartWorkflow: start.request}},
			{Operation: &workflowservice.ExecuteMultiOperationRequest_Operation_UpdateWorkflow{UpdateWorkflow: update}},
		},
	})
	if err != nil {
		return nil, nil, ofOperations(ctx, err)
	}
	if len(answer.Responses) != 2 || answer.Responses[0].GetStartWorkflow() == nil || answer.Responses[1].GetUpdateWorkflow() == nil {
		return nil, nil, fmt.Errorf("the server's answer isn't one to a start and an update: %v", answer)
	}
	start.run = &workflowRun{
		client: c, workflowType: start.request.WorkflowType.Name, id: start.request.WorkflowId,
		runID: answer.Responses[0].GetStartWorkflow().RunId,
	}
	return answer.Responses[1].GetUpdateWorkflow(), update, nil
}

// ofOperations is the error of the operation that went wrong, of two that went together; the other one was only aborted.
func ofOperations(ctx context.Context, err error) error {
	var both *serviceerror.MultiOperationExecution
	if !errors.As(err, &both) {
		return ofWait(ctx, err)
	}
	for i, one := range both.OperationErrors() {
		var aborted *serviceerror.MultiOperationAborted
		if one == nil || errors.As(one, &aborted) {
			continue
		}
		what := "update"
		if i == 0 {
			what = "start"
		}
		return fmt.Errorf("failed workflow %s: %w", what, one)
	}
	return err
}

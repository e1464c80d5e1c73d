package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/attributes"
	"durably.dev/sdk/internal/connection"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	"durably.dev/sdk/internal/flow"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/operatorservice/v1"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
)

type (
	// HistoryEvent is an event of a history.
	HistoryEvent = historypb.HistoryEvent
	// QueryRejected says why a query has no answer.
	QueryRejected = querypb.QueryRejected
)

type workflowClient struct {
	connection *connection.Connection
	service    workflowservice.WorkflowServiceClient
}

// Connection is what workers use.
func (c *workflowClient) Connection() *connection.Connection { return c.connection }

func (c *workflowClient) WorkflowService() workflowservice.WorkflowServiceClient { return c.service }

func (c *workflowClient) OperatorService() operatorservice.OperatorServiceClient {
	return operatorservice.NewOperatorServiceClient(c.connection)
}

func (c *workflowClient) Close() {
	if err := c.connection.Bridge.Close(); err != nil {
		c.connection.Logger.Warn("The client was closed before.", "Error", err)
	}
}

func (c *workflowClient) payloads(values ...any) (*commonpb.Payloads, error) {
	return c.connection.DataConverter.ToPayloads(values...)
}

// payloadMap encodes values by name; nil for none.
func payloadMap(with converter.DataConverter, values map[string]any) (map[string]*commonpb.Payload, error) {
	if len(values) == 0 {
		return nil, nil
	}
	encoded := make(map[string]*commonpb.Payload, len(values))
	for name, value := range values {
		payload, err := with.ToPayload(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		encoded[name] = payload
	}
	return encoded, nil
}

func (c *workflowClient) startRequest(
	options StartWorkflowOptions, workflow any, args []any,
) (*workflowservice.StartWorkflowExecutionRequest, error) {
	name, err := (*flow.Registry)(nil).WorkflowName(workflow)
	if err != nil {
		return nil, err
	}
	if options.TaskQueue == "" {
		return nil, errors.New("StartWorkflowOptions.TaskQueue is empty: name the task queue of the workers")
	}
	if options.ID == "" {
		options.ID = rand.Text()
	}
	input, err := c.payloads(args...)
	if err != nil {
		return nil, fmt.Errorf("the arguments of workflow %s: %w", name, err)
	}
	request := &workflowservice.StartWorkflowExecutionRequest{
		Namespace: c.connection.Namespace, WorkflowId: options.ID, WorkflowType: &commonpb.WorkflowType{Name: name},
		TaskQueue: &taskqueuepb.TaskQueue{Name: options.TaskQueue}, Input: input,
		WorkflowExecutionTimeout: flow.Duration(options.WorkflowExecutionTimeout),
		WorkflowRunTimeout:       flow.Duration(options.WorkflowRunTimeout),
		WorkflowTaskTimeout:      flow.Duration(options.WorkflowTaskTimeout),
		Identity:                 c.connection.Identity, WorkflowIdReusePolicy: options.WorkflowIDReusePolicy,
		WorkflowIdConflictPolicy: options.WorkflowIDConflictPolicy, RetryPolicy: options.RetryPolicy.Proto(),
		CronSchedule: options.CronSchedule, WorkflowStartDelay: flow.Duration(options.StartDelay),
	}
	return request, c.describe(request, options)
}

// describe adds what tools show.
func (c *workflowClient) describe(request *workflowservice.StartWorkflowExecutionRequest, options StartWorkflowOptions) error {
	memo, err := payloadMap(c.connection.DataConverter, options.Memo)
	if err != nil {
		return fmt.Errorf("the memo: %w", err)
	}
	if memo != nil {
		request.Memo = &commonpb.Memo{Fields: memo}
	}
	if request.SearchAttributes, err = attributes.Encode(options.SearchAttributes, options.TypedSearchAttributes); err != nil {
		return err
	}
	request.UserMetadata, err = flow.Metadata(c.connection.DataConverter, options.StaticSummary, options.StaticDetails)
	return err
}

func (c *workflowClient) ExecuteWorkflow(
	ctx context.Context, options StartWorkflowOptions, workflow any, args ...any,
) (WorkflowRun, error) {
	request, err := c.startRequest(options, workflow, args)
	if err != nil {
		return nil, err
	}
	run := &workflowRun{client: c, workflowType: request.WorkflowType.Name, id: request.WorkflowId}
	response, err := c.service.StartWorkflowExecution(ctx, request)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) && !options.WorkflowExecutionErrorWhenAlreadyStarted {
		run.runID = started.RunId
		return run, nil
	}
	if err != nil {
		return nil, err
	}
	run.runID = response.RunId
	return run, nil
}

func (c *workflowClient) SignalWithStartWorkflow(
	ctx context.Context, workflowID, signalName string, signalArg any,
	options StartWorkflowOptions, workflow any, workflowArgs ...any,
) (WorkflowRun, error) {
	options.ID = workflowID
	start, err := c.startRequest(options, workflow, workflowArgs)
	if err != nil {
		return nil, err
	}
	signal, err := c.payloads(signalArg)
	if err != nil {
		return nil, fmt.Errorf("the argument of signal %s: %w", signalName, err)
	}
	response, err := c.service.SignalWithStartWorkflowExecution(ctx, &workflowservice.SignalWithStartWorkflowExecutionRequest{
		Namespace: start.Namespace, WorkflowId: start.WorkflowId, WorkflowType: start.WorkflowType, TaskQueue: start.TaskQueue,
		Input: start.Input, WorkflowExecutionTimeout: start.WorkflowExecutionTimeout, WorkflowRunTimeout: start.WorkflowRunTimeout,
		WorkflowTaskTimeout: start.WorkflowTaskTimeout, Identity: start.Identity, SignalName: signalName, SignalInput: signal,
		WorkflowIdReusePolicy: start.WorkflowIdReusePolicy, WorkflowIdConflictPolicy: start.WorkflowIdConflictPolicy,
		RetryPolicy: start.RetryPolicy, CronSchedule: start.CronSchedule, Memo: start.Memo, SearchAttributes: start.SearchAttributes,
		WorkflowStartDelay: start.WorkflowStartDelay, UserMetadata: start.UserMetadata,
	})
	if err != nil {
		return nil, err
	}
	return &workflowRun{client: c, workflowType: start.WorkflowType.Name, id: workflowID, runID: response.RunId}, nil
}

func (c *workflowClient) GetWorkflow(ctx context.Context, workflowID, runID string) WorkflowRun {
	return &workflowRun{client: c, ctx: ctx, id: workflowID, runID: runID}
}

type workflowRun struct {
	client       *workflowClient
	workflowType string
	id           string
	// ctx is GetWorkflow's, for asking which run is the current one.
	ctx context.Context

	mu sync.Mutex
	// runID is the run that the handle has got to.
	runID string
}

func (r *workflowRun) GetID() string { return r.id }

func (r *workflowRun) GetRunID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runID == "" {
		described, err := r.client.DescribeWorkflowExecution(r.ctx, r.id, "")
		if err != nil {
			return ""
		}
		r.runID = described.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	}
	return r.runID
}

func (r *workflowRun) knownRunID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runID
}

func (r *workflowRun) Get(ctx context.Context, valuePtr any) error {
	return r.GetWithOptions(ctx, valuePtr, WorkflowRunGetOptions{})
}

func (r *workflowRun) GetWithOptions(ctx context.Context, valuePtr any, options WorkflowRunGetOptions) error {
	connected := r.client.connection
	result, err := connected.Bridge.AwaitWorkflow(ctx, &core.AwaitWorkflow{
		WorkflowId: r.id, RunId: r.knownRunID(), FollowRuns: !options.DisableFollowingRuns,
	})
	if err != nil {
		return connection.Error(err)
	}
	r.mu.Lock()
	r.runID = result.RunId
	r.mu.Unlock()
	var cause error
	switch outcome := result.Outcome.(type) {
	case *core.WorkflowResult_Completed:
		if valuePtr == nil || len(outcome.Completed.GetPayloads()) == 0 {
			return nil
		}
		return connected.DataConverter.FromPayloads(outcome.Completed, valuePtr)
	case *core.WorkflowResult_Failed:
		cause = connected.FailureConverter.FailureToError(outcome.Failed)
	case *core.WorkflowResult_Cancelled:
		cause = failure.NewCanceled(outcome.Cancelled, connected.DataConverter)
	case *core.WorkflowResult_Terminated_:
		cause = &failure.TerminatedError{}
	case *core.WorkflowResult_TimedOut:
		cause = &failure.TimeoutError{Msg: "Workflow timeout", Which: enumspb.TIMEOUT_TYPE_START_TO_CLOSE}
	case *core.WorkflowResult_ContinuedAsNewRunId:
		cause = fmt.Errorf("the run has continued as new: %s", outcome.ContinuedAsNewRunId)
	}
	return &failure.WorkflowExecutionError{WorkflowID: r.id, RunID: result.RunId, WorkflowType: r.workflowType, Cause: cause}
}

func (c *workflowClient) SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error {
	input, err := c.payloads(arg)
	if err != nil {
		return fmt.Errorf("the argument of signal %s: %w", signalName, err)
	}
	_, err = c.service.SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: c.connection.Namespace, WorkflowExecution: execution(workflowID, runID), SignalName: signalName, Input: input,
		Identity: c.connection.Identity,
	})
	return err
}

func (c *workflowClient) CancelWorkflow(ctx context.Context, workflowID, runID string) error {
	_, err := c.service.RequestCancelWorkflowExecution(ctx, &workflowservice.RequestCancelWorkflowExecutionRequest{
		Namespace: c.connection.Namespace, WorkflowExecution: execution(workflowID, runID), Identity: c.connection.Identity,
	})
	return err
}

func (c *workflowClient) TerminateWorkflow(ctx context.Context, workflowID, runID, reason string, details ...any) error {
	encoded, err := c.payloads(details...)
	if err != nil {
		return fmt.Errorf("the details: %w", err)
	}
	_, err = c.service.TerminateWorkflowExecution(ctx, &workflowservice.TerminateWorkflowExecutionRequest{
		Namespace: c.connection.Namespace, WorkflowExecution: execution(workflowID, runID), Reason: reason, Details: encoded,
		Identity: c.connection.Identity,
	})
	return err
}

func (c *workflowClient) QueryWorkflow(
	ctx context.Context, workflowID, runID, queryType string, args ...any,
) (converter.EncodedValue, error) {
	response, err := c.QueryWorkflowWithOptions(ctx, &QueryWorkflowWithOptionsRequest{
		WorkflowID: workflowID, RunID: runID, QueryType: queryType, Args: args,
	})
	if err != nil {
		return nil, err
	}
	if rejected := response.QueryRejected; rejected != nil {
		return nil, fmt.Errorf("query rejected, workflow status: %v", rejected.Status)
	}
	return response.QueryResult, nil
}

func (c *workflowClient) QueryWorkflowWithOptions(
	ctx context.Context, request *QueryWorkflowWithOptionsRequest,
) (*QueryWorkflowWithOptionsResponse, error) {
	arguments, err := c.payloads(request.Args...)
	if err != nil {
		return nil, fmt.Errorf("the arguments of query %s: %w", request.QueryType, err)
	}
	response, err := c.service.QueryWorkflow(ctx, &workflowservice.QueryWorkflowRequest{
		Namespace: c.connection.Namespace, Execution: execution(request.WorkflowID, request.RunID),
		Query:                &querypb.WorkflowQuery{QueryType: request.QueryType, QueryArgs: arguments},
		QueryRejectCondition: request.QueryRejectCondition,
	})
	if err != nil {
		return nil, err
	}
	if response.QueryRejected != nil {
		return &QueryWorkflowWithOptionsResponse{QueryRejected: response.QueryRejected}, nil
	}
	return &QueryWorkflowWithOptionsResponse{QueryResult: &encodedValue{response.QueryResult, c.connection.DataConverter}}, nil
}

type encodedValue struct {
	payloads  *commonpb.Payloads
	converter converter.DataConverter
}

func (v *encodedValue) HasValue() bool { return len(v.payloads.GetPayloads()) > 0 }

func (v *encodedValue) Get(valuePtr any) error {
	if !v.HasValue() {
		return failure.ErrNoData
	}
	return v.converter.FromPayloads(v.payloads, valuePtr)
}

package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"durably.dev/sdk/internal/activities"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (c *workflowClient) DescribeWorkflowExecution(
	ctx context.Context, workflowID, runID string,
) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return c.service.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: c.connection.Namespace, Execution: execution(workflowID, runID),
	})
}

func (c *workflowClient) DescribeTaskQueue(
	ctx context.Context, taskqueue string, taskqueueType enumspb.TaskQueueType,
) (*workflowservice.DescribeTaskQueueResponse, error) {
	return c.service.DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: c.connection.Namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: taskqueue}, TaskQueueType: taskqueueType,
	})
}

func (c *workflowClient) ListWorkflow(
	ctx context.Context, request *workflowservice.ListWorkflowExecutionsRequest,
) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if request.Namespace == "" {
		request.Namespace = c.connection.Namespace
	}
	return c.service.ListWorkflowExecutions(ctx, request)
}

func (c *workflowClient) CountWorkflow(
	ctx context.Context, request *workflowservice.CountWorkflowExecutionsRequest,
) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	if request.Namespace == "" {
		request.Namespace = c.connection.Namespace
	}
	return c.service.CountWorkflowExecutions(ctx, request)
}

func (c *workflowClient) ResetWorkflowExecution(
	ctx context.Context, request *workflowservice.ResetWorkflowExecutionRequest,
) (*workflowservice.ResetWorkflowExecutionResponse, error) {
	if request.Namespace == "" {
		request.Namespace = c.connection.Namespace
	}
	if request.RequestId == "" {
		request.RequestId = rand.Text()
	}
	return c.service.ResetWorkflowExecution(ctx, request)
}

func (c *workflowClient) CheckHealth(ctx context.Context, _ *CheckHealthRequest) (*CheckHealthResponse, error) {
	_, err := c.service.GetSystemInfo(ctx, &workflowservice.GetSystemInfoRequest{})
	return &CheckHealthResponse{}, err
}

// Backup copies the state of an embedded server to a new file, while workflows go on. The copy is one file with all that
// was acknowledged before the call. To restore it, put it where the state file was while no server runs, without the old
// file's "-wal". Nothing may be at path yet, and its directory must exist.
//
// It fails with InvalidArgument when something is at path, and with FailedPrecondition when the state is in memory or not
// in this process: `durably server backup` copies it where its file is. The official SDK has no such function.
func Backup(ctx context.Context, c Client, path string) error {
	own, ok := c.(*workflowClient)
	if !ok {
		return fmt.Errorf("client.Backup: %T was not made by this package", c)
	}
	request := &core.BackUpRequest{Path: path}
	return own.connection.Invoke(ctx, "/durably.core.v1.Embedded/BackUp", request, &core.BackUpResponse{})
}

// SkipTime moves the clock of an embedded server with the option TimeSkipping, and returns when that much time has passed
// there: what was due has happened then. The context's deadline is real time; a day, if it has none. An activity may call it with its own context, to take that long.
//
// It fails with Unimplemented if the server's clock is the real one. The official SDK has no such function.
func SkipTime(ctx context.Context, c Client, d time.Duration) error {
	own, ok := c.(*workflowClient)
	if !ok {
		return fmt.Errorf("client.SkipTime: %T was not made by this package", c)
	}
	request := &core.SleepRequest{Duration: durationpb.New(d), InActivity: activities.Find(ctx) != nil}
	return own.connection.Invoke(ctx, "/durably.core.v1.Embedded/Sleep", request, &core.SleepResponse{})
}

// answer is what an activity that ends elsewhere came to.
type answer struct {
	result    *commonpb.Payloads
	cancelled *commonpb.Payloads
	failed    *failurepb.Failure
}

func (c *workflowClient) answer(result any, err error) (answer, error) {
	if err == nil {
		payloads, err := c.payloads(result)
		return answer{result: payloads}, err
	}
	failed := failure.Of(c.connection.FailureConverter, err)
	if info := failed.GetCanceledFailureInfo(); info != nil {
		details := info.Details
		if details == nil {
			details = &commonpb.Payloads{}
		}
		return answer{cancelled: details}, nil
	}
	return answer{failed: failed}, nil
}

func (c *workflowClient) CompleteActivity(ctx context.Context, taskToken []byte, result any, activityError error) error {
	a, err := c.answer(result, activityError)
	namespace, identity := c.connection.Namespace, c.connection.Identity
	switch {
	case err != nil:
		return err
	case a.failed != nil:
		_, err = c.service.RespondActivityTaskFailed(ctx, &workflowservice.RespondActivityTaskFailedRequest{
			Namespace: namespace, TaskToken: taskToken, Failure: a.failed, Identity: identity})
	case a.cancelled != nil:
		_, err = c.service.RespondActivityTaskCanceled(ctx, &workflowservice.RespondActivityTaskCanceledRequest{
			Namespace: namespace, TaskToken: taskToken, Details: a.cancelled, Identity: identity})
	default:
		_, err = c.service.RespondActivityTaskCompleted(ctx, &workflowservice.RespondActivityTaskCompletedRequest{
			Namespace: namespace, TaskToken: taskToken, Result: a.result, Identity: identity})
	}
	return err
}

func (c *workflowClient) CompleteActivityByID(
	ctx context.Context, namespace, workflowID, runID, activityID string, result any, activityError error,
) error {
	if workflowID == "" || activityID == "" {
		return errors.New("empty workflow or activity id")
	}
	a, err := c.answer(result, activityError)
	identity := c.connection.Identity
	switch {
	case err != nil:
		return err
	case a.failed != nil:
		_, err = c.service.RespondActivityTaskFailedById(ctx, &workflowservice.RespondActivityTaskFailedByIdRequest{
			Namespace: namespace, WorkflowId: workflowID, RunId: runID, ActivityId: activityID, Failure: a.failed, Identity: identity})
	case a.cancelled != nil:
		_, err = c.service.RespondActivityTaskCanceledById(ctx, &workflowservice.RespondActivityTaskCanceledByIdRequest{
			Namespace: namespace, WorkflowId: workflowID, RunId: runID, ActivityId: activityID, Details: a.cancelled, Identity: identity})
	default:
		_, err = c.service.RespondActivityTaskCompletedById(ctx, &workflowservice.RespondActivityTaskCompletedByIdRequest{
			Namespace: namespace, WorkflowId: workflowID, RunId: runID, ActivityId: activityID, Result: a.result, Identity: identity})
	}
	return err
}

func (c *workflowClient) RecordActivityHeartbeat(ctx context.Context, taskToken []byte, details ...any) error {
	encoded, err := c.payloads(details...)
	if err != nil {
		return err
	}
	_, err = c.service.RecordActivityTaskHeartbeat(ctx, &workflowservice.RecordActivityTaskHeartbeatRequest{
		Namespace: c.connection.Namespace, TaskToken: taskToken, Details: encoded, Identity: c.connection.Identity})
	return err
}

func (c *workflowClient) RecordActivityHeartbeatByID(
	ctx context.Context, namespace, workflowID, runID, activityID string, details ...any,
) error {
	encoded, err := c.payloads(details...)
	if err != nil {
		return err
	}
	_, err = c.service.RecordActivityTaskHeartbeatById(ctx, &workflowservice.RecordActivityTaskHeartbeatByIdRequest{
		Namespace: namespace, WorkflowId: workflowID, RunId: runID, ActivityId: activityID, Details: encoded,
		Identity: c.connection.Identity})
	return err
}

func (c *workflowClient) GetWorkflowHistory(
	ctx context.Context, workflowID, runID string, isLongPoll bool, filterType enumspb.HistoryEventFilterType,
) HistoryEventIterator {
	return &historyIterator{ctx: ctx, client: c, request: &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: c.connection.Namespace, Execution: execution(workflowID, runID), WaitNewEvent: isLongPoll,
		HistoryEventFilterType: filterType, SkipArchival: isLongPoll,
	}}
}

type historyIterator struct {
	ctx     context.Context
	client  *workflowClient
	request *workflowservice.GetWorkflowExecutionHistoryRequest
	events  []*historypb.HistoryEvent
	asked   bool
	err     error
}

func (i *historyIterator) HasNext() bool {
	for len(i.events) == 0 && i.err == nil && (!i.asked || len(i.request.NextPageToken) > 0) {
		page, err := i.client.service.GetWorkflowExecutionHistory(i.ctx, i.request)
		i.asked, i.err = true, err
		if err == nil {
			i.events, i.request.NextPageToken = page.History.GetEvents(), page.NextPageToken
		}
	}
	// An error is what Next returns.
	return len(i.events) > 0 || i.err != nil
}

func (i *historyIterator) Next() (*HistoryEvent, error) {
	if !i.HasNext() {
		return nil, errors.New("the history has no more events")
	}
	if i.err != nil {
		return nil, i.err
	}
	event := i.events[0]
	i.events = i.events[1:]
	return event, nil
}

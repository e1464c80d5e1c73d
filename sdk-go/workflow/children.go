package workflow

import (
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/flow"
	"durably.dev/sdk/temporal"
)

// ExecuteChildWorkflow starts a child workflow, named by its function or its name. Its options come from WithChildOptions.
// The future's error is a *temporal.ChildWorkflowExecutionError. Cancelling the context cancels the child, once it has
// started; the future waits until the child has ended.
func ExecuteChildWorkflow(ctx Context, childWorkflow any, args ...any) ChildWorkflowFuture {
	return flow.ExecuteChildWorkflow(ctx, childWorkflow, args...)
}

// SignalExternalWorkflow sends a signal to another workflow: to the run, or to the open one if runID is empty. The future is
// ready when the signal was delivered; its error is a *temporal.UnknownExternalWorkflowExecutionError if there is no such
// workflow.
func SignalExternalWorkflow(ctx Context, workflowID, runID, signalName string, arg any) Future {
	return flow.SignalExternalWorkflow(ctx, workflowID, runID, signalName, arg)
}

// RequestCancelExternalWorkflow asks another workflow to end as cancelled: the run, or the open one if runID is empty. The
// future is ready when the request was delivered; its error is a *temporal.UnknownExternalWorkflowExecutionError if there is
// no such workflow.
func RequestCancelExternalWorkflow(ctx Context, workflowID, runID string) Future {
	return flow.RequestCancelExternalWorkflow(ctx, workflowID, runID)
}

// WithChildOptions sets the options of children that are started with the context. An empty Namespace or TaskQueue leaves
// what the context says; everything else that is zero has its default.
func WithChildOptions(ctx Context, cwo ChildWorkflowOptions) Context {
	return flow.WithChildOptions(ctx, cwo)
}

// GetChildWorkflowOptions are the options that children would be started with. Where nothing else was said, namespace, task
// queue and time-outs are the workflow's own.
func GetChildWorkflowOptions(ctx Context) ChildWorkflowOptions {
	return flow.GetChildWorkflowOptions(ctx)
}

// WithWorkflowNamespace sets the namespace of children, and of what SignalExternalWorkflow and RequestCancelExternalWorkflow
// mean.
func WithWorkflowNamespace(ctx Context, name string) Context {
	return flow.ChangeChildOptions(ctx, func(o *ChildWorkflowOptions) { o.Namespace = name })
}

// WithWorkflowTaskQueue sets the task queue of children, and of the run that NewContinueAsNewError begins. It panics if the
// name is empty.
func WithWorkflowTaskQueue(ctx Context, name string) Context {
	if name == "" {
		panic("the task queue's name is empty: leave workflow.WithWorkflowTaskQueue out for the workflow's own")
	}
	return flow.ChangeChildOptions(ctx, func(o *ChildWorkflowOptions) { o.TaskQueue = name })
}

// WithWorkflowID sets the workflow id of the next child.
func WithWorkflowID(ctx Context, workflowID string) Context {
	return flow.ChangeChildOptions(ctx, func(o *ChildWorkflowOptions) { o.WorkflowID = workflowID })
}

// WithWorkflowRunTimeout bounds each run of children, and the run that NewContinueAsNewError begins.
func WithWorkflowRunTimeout(ctx Context, d time.Duration) Context {
	return flow.ChangeChildOptions(ctx, func(o *ChildWorkflowOptions) { o.WorkflowRunTimeout = d })
}

// WithWorkflowTaskTimeout bounds the workflow tasks of children, and those of the run that NewContinueAsNewError begins.
func WithWorkflowTaskTimeout(ctx Context, d time.Duration) Context {
	return flow.ChangeChildOptions(ctx, func(o *ChildWorkflowOptions) { o.WorkflowTaskTimeout = d })
}

// WithWorkflowPriority sets the priority of children.
func WithWorkflowPriority(ctx Context, priority temporal.Priority) Context {
	return flow.ChangeChildOptions(ctx, func(o *ChildWorkflowOptions) { o.Priority = priority })
}

// WithDataConverter encodes and decodes the values of children, activities and signals with another converter than the
// worker's. It panics if that is nil.
func WithDataConverter(ctx Context, dc converter.DataConverter) Context {
	return flow.WithDataConverter(ctx, dc)
}

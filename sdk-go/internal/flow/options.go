package flow

import (
	"fmt"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/attributes"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
)

// Priority orders tasks that wait in a queue. Zero fields have the server's defaults.
type Priority struct {
	// PriorityKey is lower for what comes first: 1 to 5, and 3 by default.
	PriorityKey int
	// FairnessKey is whose task it is, such as a tenant: what waits is handed out in turns. At most 64 bytes.
	FairnessKey string
	// FairnessWeight is the key's share, from 0.001 to 1000; 1 by default.
	FairnessWeight float32
}

// Proto is the priority as a message; nil for that of the parent.
func (p Priority) Proto() *commonpb.Priority {
	if p == (Priority{}) {
		return nil
	}
	return &commonpb.Priority{PriorityKey: int32(p.PriorityKey), FairnessKey: p.FairnessKey, FairnessWeight: p.FairnessWeight}
}

func priorityOf(p *commonpb.Priority) Priority {
	return Priority{int(p.GetPriorityKey()), p.GetFairnessKey(), p.GetFairnessWeight()}
}

// ChildWorkflowOptions say how a child workflow runs. Durations that are zero are not bounded, but for WorkflowTaskTimeout.
type ChildWorkflowOptions struct {
	// Namespace is the parent's by default, as is TaskQueue.
	Namespace string
	// WorkflowID by default is made of the parent's run id and the id of the event that records the start.
	WorkflowID string
	TaskQueue  string
	// WorkflowExecutionTimeout bounds the child with its retries and the runs that it continues as.
	WorkflowExecutionTimeout time.Duration
	// WorkflowRunTimeout bounds each of the child's runs.
	WorkflowRunTimeout time.Duration
	// WorkflowTaskTimeout bounds each of the child's workflow tasks; the server's default is 10 s.
	WorkflowTaskTimeout time.Duration
	// WaitForCancellation changes nothing: a cancelled child's future waits until the child has ended either way, as it does
	// in the official SDK.
	WaitForCancellation bool
	// WorkflowIDReusePolicy says whether the id of a closed workflow may be used again; by default it may.
	WorkflowIDReusePolicy enumspb.WorkflowIdReusePolicy
	// RetryPolicy says how the child is retried; by default it isn't.
	RetryPolicy *RetryPolicy
	// CronSchedule starts the child anew by a schedule, in UTC.
	CronSchedule string
	// Memo is what lists and descriptions show beside the child.
	Memo map[string]any
	// SearchAttributes and TypedSearchAttributes are what lists find the child by; only one of them may be set.
	SearchAttributes      map[string]any
	TypedSearchAttributes attributes.Collection
	// ParentClosePolicy says what becomes of the child when its parent ends first; by default it is terminated.
	ParentClosePolicy enumspb.ParentClosePolicy
	// StaticSummary is a line for tools that show the child, StaticDetails a text.
	StaticSummary string
	StaticDetails string
	// Priority is the parent's by default.
	Priority Priority
}

// check finds what the server would refuse, while the line is known that asks for it.
func (o *ChildWorkflowOptions) check() error {
	for _, timeout := range []struct {
		name string
		is   time.Duration
	}{
		{"WorkflowExecutionTimeout", o.WorkflowExecutionTimeout}, {"WorkflowRunTimeout", o.WorkflowRunTimeout},
		{"WorkflowTaskTimeout", o.WorkflowTaskTimeout},
	} {
		if timeout.is < 0 {
			return fmt.Errorf("%s is negative: %v", timeout.name, timeout.is)
		}
	}
	if _, ok := enumspb.ParentClosePolicy_name[int32(o.ParentClosePolicy)]; !ok {
		return fmt.Errorf("ParentClosePolicy %d is none of enums.PARENT_CLOSE_POLICY_…", o.ParentClosePolicy)
	}
	if _, ok := enumspb.WorkflowIdReusePolicy_name[int32(o.WorkflowIDReusePolicy)]; !ok {
		return fmt.Errorf("WorkflowIDReusePolicy %d is none of enums.WORKFLOW_ID_REUSE_POLICY_…", o.WorkflowIDReusePolicy)
	}
	return nil
}

// WithChildOptions sets the options of children that are started with the context. An empty Namespace or TaskQueue leaves
// what the context says.
func WithChildOptions(ctx Context, options ChildWorkflowOptions) Context {
	before := GetChildWorkflowOptions(ctx)
	if options.Namespace == "" {
		options.Namespace = before.Namespace
	}
	if options.TaskQueue == "" {
		options.TaskQueue = before.TaskQueue
	}
	return WithValue(ctx, childKey, options)
}

// GetChildWorkflowOptions are the options that children would be started with: those of the workflow itself, unless the
// context says otherwise.
func GetChildWorkflowOptions(ctx Context) ChildWorkflowOptions {
	if options, ok := ctx.Value(childKey).(ChildWorkflowOptions); ok {
		return options
	}
	r, ok := ctx.Value(runKey).(*Run)
	if !ok || r.info == nil {
		return ChildWorkflowOptions{}
	}
	return ChildWorkflowOptions{
		Namespace: r.info.Namespace, TaskQueue: r.info.TaskQueueName, WorkflowExecutionTimeout: r.info.WorkflowExecutionTimeout,
		WorkflowRunTimeout: r.info.WorkflowRunTimeout, WorkflowTaskTimeout: r.info.WorkflowTaskTimeout,
	}
}

// ChangeChildOptions is ctx with changed options. They are also what NewContinueAsNewError goes by.
func ChangeChildOptions(ctx Context, change func(*ChildWorkflowOptions)) Context {
	options := GetChildWorkflowOptions(ctx)
	change(&options)
	return WithValue(ctx, childKey, options)
}

// WithDataConverter encodes and decodes with another converter than the worker's.
func WithDataConverter(ctx Context, with converter.DataConverter) Context {
	if with == nil {
		panic("the data converter is nil: leave workflow.WithDataConverter out for the worker's own")
	}
	return WithValue(ctx, converterKey, with)
}

// converterOf is the converter that a context's values go through.
func (r *Run) converterOf(ctx Context) converter.DataConverter {
	if with, ok := ctx.Value(converterKey).(converter.DataConverter); ok {
		return with
	}
	return r.env.DataConverter
}

package flow

import (
	"time"

	"durably.dev/sdk/internal/core"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
)

// Execution names a workflow run.
type Execution struct {
	ID    string
	RunID string
}

// Type names a workflow type.
type Type struct{ Name string }

// Info is what a workflow may know about itself.
type Info struct {
	WorkflowExecution        Execution
	OriginalRunID            string
	FirstRunID               string
	WorkflowType             Type
	TaskQueueName            string
	WorkflowExecutionTimeout time.Duration
	WorkflowRunTimeout       time.Duration
	WorkflowTaskTimeout      time.Duration
	Namespace                string
	// Attempt starts at 1.
	Attempt int32
	// WorkflowStartTime is when this run began.
	WorkflowStartTime       time.Time
	CronSchedule            string
	ContinuedExecutionRunID string
	ParentWorkflowNamespace string
	ParentWorkflowExecution *Execution
	RootWorkflowExecution   *Execution
	Memo                    *commonpb.Memo
	SearchAttributes        *commonpb.SearchAttributes
	RetryPolicy             *RetryPolicy
	Priority                Priority

	historyLength, historySize int
	continueSuggested          bool
	lastResult                 *commonpb.Payloads
	lastFailure                *failurepb.Failure
}

// GetCurrentHistoryLength is the number of events in the history, up to this workflow task.
func (i *Info) GetCurrentHistoryLength() int { return i.historyLength }

// GetCurrentHistorySize is the history's size in bytes, up to this workflow task.
func (i *Info) GetCurrentHistorySize() int { return i.historySize }

// GetContinueAsNewSuggested tells whether the history has become so long that the workflow should continue as new.
func (i *Info) GetContinueAsNewSuggested() bool { return i.continueSuggested }

// The names of an uninitialized run are empty.
func (i *Info) typeName() string {
	if i == nil {
		return ""
	}
	return i.WorkflowType.Name
}

func (i *Info) id() string {
	if i == nil {
		return ""
	}
	return i.WorkflowExecution.ID
}

func execution(e *commonpb.WorkflowExecution) *Execution {
	if e == nil {
		return nil
	}
	return &Execution{e.WorkflowId, e.RunId}
}

func newInfo(start *core.InitializeWorkflow, activation *core.WorkflowActivation) *Info {
	return &Info{
		WorkflowExecution: Execution{start.WorkflowId, activation.RunId}, OriginalRunID: activation.RunId,
		FirstRunID: start.FirstExecutionRunId, WorkflowType: Type{start.WorkflowType}, TaskQueueName: start.TaskQueue,
		WorkflowExecutionTimeout: start.ExecutionTimeout.AsDuration(), WorkflowRunTimeout: start.RunTimeout.AsDuration(),
		WorkflowTaskTimeout: start.TaskTimeout.AsDuration(), Namespace: start.Namespace, Attempt: start.Attempt,
		WorkflowStartTime: start.StartTime.AsTime(), CronSchedule: start.CronSchedule,
		ContinuedExecutionRunID: start.ContinuedFromExecutionRunId, ParentWorkflowNamespace: start.ParentNamespace,
		ParentWorkflowExecution: execution(start.Parent), RootWorkflowExecution: execution(start.Root), Memo: start.Memo,
		SearchAttributes: start.SearchAttributes, RetryPolicy: policyOf(start.RetryPolicy), Priority: priorityOf(start.Priority),
	}
}

// GetInfo is what the workflow may know about itself.
func GetInfo(ctx Context) *Info { return outboundOf(ctx).GetInfo(ctx) }

func (o *outbound) GetInfo(Context) *Info { return o.run.info }

// Now is the time of the workflow task: it stands still while code runs.
func Now(ctx Context) time.Time { return outboundOf(ctx).Now(ctx) }

func (o *outbound) Now(Context) time.Time { return o.run.now }

// IsReplaying tells whether what the code does is in the history already.
func IsReplaying(ctx Context) bool { return outboundOf(ctx).IsReplaying(ctx) }

func (o *outbound) IsReplaying(Context) bool { return o.run.replaying }

// HasLastCompletionResult tells whether an earlier run of a schedule has left a result.
func HasLastCompletionResult(ctx Context) bool { return outboundOf(ctx).HasLastCompletionResult(ctx) }

func (o *outbound) HasLastCompletionResult(Context) bool {
	return len(o.run.info.lastResult.GetPayloads()) > 0
}

// GetLastCompletionResult decodes what an earlier run of a schedule has left.
func GetLastCompletionResult(ctx Context, valuePtrs ...any) error {
	return outboundOf(ctx).GetLastCompletionResult(ctx, valuePtrs...)
}

func (o *outbound) GetLastCompletionResult(_ Context, valuePtrs ...any) error {
	return o.run.env.DataConverter.FromPayloads(o.run.info.lastResult, valuePtrs...)
}

// GetLastError is why the run before failed.
func GetLastError(ctx Context) error { return outboundOf(ctx).GetLastError(ctx) }

func (o *outbound) GetLastError(Context) error { return o.run.toError(o.run.info.lastFailure) }

// metadata is Metadata of what hides nothing else if it can't be encoded.
func (r *Run) metadata(summary string) *sdkpb.UserMetadata {
	metadata, err := Metadata(r.env.DataConverter, summary, "")
	if err != nil {
		return nil
	}
	return metadata
}

package flow

import (
	"fmt"
	"maps"
	"slices"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/attributes"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
)

// ChildWorkflowFuture is a child's result, and the way to the child.
type ChildWorkflowFuture interface {
	// Get waits until the child has ended, after all of its runs. The error is a ChildWorkflowExecutionError.
	Future
	// GetChildWorkflowExecution is ready when the child has started, with its Execution, or has failed to.
	GetChildWorkflowExecution() Future
	// SignalChildWorkflow waits until the child has started, and then sends it a signal.
	SignalChildWorkflow(ctx Context, signalName string, data any) Future
}

type childFuture struct {
	*future
	execution *future
}

func (f *childFuture) GetChildWorkflowExecution() Future { return f.execution }

func (f *childFuture) SignalChildWorkflow(ctx Context, signalName string, data any) Future {
	var started Execution
	if err := f.execution.Get(ctx, &started); err != nil {
		return f.execution
	}
	return outboundOf(ctx).SignalChildWorkflow(ctx, started.ID, signalName, data)
}

func failedChild(r *Run, err error) *childFuture { return &childFuture{failed(r, err), failed(r, err)} }

// child is a child workflow that hasn't come to its end.
type child struct {
	pending
	ctx       Context
	execution *future
	// id is the workflow id; empty while the core has yet to tell which one it has made.
	id string
}

// ExecuteChildWorkflow starts a child workflow, named by its function or its name. Its options come from WithChildOptions.
func ExecuteChildWorkflow(ctx Context, workflow any, arguments ...any) ChildWorkflowFuture {
	r := runOf(ctx)
	name, err := r.env.Registry.WorkflowName(workflow)
	if err != nil {
		return failedChild(r, err)
	}
	return r.out.ExecuteChildWorkflow(ctx, name, arguments...)
}

func (o *outbound) ExecuteChildWorkflow(ctx Context, name string, arguments ...any) ChildWorkflowFuture {
	r := o.run
	if err := ctx.Err(); err != nil {
		return failedChild(r, err)
	}
	options, with := GetChildWorkflowOptions(ctx), r.converterOf(ctx)
	command, err := r.startChild(name, &options, with, arguments)
	if err != nil {
		return failedChild(r, fmt.Errorf("child workflow %s: %w", name, err))
	}
	f := &childFuture{&future{run: r}, &future{run: r}}
	if options.WorkflowID != "" && r.hasChild(options.WorkflowID) {
		taken := &failure.ChildWorkflowExecutionAlreadyStartedError{}
		f.Set(nil, taken)
		if r.uses(flagFailStart) {
			f.execution.Set(nil, taken)
		}
		return f
	}
	r.lastChild++
	command.GetStartChildWorkflow().Seq = r.lastChild
	r.command(command)
	r.children[r.lastChild] = &child{
		pending: pending{future: f.future, converter: with}, ctx: ctx, execution: f.execution, id: options.WorkflowID}
	return f
}

// hasChild tells whether a child of a workflow id is open, or is to be.
func (r *Run) hasChild(id string) bool {
	for _, c := range r.children {
		if c.id == id {
			return true
		}
	}
	return false
}

// startChild is the command that starts a child, but for its number.
func (r *Run) startChild(name string, o *ChildWorkflowOptions, with converter.DataConverter, arguments []any) (*core.WorkflowCommand, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	payloads, err := with.ToPayloads(arguments...)
	if err != nil {
		return nil, fmt.Errorf("the arguments: %w", err)
	}
	memo, err := r.memo(o.Memo)
	if err != nil {
		return nil, fmt.Errorf("the memo: %w", err)
	}
	searched, err := attributes.Encode(o.SearchAttributes, o.TypedSearchAttributes)
	if err != nil {
		return nil, err
	}
	metadata, err := Metadata(r.env.DataConverter, o.StaticSummary, o.StaticDetails)
	if err != nil {
		return nil, err
	}
	return &core.WorkflowCommand{Location: r.location(), UserMetadata: metadata, Command: &core.WorkflowCommand_StartChildWorkflow{
		StartChildWorkflow: &core.StartChildWorkflow{
			Namespace: o.Namespace, WorkflowId: o.WorkflowID, WorkflowType: name, TaskQueue: o.TaskQueue,
			Arguments: payloads.GetPayloads(), ExecutionTimeout: Duration(o.WorkflowExecutionTimeout),
			RunTimeout: Duration(o.WorkflowRunTimeout), TaskTimeout: Duration(o.WorkflowTaskTimeout),
			ParentClosePolicy: o.ParentClosePolicy, WorkflowIdReusePolicy: o.WorkflowIDReusePolicy,
			RetryPolicy: o.RetryPolicy.Proto(), CronSchedule: o.CronSchedule, Memo: memo, SearchAttributes: searched,
			Priority: o.Priority.Proto(),
			// Whatever the option WaitForCancellation says: decision 141.
			CancellationType: core.ChildWorkflowCancellationType_CHILD_WORKFLOW_CANCELLATION_TYPE_WAIT_CANCELLATION_COMPLETED,
		}}}, nil
}

// memo encodes the memo of a child. What the worker's converter can't encode, the default one may.
func (r *Run) memo(values map[string]any) (*commonpb.Memo, error) {
	if len(values) == 0 {
		return nil, nil
	}
	standard := converter.GetDefaultDataConverter()
	with := standard
	if r.uses(flagConvertMemo) {
		with = r.env.DataConverter
	}
	memo := &commonpb.Memo{Fields: map[string]*commonpb.Payload{}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		payload, err := with.ToPayload(values[name])
		if err != nil {
			var second error
			if payload, second = standard.ToPayload(values[name]); second != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		memo.Fields[name] = payload
	}
	return memo, nil
}

// Metadata is what tools show, encoded; nil for nothing.
func Metadata(with converter.DataConverter, summary, details string) (metadata *sdkpb.UserMetadata, err error) {
	if summary == "" && details == "" {
		return nil, nil
	}
	metadata = &sdkpb.UserMetadata{}
	if summary != "" {
		if metadata.Summary, err = with.ToPayload(summary); err != nil {
			return nil, fmt.Errorf("the summary: %w", err)
		}
	}
	if details != "" {
		if metadata.Details, err = with.ToPayload(details); err != nil {
			return nil, fmt.Errorf("the details: %w", err)
		}
	}
	return metadata, nil
}

// childStarted settles what waits for a child's start. Only now can the child be cancelled: as in the official SDK, a
// context that was cancelled before doesn't keep the child from starting, but cancels it here.
func (r *Run) childStarted(job *core.ResolveChildWorkflowStart) error {
	c := r.children[job.Seq]
	if c == nil {
		return nil
	}
	switch status := job.Status.(type) {
	case *core.ResolveChildWorkflowStart_Started:
		if c.id == "" {
			c.id = status.Started.WorkflowId
		}
		c.hook = stopWith(c.ctx, func() {
			r.command(&core.WorkflowCommand{Command: &core.WorkflowCommand_CancelChildWorkflow{
				CancelChildWorkflow: &core.CancelChildWorkflow{Seq: job.Seq}}})
		})
		c.execution.Set(Execution{ID: c.id, RunID: status.Started.RunId}, nil)
	case *core.ResolveChildWorkflowStart_Failed:
		err := notStarted(status.Failed)
		r.endChild(job.Seq, nil, err)
		c.execution.Set(nil, err)
	case *core.ResolveChildWorkflowStart_Cancelled:
		err := &undecoded{run: r, failure: status.Cancelled}
		r.endChild(job.Seq, nil, err)
		c.execution.Set(nil, err)
	default:
		return tooNew("the start of a child workflow", status)
	}
	return nil
}

func notStarted(f *core.ChildWorkflowStartFailed) error {
	var cause error
	switch f.Cause {
	case enumspb.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS:
		cause = &failure.ChildWorkflowExecutionAlreadyStartedError{}
	case enumspb.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND:
		cause = &failure.NamespaceNotFoundError{}
	default:
		cause = fmt.Errorf("unable to start child workflow for unknown cause: %v", f.Cause)
	}
	return &failure.ChildWorkflowExecutionError{Cause: cause, Info: &failurepb.ChildWorkflowExecutionFailureInfo{
		Namespace: f.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: f.WorkflowId},
		WorkflowType: &commonpb.WorkflowType{Name: f.WorkflowType}, InitiatedEventId: f.InitiatedEventId,
		RetryState: enumspb.RETRY_STATE_NON_RETRYABLE_FAILURE,
	}}
}

func (r *Run) childEnded(job *core.ResolveChildWorkflow) error {
	c := r.children[job.Seq]
	if c == nil {
		return nil
	}
	var value any
	var err error
	switch status := job.Result.GetStatus().(type) {
	case *core.ChildWorkflowResolution_Completed:
		if payload := status.Completed.Result; payload != nil {
			value = &encoded{payload, c.converter}
		}
	case *core.ChildWorkflowResolution_Failed:
		err = &undecoded{run: r, failure: status.Failed}
	case *core.ChildWorkflowResolution_Cancelled:
		err = &undecoded{run: r, failure: status.Cancelled}
	default:
		return tooNew("the end of a child workflow", status)
	}
	r.endChild(job.Seq, value, err)
	return nil
}

func (r *Run) endChild(seq uint32, value any, err error) {
	c := r.children[seq]
	delete(r.children, seq)
	c.hook.drop()
	c.future.Set(value, err)
}

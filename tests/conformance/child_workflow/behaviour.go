// Package child_workflow: child workflows, started by reference and by name, awaited at once or in two steps, and all the ways
// in which they end.
package child_workflow

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

func Greets(_ workflow.Context, name string) (string, error) { return "hello " + name, nil }

// Relatives returns the workflow ids of its parent and of the topmost one.
func Relatives(ctx workflow.Context) ([]string, error) {
	id := func(e *workflow.Execution) string {
		if e == nil {
			return ""
		}
		return e.ID
	}
	info := workflow.GetInfo(ctx)
	return []string{id(info.ParentWorkflowExecution), id(info.RootWorkflowExecution)}, nil
}

// Collects collects three words.
func Collects(ctx workflow.Context) (string, error) {
	words := make([]string, 3)
	for i := range words {
		workflow.GetSignalChannel(ctx, "word").Receive(ctx, &words[i])
	}
	return strings.Join(words, " "), nil
}

// Waits waits until it is cancelled.
func Waits(ctx workflow.Context) error { return workflow.Await(ctx, func() bool { return false }) }

func Fails(workflow.Context) error {
	root := temporal.NewApplicationError("the reason", "Root")
	return temporal.NewNonRetryableApplicationError("deliberate", "Deliberate", root, map[string]int{"code": 7})
}

// Flaky fails until its attempt of this number, and returns that.
func Flaky(ctx workflow.Context, succeedsAt int32) (int32, error) {
	attempt := workflow.GetInfo(ctx).Attempt
	if attempt < succeedsAt {
		return 0, temporal.NewApplicationError(fmt.Sprintf("attempt %d", attempt), "NotYet")
	}
	return attempt, nil
}

// CountsDown continues as new until nothing is left; returns whether its last run is another than its first.
func CountsDown(ctx workflow.Context, left int) (bool, error) {
	if left > 0 {
		return false, workflow.NewContinueAsNewError(ctx, CountsDown, left-1)
	}
	info := workflow.GetInfo(ctx)
	return info.WorkflowExecution.RunID != info.FirstRunID, nil
}

const alreadyStarted = "WorkflowAlreadyStarted"

type told []any

// outcome is a failure as a list that is the same in every language, its causes after it.
func outcome(err error) (all []told) {
	for ; err != nil; err = errors.Unwrap(err) {
		switch e := err.(type) {
		case *temporal.ChildWorkflowExecutionError:
			var taken *temporal.ChildWorkflowExecutionAlreadyStartedError
			if errors.As(e, &taken) {
				return append(all, told{alreadyStarted, e.WorkflowID(), e.WorkflowType()})
			}
			all = append(all, told{"child", e.WorkflowType(), strings.TrimPrefix(enums.RetryState_name[int32(e.RetryState())], "RETRY_STATE_")})
		case *temporal.ApplicationError:
			details := []any{}
			if e.HasDetails() {
				var detail any
				harness.Must(e.Details(&detail))
				details = append(details, detail)
			}
			all = append(all, told{"application", e.Type(), e.Message(), details})
		case *temporal.TimeoutError:
			all = append(all, told{"timeout", strings.TrimPrefix(enums.TimeoutType_name[int32(e.TimeoutType())], "TIMEOUT_TYPE_")})
		case *temporal.TerminatedError:
			all = append(all, told{"terminated"})
		case *temporal.CanceledError:
			all = append(all, told{"cancelled"})
		default:
			all = append(all, told{fmt.Sprintf("%T", err), err.Error()})
		}
	}
	return all
}

// Options of the child that Tells runs.
type Options struct {
	Queue             string
	Seconds, Attempts int
	Reuse             enums.WorkflowIdReusePolicy
	Memo              map[string]any
}

// Tells runs the child of this type, and returns its result or how it failed.
func Tells(ctx workflow.Context, kind, id string, args []any, o Options) (any, error) {
	options := workflow.ChildWorkflowOptions{
		WorkflowID: id, TaskQueue: o.Queue, WorkflowRunTimeout: time.Duration(o.Seconds) * time.Second, WorkflowIDReusePolicy: o.Reuse, Memo: o.Memo,
	}
	if o.Attempts > 0 {
		options.RetryPolicy = &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: int32(o.Attempts)}
	}
	var result any
	if err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), kind, args...).Get(ctx, &result); err != nil {
		return outcome(err), nil
	}
	return result, nil
}

// PassesOn lets the failure of its child fail itself.
func PassesOn(ctx workflow.Context, id string) error {
	return workflow.ExecuteChildWorkflow(workflow.WithWorkflowID(ctx, id), Fails).Get(ctx, nil)
}

// TwoSteps starts a child, sends it words, and only then waits for it.
func TwoSteps(ctx workflow.Context, id string) (all string, err error) {
	var started workflow.Execution
	if err := workflow.SetQueryHandler(ctx, "started", func() (string, error) { return started.RunID, nil }); err != nil {
		return "", err
	}
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: id}), Collects)
	if err := child.GetChildWorkflowExecution().Get(ctx, &started); err != nil || started.ID != id || child.IsReady() {
		return "", fmt.Errorf("%w: %v", err, started)
	}
	workflow.GetSignalChannel(ctx, "send").Receive(ctx, nil)
	for _, word := range []string{"one", "two", "three"} {
		if err := child.SignalChildWorkflow(ctx, "word", word).Get(ctx, nil); err != nil {
			return "", err
		}
	}
	err = child.Get(ctx, &all)
	return
}

// Twice starts two children of one id, one after the other. The second start fails without a trace in the history.
func Twice(ctx workflow.Context, id string) (all string, err error) {
	ctx = workflow.WithWorkflowID(ctx, id)
	first := workflow.ExecuteChildWorkflow(ctx, Collects)
	if err := first.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return "", err
	}
	second := workflow.ExecuteChildWorkflow(ctx, Greets, "nobody")
	for _, future := range []workflow.Future{second, second.GetChildWorkflowExecution()} {
		err := future.Get(ctx, nil)
		if _, taken := err.(*temporal.ChildWorkflowExecutionAlreadyStartedError); !taken || !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return "", fmt.Errorf("started twice: %w", err)
		}
	}
	for _, word := range []string{"it", "goes", "on"} {
		if err := first.SignalChildWorkflow(ctx, "word", word).Get(ctx, nil); err != nil {
			return "", err
		}
	}
	err = first.Get(ctx, &all)
	return
}

// InParallel has twelve children, of which three are under way at a time; each fourth one fails.
func InParallel(ctx workflow.Context, id string) ([]string, error) {
	slots, group, ended := workflow.NewSemaphore(ctx, 3), workflow.NewWaitGroup(ctx), make([]string, 12)
	for number := range ended {
		group.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer group.Done()
			if slots.Acquire(ctx, 1) != nil {
				return
			}
			defer slots.Release(1)
			ctx = workflow.WithWorkflowID(ctx, fmt.Sprint(id, "-", number))
			var child workflow.ChildWorkflowFuture
			if number%4 == 3 {
				child = workflow.ExecuteChildWorkflow(ctx, Fails)
			} else {
				child = workflow.ExecuteChildWorkflow(ctx, Greets, fmt.Sprint(number))
			}
			if child.Get(ctx, &ended[number]) != nil {
				ended[number] = "failed"
			}
		})
	}
	group.Wait(ctx)
	return ended, nil
}

var names = map[enums.EventType]string{
	enums.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: "initiated", enums.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED: "start failed",
	enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: "started", enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: "completed",
	enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: "failed", enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: "canceled",
	enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT: "timed out", enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: "terminated",
}

type check struct {
	ctx context.Context
	env *harness.Env
}

// children are what the history says of children, in order.
func (c check) children(run client.WorkflowRun) (all []string) {
	history, err := harness.History(c.ctx, c.env.Client, run.GetID(), "")
	harness.Must(err)
	for _, kind := range harness.Types(history) {
		if name, ok := names[kind]; ok {
			all = append(all, name)
		}
	}
	return all
}

func (c check) tells(want any, id, kind string, args []any, o Options) client.WorkflowRun {
	return c.tellsAs(client.StartWorkflowOptions{}, want, id, kind, args, o)
}

// tellsAs runs a parent of one child, which must come to this.
func (c check) tellsAs(as client.StartWorkflowOptions, want any, id, kind string, args []any, o Options) client.WorkflowRun {
	run := c.env.StartWith(c.ctx, as, Tells, kind, id, args, o)
	got := harness.Result[any](c.ctx, run)
	harness.Assert(fmt.Sprint(got) == fmt.Sprint(want), "%s: %v instead of %v", kind, got, want)
	return run
}

// ends is tells whose child's end is in the history like this.
func (c check) ends(how string, want any, kind string, args []any, o Options) {
	id := c.env.NewID()
	run := c.tells(want, id, kind, args, o)
	c.env.Also(c.env.Client.GetWorkflow(c.ctx, id, ""))
	seen := c.children(run)
	harness.Assert(slices.Equal(seen, []string{"initiated", "started", how}), "%s: %v", kind, seen)
}

var deliberate = []told{{"application", "Deliberate", "deliberate", []any{map[string]any{"code": 7}}}, {"application", "Root", "the reason", []any{}}}

func failed(first ...told) []told { return append(first, deliberate...) }

func (c check) outcomes() {
	c.ends("completed", "hello Ada", "Greets", []any{"Ada"}, Options{})
	c.ends("completed", true, "CountsDown", []any{3}, Options{})
	c.ends("completed", 3, "Flaky", []any{3}, Options{Attempts: 5})
	c.ends("failed", []told{{"child", "Flaky", "MAXIMUM_ATTEMPTS_REACHED"}, {"application", "NotYet", "attempt 2", []any{}}}, "Flaky", []any{9}, Options{Attempts: 2})
	c.ends("failed", failed(told{"child", "Fails", "RETRY_POLICY_NOT_SET"}), "Fails", nil, Options{})
	c.ends("failed", failed(told{"child", "Fails", "NON_RETRYABLE_FAILURE"}), "Fails", nil, Options{Attempts: 3})
	// A grandchild: its failure arrives at the top, where it came through in between.
	c.ends("failed", failed(told{"child", "PassesOn", "RETRY_POLICY_NOT_SET"}, told{"child", "Fails", "RETRY_POLICY_NOT_SET"}),
		"PassesOn", []any{c.env.NewID()}, Options{})
	c.ends("timed out", []told{{"child", "Collects", "RETRY_POLICY_NOT_SET"}, {"timeout", "START_TO_CLOSE"}}, "Collects", nil, Options{Seconds: 1})
	err := c.env.Start(c.ctx, PassesOn, c.env.NewID()).Get(c.ctx, nil)
	var child *temporal.ChildWorkflowExecutionError
	harness.Assert(errors.As(err, &child), "not failed: %v", err)
	got := fmt.Sprint(outcome(child))
	harness.Assert(got == fmt.Sprint(failed(told{"child", "Fails", "RETRY_POLICY_NOT_SET"})), "at the client: %v", got)
}

// relatives: who is whose child, asked of the child and of the server.
func (c check) relatives() {
	child, grandchild := c.env.NewID(), c.env.NewID()
	parent := c.env.Start(c.ctx, Tells, "Relatives", child, []any{}, Options{})
	got := harness.Result[[]string](c.ctx, parent)
	harness.Assert(slices.Equal(got, []string{parent.GetID(), parent.GetID()}), "relatives: %v", got)
	top := c.env.Start(c.ctx, Tells, "Tells", child, []any{"Relatives", grandchild, []any{}, Options{}}, Options{})
	got = harness.Result[[]string](c.ctx, top)
	harness.Assert(slices.Equal(got, []string{child, top.GetID()}), "relatives: %v", got)
	described, err := c.env.Client.DescribeWorkflowExecution(c.ctx, grandchild, "")
	harness.Must(err)
	info := described.WorkflowExecutionInfo
	harness.Assert(info.ParentExecution.GetWorkflowId() == child, "parent: %v", info.ParentExecution)
	root := info.RootExecution
	harness.Assert(root.GetWorkflowId() == top.GetID() && root.GetRunId() == top.GetRunID(), "root: %v", root)
}

// options: what the parent gives arrives at the child.
func (c check) options() {
	child := c.env.NewID()
	run := c.tells("hello Ada", child, "Greets", []any{"Ada"}, Options{Seconds: 77, Attempts: 4, Memo: map[string]any{"note": "x"}})
	described, err := c.env.Client.DescribeWorkflowExecution(c.ctx, child, "")
	harness.Must(err)
	info := described.WorkflowExecutionInfo
	harness.Assert(string(info.Memo.GetFields()["note"].GetData()) == `"x"` && info.TaskQueue == c.env.TaskQueue, "described: %v", info)
	history, err := harness.History(c.ctx, c.env.Client, child, "")
	harness.Must(err)
	started := history.Events[0].GetWorkflowExecutionStartedEventAttributes()
	harness.Assert(started.WorkflowRunTimeout.AsDuration() == 77*time.Second && started.RetryPolicy.GetMaximumAttempts() == 4, "started: %v", started)
	parent := started.ParentWorkflowExecution
	harness.Assert(parent.GetWorkflowId() == run.GetID() && parent.GetRunId() == run.GetRunID(), "parent: %v", parent)
	history, err = harness.History(c.ctx, c.env.Client, run.GetID(), "")
	harness.Must(err)
	initiated := history.Events[4].GetStartChildWorkflowExecutionInitiatedEventAttributes()
	harness.Assert(initiated.GetParentClosePolicy() == enums.PARENT_CLOSE_POLICY_TERMINATE, "TERMINATE is the default: %v", initiated)
	// Nobody polls this queue: the child has started all the same, and ends with its parent.
	nowhere := c.env.TaskQueue + "-none"
	child = c.env.NewID()
	run = c.env.Start(c.ctx, Tells, "Greets", child, []any{"Ada"}, Options{Queue: nowhere})
	harness.Eventually("the child is there", func() bool {
		described, err := c.env.Client.DescribeWorkflowExecution(c.ctx, child, "")
		var missing *serviceerror.NotFound
		harness.Assert(err == nil || errors.As(err, &missing), "describe: %v", err)
		return err == nil && described.WorkflowExecutionInfo.TaskQueue == nowhere
	})
	harness.Must(c.env.Client.TerminateWorkflow(c.ctx, run.GetID(), "", ""))
	harness.Assert(run.Get(c.ctx, nil) != nil, "terminated")
}

// fromOutside: somebody else terminates or cancels the child.
func (c check) fromOutside() {
	for ends, want := range map[string]string{"terminated": "terminated", "canceled": "cancelled"} {
		child := c.env.NewID()
		run := c.env.Start(c.ctx, Tells, "Waits", child, []any{}, Options{})
		harness.Eventually("the child has started", func() bool { return slices.Contains(c.children(run), "started") })
		if ends == "terminated" {
			harness.Must(c.env.Client.TerminateWorkflow(c.ctx, child, "", "enough"))
		} else {
			harness.Must(c.env.Client.CancelWorkflow(c.ctx, child, ""))
		}
		got := harness.Result[[]told](c.ctx, run)
		harness.Assert(len(got) == 2 && reflect.DeepEqual(got[1], told{want}), "%s: %v", ends, got)
		seen := c.children(run)
		harness.Assert(seen[len(seen)-1] == ends, "%v", seen)
	}
}

// ids: an id that is taken.
func (c check) ids() {
	child := c.env.NewID()
	run := c.env.Start(c.ctx, Twice, child)
	got := harness.Result[string](c.ctx, run)
	harness.Assert(got == "it goes on", "%q", got)
	taken := []told{{alreadyStarted, child, "Greets"}}
	// It is closed now: whether it may be used again, the parent says.
	c.tells("hello Ada", child, "Greets", []any{"Ada"}, Options{})
	for _, reuse := range []enums.WorkflowIdReusePolicy{enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY} {
		run := c.tells(taken, child, "Greets", []any{"Ada"}, Options{Reuse: reuse})
		seen := c.children(run)
		harness.Assert(slices.Equal(seen, []string{"initiated", "start failed"}), "%v", seen)
	}
	// A parent can't be its own child.
	own := c.env.NewID()
	c.tellsAs(client.StartWorkflowOptions{ID: own}, []told{{alreadyStarted, own, "Greets"}}, own, "Greets", []any{"Ada"}, Options{})
	// The id that a child has if none is given is made of what the parent knows.
	run = c.tells("hello Ada", "", "Greets", []any{"Ada"}, Options{})
	described, err := c.env.Client.DescribeWorkflowExecution(c.ctx, run.GetRunID()+"_5", "")
	harness.Assert(err == nil && described.WorkflowExecutionInfo.Type.Name == "Greets", "the made id: %v", err)
}

// twoSteps: what is pending can be seen between the steps.
func (c check) twoSteps() {
	child := c.env.NewID()
	run := c.env.Start(c.ctx, TwoSteps, child)
	first := ""
	harness.Eventually("the child has started", func() bool {
		value, err := c.env.Client.QueryWorkflow(c.ctx, run.GetID(), "", "started")
		harness.Must(err)
		harness.Must(value.Get(&first))
		return first != ""
	})
	described, err := c.env.Client.DescribeWorkflowExecution(c.ctx, run.GetID(), "")
	harness.Must(err)
	pending := described.PendingChildren
	harness.Assert(len(pending) == 1 && pending[0].WorkflowId == child && pending[0].RunId == first && pending[0].WorkflowTypeName == "Collects", "%v", pending)
	harness.Must(c.env.Client.SignalWorkflow(c.ctx, run.GetID(), "", "send", nil))
	got := harness.Result[string](c.ctx, run)
	harness.Assert(got == "one two three", "%q", got)
	described, err = c.env.Client.DescribeWorkflowExecution(c.ctx, run.GetID(), "")
	harness.Must(err)
	harness.Assert(len(described.PendingChildren) == 0, "%v", described.PendingChildren)
}

var Behaviour = harness.Behaviour{
	Name: "child_workflow", Workflows: []any{
		Greets, Relatives, Collects, Waits, Fails, Flaky, CountsDown, Tells, PassesOn, TwoSteps, Twice, InParallel,
	},
	Check: func(ctx context.Context, env *harness.Env) error {
		c := check{ctx, env}
		c.outcomes()
		c.relatives()
		c.options()
		c.fromOutside()
		c.ids()
		c.twoSteps()
		got := harness.Result[[]string](ctx, env.Start(ctx, InParallel, env.NewID()))
		for number, end := range got {
			want := fmt.Sprint("hello ", number)
			if number%4 == 3 {
				want = "failed"
			}
			harness.Assert(end == want, "%d: %s", number, end)
		}
		harness.Assert(len(got) == 12, "%v", got)
		return nil
	},
}

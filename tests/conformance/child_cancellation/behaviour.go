// Package child_cancellation: cancelling a child workflow by its context, before and after it has started, and with its
// parent. The parent waits for the child's end whatever WaitForCancellation says.
package child_cancellation

import (
	"context"
	"fmt"
	"slices"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// TidiesUp waits to be cancelled; then to be told that all is tidy, and ends as cancelled, or completes all the same.
func TidiesUp(ctx workflow.Context, decline bool) (string, error) {
	state := "running"
	if err := workflow.SetQueryHandler(ctx, "state", func() (string, error) { return state, nil }); err != nil {
		return "", err
	}
	err := workflow.Await(ctx, func() bool { return false })
	state = "tidying up"
	workflow.GetSignalChannel(ctx, "tidy").Receive(ctx, nil)
	if decline {
		return "finished", nil
	}
	return "", err
}

func end(ctx workflow.Context, child workflow.Future) (string, error) {
	var ended string
	err := child.Get(ctx, &ended)
	if temporal.IsCanceledError(err) {
		return "cancelled", nil
	}
	return ended, err
}

// Cancels starts a child, cancels it when it is told to, and tells how the wait for it ended.
func Cancels(ctx workflow.Context, id string, wait, decline bool) (ended string, err error) {
	if err := workflow.SetQueryHandler(ctx, "ended", func() (string, error) { return ended, nil }); err != nil {
		return "", err
	}
	options := workflow.ChildWorkflowOptions{WorkflowID: id, WaitForCancellation: wait}
	cancellable, cancel := workflow.WithCancel(workflow.WithChildOptions(ctx, options))
	child := workflow.ExecuteChildWorkflow(cancellable, TidiesUp, decline)
	if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return "", err
	}
	workflow.GetSignalChannel(ctx, "cancel").Receive(ctx, nil)
	cancel()
	ended, err = end(ctx, child)
	workflow.GetSignalChannel(ctx, "leave").Receive(ctx, nil)
	return
}

// CancelsEarly cancels a child in the step in which it starts it: it starts all the same, and is cancelled then.
func CancelsEarly(ctx workflow.Context, id string) (string, error) {
	cancellable, cancel := workflow.WithCancel(workflow.WithWorkflowID(ctx, id))
	child := workflow.ExecuteChildWorkflow(cancellable, TidiesUp, false)
	cancel()
	var started workflow.Execution
	if err := child.GetChildWorkflowExecution().Get(ctx, &started); err != nil || started.ID != id {
		return "", fmt.Errorf("%v: %w", started, err)
	}
	return end(ctx, child)
}

// NeverStarts starts a child in a context that is cancelled already: nothing is sent.
func NeverStarts(ctx workflow.Context) (string, error) {
	cancellable, cancel := workflow.WithCancel(ctx)
	cancel()
	child := workflow.ExecuteChildWorkflow(cancellable, TidiesUp, false)
	for _, future := range []workflow.Future{child, child.GetChildWorkflowExecution(), child.SignalChildWorkflow(ctx, "tidy", nil)} {
		if err := future.Get(ctx, nil); !temporal.IsCanceledError(err) {
			return "", fmt.Errorf("not cancelled: %w", err)
		}
	}
	return "cancelled", nil
}

// Waits waits for its child, and knows nothing of cancellation.
func Waits(ctx workflow.Context, id string) error {
	return workflow.ExecuteChildWorkflow(workflow.WithWorkflowID(ctx, id), TidiesUp, false).Get(ctx, nil)
}

// Shields: its own cancellation is not its child's.
func Shields(ctx workflow.Context, id string) (string, error) {
	apart, _ := workflow.NewDisconnectedContext(ctx)
	child := workflow.ExecuteChildWorkflow(workflow.WithWorkflowID(apart, id), TidiesUp, false)
	if err := workflow.Await(ctx, child.IsReady); temporal.IsCanceledError(err) {
		return "left it alone", nil
	}
	return "never cancelled", nil
}

// What a history says of a child, as its parent sees it.
var names = map[enums.EventType]string{
	enums.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: "initiated", enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: "started",
	enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: "completed", enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: "canceled",
	enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:                  "terminated",
	enums.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: "request initiated",
	enums.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:    "request failed",
	enums.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:         "requested",
}

type check struct {
	ctx context.Context
	env *harness.Env
}

func (c check) told(run client.WorkflowRun) (all []string) {
	history, err := harness.History(c.ctx, c.env.Client, run.GetID(), "")
	harness.Must(err)
	for _, kind := range harness.Types(history) {
		if name, ok := names[kind]; ok {
			all = append(all, name)
		}
	}
	return all
}

func (c check) tells(run client.WorkflowRun, want ...string) {
	seen := c.told(run)
	harness.Assert(slices.Equal(seen, want), "the history says %v instead of %v", seen, want)
}

func (c check) query(id, what string) (answer string) {
	value, err := c.env.Client.QueryWorkflow(c.ctx, id, "", what)
	harness.Must(err)
	harness.Must(value.Get(&answer))
	return answer
}

func (c check) signal(id, name string) {
	harness.Must(c.env.Client.SignalWorkflow(c.ctx, id, "", name, nil))
}

func (c check) status(id string) enums.WorkflowExecutionStatus {
	described, err := c.env.Client.DescribeWorkflowExecution(c.ctx, id, "")
	harness.Must(err)
	return described.WorkflowExecutionInfo.Status
}

func (c check) started(run client.WorkflowRun) {
	harness.Eventually("the child has started", func() bool { return slices.Contains(c.told(run), "started") })
}

func (c check) tidiesUp(child string) {
	harness.Eventually("the child has heard of the cancellation", func() bool { return c.query(child, "state") == "tidying up" })
}

func (c check) byContext(wait, decline bool) {
	child := c.env.NewID()
	run := c.env.Start(c.ctx, Cancels, child, wait, decline)
	c.env.Also(c.env.Client.GetWorkflow(c.ctx, child, ""))
	c.started(run)
	c.signal(run.GetID(), "cancel")
	c.tidiesUp(child)
	harness.Assert(c.query(run.GetID(), "ended") == "", "the child is still tidying up")
	c.signal(child, "tidy")
	c.signal(run.GetID(), "leave")
	ends, want := "canceled", "cancelled"
	if decline {
		ends, want = "completed", "finished"
	}
	got := harness.Result[string](c.ctx, run)
	harness.Assert(got == want, "wait %v, decline %v: %s", wait, decline, got)
	c.tells(run, "initiated", "started", "request initiated", "requested", ends)
}

// withParent: the parent itself is cancelled.
func (c check) withParent() {
	child := c.env.NewID()
	run := c.env.Start(c.ctx, Waits, child)
	c.started(run)
	harness.Must(c.env.Client.CancelWorkflow(c.ctx, run.GetID(), ""))
	c.tidiesUp(child)
	harness.Assert(c.status(run.GetID()) == enums.WORKFLOW_EXECUTION_STATUS_RUNNING, "the parent waits")
	c.signal(child, "tidy")
	harness.Assert(temporal.IsCanceledError(run.Get(c.ctx, nil)), "the parent is cancelled")
	for _, id := range []string{run.GetID(), child} {
		harness.Assert(c.status(id) == enums.WORKFLOW_EXECUTION_STATUS_CANCELED, "%s: %v", id, c.status(id))
	}

	child = c.env.NewID()
	run = c.env.Start(c.ctx, Shields, child)
	c.started(run)
	harness.Must(c.env.Client.CancelWorkflow(c.ctx, run.GetID(), ""))
	got := harness.Result[string](c.ctx, run)
	harness.Assert(got == "left it alone", "%s", got)
	c.tells(run, "initiated", "started")
}

var Behaviour = harness.Behaviour{
	Name: "child_cancellation", Workflows: []any{TidiesUp, Cancels, CancelsEarly, NeverStarts, Waits, Shields},
	Check: func(ctx context.Context, env *harness.Env) error {
		c := check{ctx, env}
		for _, wait := range []bool{true, false} {
			for _, decline := range []bool{false, true} {
				c.byContext(wait, decline)
			}
		}
		child := env.NewID()
		run := env.Start(ctx, CancelsEarly, child)
		c.started(run)
		c.signal(child, "tidy")
		got := harness.Result[string](ctx, run)
		harness.Assert(got == "cancelled", "early: %s", got)
		c.tells(run, "initiated", "started", "request initiated", "requested", "canceled")

		run = env.Start(ctx, NeverStarts)
		got = harness.Result[string](ctx, run)
		harness.Assert(got == "cancelled", "never: %s", got)
		c.tells(run)
		c.withParent()
		return nil
	},
}

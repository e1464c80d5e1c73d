// Package parent_close_policy: what becomes of a child that is open when its parent ends: it is terminated, asked to end, or left
// alone. The policy holds however the parent ends, also if it continues as new.
package parent_close_policy

import (
	"context"
	"errors"
	"time"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Goes goes on until it is told that it may end.
func Goes(ctx workflow.Context) (string, error) {
	mayEnd := workflow.GetSignalChannel(ctx, "end")
	return "by itself", workflow.Await(ctx, func() bool { return mayEnd.ReceiveAsync(nil) })
}

// Ends starts a child, and ends in this way without waiting for it.
func Ends(ctx workflow.Context, child string, policy enums.ParentClosePolicy, way string) (string, error) {
	if child == "" {
		return "the next run", nil
	}
	options := workflow.ChildWorkflowOptions{WorkflowID: child, ParentClosePolicy: policy}
	// Its own cancellation is not its child's: the policy is.
	apart, _ := workflow.NewDisconnectedContext(ctx)
	started := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(apart, options), Goes).GetChildWorkflowExecution()
	if err := started.Get(ctx, nil); err != nil {
		return "", err
	}
	switch way {
	case "completes":
		return "done", nil
	case "fails":
		return "", temporal.NewApplicationError("deliberate", "Deliberate")
	case "continues as new":
		return "", workflow.NewContinueAsNewError(ctx, Ends, "", policy, "")
	}
	return "", workflow.Sleep(ctx, time.Hour)
}

var outcomes = map[enums.ParentClosePolicy]enums.WorkflowExecutionStatus{
	enums.PARENT_CLOSE_POLICY_TERMINATE:      enums.WORKFLOW_EXECUTION_STATUS_TERMINATED,
	enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL: enums.WORKFLOW_EXECUTION_STATUS_CANCELED,
	enums.PARENT_CLOSE_POLICY_ABANDON:        enums.WORKFLOW_EXECUTION_STATUS_COMPLETED,
	// Left out, it is TERMINATE.
	enums.PARENT_CLOSE_POLICY_UNSPECIFIED: enums.WORKFLOW_EXECUTION_STATUS_TERMINATED,
}

func status(ctx context.Context, env *harness.Env, id string) enums.WorkflowExecutionStatus {
	described, err := env.Client.DescribeWorkflowExecution(ctx, id, "")
	harness.Must(err)
	return described.WorkflowExecutionInfo.Status
}

func hasStarted(ctx context.Context, env *harness.Env, run client.WorkflowRun) bool {
	history, err := harness.History(ctx, env.Client, run.GetID(), run.GetRunID())
	harness.Must(err)
	for _, kind := range harness.Types(history) {
		if kind == enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED {
			return true
		}
	}
	return false
}

// ended is the child of a parent that ends in a way, when both have.
func ended(ctx context.Context, env *harness.Env, policy enums.ParentClosePolicy, way string) string {
	options := client.StartWorkflowOptions{}
	if way == "times out" {
		options.WorkflowRunTimeout = time.Second
	}
	child := env.NewID()
	run := env.StartWith(ctx, options, Ends, child, policy, way)
	if way == "is terminated" || way == "is cancelled" {
		harness.Eventually("the child has started", func() bool { return hasStarted(ctx, env, run) })
		if way == "is terminated" {
			harness.Must(env.Client.TerminateWorkflow(ctx, run.GetID(), "", ""))
		} else {
			harness.Must(env.Client.CancelWorkflow(ctx, run.GetID(), ""))
		}
	}
	err := run.Get(ctx, nil)
	harness.Assert((err == nil) == (way == "completes" || way == "continues as new"), "the parent %s: %v", way, err)
	handle := env.Client.GetWorkflow(ctx, child, "")
	if policy == enums.PARENT_CLOSE_POLICY_ABANDON {
		// It goes on, and hears what it is told.
		harness.Assert(status(ctx, env, child) == enums.WORKFLOW_EXECUTION_STATUS_RUNNING, "abandoned: %v", status(ctx, env, child))
		harness.Must(env.Client.SignalWorkflow(ctx, child, "", "end", nil))
	}
	var result string
	err = handle.Get(ctx, &result)
	harness.Assert(err != nil || result == "by itself", "%q", result)
	if outcomes[policy] == enums.WORKFLOW_EXECUTION_STATUS_TERMINATED {
		var terminated *temporal.TerminatedError
		harness.Assert(errors.As(err, &terminated), "not terminated: %v", err)
	}
	env.Also(handle)
	return child
}

var Behaviour = harness.Behaviour{
	Name: "parent_close_policy", Workflows: []any{Goes, Ends},
	Check: func(ctx context.Context, env *harness.Env) error {
		for _, way := range []string{"completes", "fails", "continues as new", "is terminated", "is cancelled", "times out"} {
			for policy, want := range outcomes {
				child := ended(ctx, env, policy, way)
				harness.Assert(status(ctx, env, child) == want, "%v, the parent %s: %v", policy, way, status(ctx, env, child))
				history, err := harness.History(ctx, env.Client, child, "")
				harness.Must(err)
				if by := history.Events[len(history.Events)-1].GetWorkflowExecutionTerminatedEventAttributes(); by != nil {
					harness.Assert(by.Reason == "by parent close policy", "terminated for %q", by.Reason)
				}
			}
		}
		return nil
	},
}

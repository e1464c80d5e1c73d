// Package workflow_timeouts: a workflow's own time-outs and retry policy.
package workflow_timeouts

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

func Forever(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Hour) }

func Retried(ctx workflow.Context, lucky int32) (int32, error) {
	if attempt := workflow.GetInfo(ctx).Attempt; attempt >= lucky {
		return attempt, nil
	}
	return 0, temporal.NewApplicationError("not yet", "Unlucky")
}

var Behaviour = harness.Behaviour{
	Name: "workflow_timeouts", Workflows: []any{Forever, Retried},
	Check: func(ctx context.Context, env *harness.Env) error {
		status := func(run client.WorkflowRun) enums.WorkflowExecutionStatus {
			d, err := env.Client.DescribeWorkflowExecution(ctx, run.GetID(), "")
			harness.Must(err)
			return d.WorkflowExecutionInfo.Status
		}
		for _, options := range []client.StartWorkflowOptions{{WorkflowRunTimeout: time.Second}, {WorkflowExecutionTimeout: time.Second}} {
			run := env.StartWith(ctx, options, Forever)
			var timeout *temporal.TimeoutError
			err := run.Get(ctx, nil)
			harness.Assert(errors.As(err, &timeout), "got %v", err)
			harness.Assert(status(run) == enums.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, "status %v", status(run))
		}
		policy := &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, MaximumAttempts: 3}
		attempt := harness.Result[int32](ctx, env.StartWith(ctx, client.StartWorkflowOptions{RetryPolicy: policy}, Retried, int32(3)))
		harness.Assert(attempt == 3, "attempt %d", attempt)
		run := env.StartWith(ctx, client.StartWorkflowOptions{RetryPolicy: policy}, Retried, int32(9))
		var failure *temporal.ApplicationError
		err := run.Get(ctx, nil)
		harness.Assert(errors.As(err, &failure) && failure.Type() == "Unlucky", "got %v", err)
		harness.Assert(status(run) == enums.WORKFLOW_EXECUTION_STATUS_FAILED, "status %v", status(run))
		return nil
	},
}

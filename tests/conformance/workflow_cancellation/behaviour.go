// Package workflow_cancellation: a cancellation reaches the workflow, which may tidy up, end as cancelled, or
// decline.
package workflow_cancellation

import (
	"context"
	"time"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// TidyUp is what has to happen even after a cancellation.
func TidyUp(context.Context) (string, error) { return "tidied up", nil }

func Cancellable(ctx workflow.Context, decline bool) (string, error) {
	if err := workflow.SetQueryHandler(ctx, "waiting", func() (bool, error) { return true, nil }); err != nil {
		return "", err
	}
	err := workflow.Sleep(ctx, time.Hour)
	if !temporal.IsCanceledError(err) {
		return "not cancelled", err
	}
	apart, _ := workflow.NewDisconnectedContext(ctx)
	apart = workflow.WithActivityOptions(apart, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var result string
	if err := workflow.ExecuteActivity(apart, TidyUp).Get(apart, &result); err != nil {
		return "", err
	}
	if decline {
		return result, nil
	}
	return "", err
}

var Behaviour = harness.Behaviour{
	Name: "workflow_cancellation", Workflows: []any{Cancellable}, Activities: []any{TidyUp},
	Check: func(ctx context.Context, env *harness.Env) error {
		for decline, want := range map[bool]enums.WorkflowExecutionStatus{
			false: enums.WORKFLOW_EXECUTION_STATUS_CANCELED, true: enums.WORKFLOW_EXECUTION_STATUS_COMPLETED,
		} {
			run := env.Start(ctx, Cancellable, decline)
			_, err := env.Client.QueryWorkflow(ctx, run.GetID(), "", "waiting")
			harness.Must(err)
			harness.Must(env.Client.CancelWorkflow(ctx, run.GetID(), ""))
			err = run.Get(ctx, nil)
			harness.Assert(decline == (err == nil), "decline %v: %v", decline, err)
			harness.Assert(decline || temporal.IsCanceledError(err), "not cancelled: %v", err)
			d, err := env.Client.DescribeWorkflowExecution(ctx, run.GetID(), "")
			harness.Must(err)
			harness.Assert(d.WorkflowExecutionInfo.Status == want, "status %v", d.WorkflowExecutionInfo.Status)
			history, err := harness.History(ctx, env.Client, run.GetID(), "")
			harness.Must(err)
			ran := 0
			for _, kind := range harness.Types(history) {
				if kind == enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED {
					ran++
				}
			}
			harness.Assert(ran == 1, "tidied up %d times", ran)
		}
		return nil
	},
}

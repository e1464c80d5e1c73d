// Package activity_cancellation: cancelling an activity before it starts and while it runs and heartbeats,
// waiting for its answer or not.
package activity_cancellation

import (
	"context"
	"time"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// work heartbeats until the server's answer says that the activity is cancelled.
func work(ctx context.Context) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		activity.RecordHeartbeat(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func UntilCancelled(ctx context.Context) (string, error) {
	work(ctx)
	return "", ctx.Err()
}

// FinishAnyway hears of the cancellation and completes all the same.
func FinishAnyway(ctx context.Context) (string, error) {
	work(ctx)
	return "finished", nil
}

func Cancels(ctx workflow.Context, name, queue string, wait bool) (string, error) {
	ctx, cancel := workflow.WithCancel(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: queue, StartToCloseTimeout: time.Minute, HeartbeatTimeout: time.Second, WaitForCancellation: wait,
	}))
	future := workflow.ExecuteActivity(ctx, name)
	workflow.GetSignalChannel(ctx, "enough").Receive(ctx, nil)
	cancel()
	var result string
	err := future.Get(ctx, &result)
	if temporal.IsCanceledError(err) {
		return "cancelled", nil
	}
	return result, err
}

var Behaviour = harness.Behaviour{
	Name: "activity_cancellation", Workflows: []any{Cancels}, Activities: []any{UntilCancelled, FinishAnyway},
	Check: func(ctx context.Context, env *harness.Env) error {
		for _, c := range []struct {
			name string
			wait bool
			want string
		}{{"UntilCancelled", true, "cancelled"}, {"FinishAnyway", true, "finished"}, {"UntilCancelled", false, "cancelled"}} {
			run := env.Start(ctx, Cancels, c.name, "", c.wait)
			harness.Eventually(c.name+" has started", func() bool {
				d, err := env.Client.DescribeWorkflowExecution(ctx, run.GetID(), "")
				harness.Must(err)
				return len(d.PendingActivities) == 1 && d.PendingActivities[0].State == enums.PENDING_ACTIVITY_STATE_STARTED
			})
			harness.Must(env.Client.SignalWorkflow(ctx, run.GetID(), "", "enough", nil))
			got := harness.Result[string](ctx, run)
			harness.Assert(got == c.want, "%s: got %s", c.name, got)
		}
		// Nobody polls that queue: the activity is cancelled before it starts.
		run := env.Start(ctx, Cancels, "UntilCancelled", env.TaskQueue+"-none", true)
		harness.Must(env.Client.SignalWorkflow(ctx, run.GetID(), "", "enough", nil))
		got := harness.Result[string](ctx, run)
		harness.Assert(got == "cancelled", "unstarted: got %s", got)
		return nil
	},
}

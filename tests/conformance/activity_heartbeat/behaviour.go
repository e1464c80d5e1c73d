// Package activity_heartbeat: what an attempt has recorded with a heartbeat is what the next attempt resumes
// from.
package activity_heartbeat

import (
	"context"
	"fmt"
	"time"

	"durably.dev/conformance/harness"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// CountTo counts on from where the attempt before it got to; each attempt gets two further.
func CountTo(ctx context.Context, goal int) ([]int, error) {
	position := 0
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &position); err != nil {
			return nil, err
		}
	}
	for position < goal {
		position++
		activity.RecordHeartbeat(ctx, position)
		if position%2 == 0 && position < goal {
			return nil, fmt.Errorf("stumbled at %d", position)
		}
	}
	return []int{position, int(activity.GetInfo(ctx).Attempt)}, nil
}

func Counting(ctx workflow.Context, goal int) (result []int, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, HeartbeatTimeout: 10 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond},
	})
	err = workflow.ExecuteActivity(ctx, CountTo, goal).Get(ctx, &result)
	return
}

var Behaviour = harness.Behaviour{
	Name: "activity_heartbeat", Workflows: []any{Counting}, Activities: []any{CountTo},
	Check: func(ctx context.Context, env *harness.Env) error {
		got := harness.Result[[]int](ctx, env.Start(ctx, Counting, 6))
		harness.Assert(len(got) == 2 && got[0] == 6 && got[1] == 3, "got %v", got)
		return nil
	},
}

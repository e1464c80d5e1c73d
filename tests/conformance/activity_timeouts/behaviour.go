// Package activity_timeouts: each of an activity's four time-outs fires when it should, and the error says
// which one it was.
package activity_timeouts

import (
	"context"
	"errors"
	"time"

	"durably.dev/conformance/harness"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const brief = 400 * time.Millisecond

// Hang never ends by itself.
func Hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TimesOut(ctx workflow.Context, which, nowhere string) (string, error) {
	once := &temporal.RetryPolicy{MaximumAttempts: 1}
	ctx = workflow.WithActivityOptions(ctx, map[string]workflow.ActivityOptions{
		"StartToClose":    {StartToCloseTimeout: brief, RetryPolicy: once},
		"ScheduleToClose": {ScheduleToCloseTimeout: brief},
		"ScheduleToStart": {ScheduleToStartTimeout: brief, StartToCloseTimeout: time.Minute, TaskQueue: nowhere},
		"Heartbeat":       {HeartbeatTimeout: brief, StartToCloseTimeout: time.Minute, RetryPolicy: once},
	}[which])
	err := workflow.ExecuteActivity(ctx, Hang).Get(ctx, nil)
	var timeout *temporal.TimeoutError
	if !errors.As(err, &timeout) {
		return "no time-out", nil
	}
	return timeout.TimeoutType().String(), nil
}

var Behaviour = harness.Behaviour{
	Name: "activity_timeouts", Workflows: []any{TimesOut}, Activities: []any{Hang},
	Check: func(ctx context.Context, env *harness.Env) error {
		for _, which := range []string{"StartToClose", "ScheduleToStart", "Heartbeat", "ScheduleToClose"} {
			got := harness.Result[string](ctx, env.Start(ctx, TimesOut, which, env.TaskQueue+"-without-worker"))
			// An attempt that the overall deadline cuts off ends by its start-to-close time-out, bounded by it.
			harness.Assert(got == which || which == "ScheduleToClose" && got == "StartToClose", "got %s, want %s", got, which)
		}
		return nil
	},
}

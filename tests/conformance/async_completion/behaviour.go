// Package async_completion: an activity that ends elsewhere, completed or failed from outside, by task token
// and by ids.
package async_completion

import (
	"context"
	"errors"
	"sync"
	"time"

	"durably.dev/conformance/harness"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var tokens sync.Map // key -> chan []byte

// Elsewhere hands its token to somebody else and leaves.
func Elsewhere(ctx context.Context, key string) (string, error) {
	ch, _ := tokens.Load(key)
	ch.(chan []byte) <- activity.GetInfo(ctx).TaskToken
	return "", activity.ErrResultPending
}

func Waits(ctx workflow.Context, key string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{ActivityID: "elsewhere", StartToCloseTimeout: time.Minute})
	var result string
	err := workflow.ExecuteActivity(ctx, Elsewhere, key).Get(ctx, &result)
	var failure *temporal.ApplicationError
	if errors.As(err, &failure) {
		return "failed: " + failure.Message(), nil
	}
	return result, err
}

var Behaviour = harness.Behaviour{
	Name: "async_completion", Workflows: []any{Waits}, Activities: []any{Elsewhere},
	Check: func(ctx context.Context, env *harness.Env) error {
		begin := func(key string) (client.WorkflowRun, []byte) {
			ch := make(chan []byte, 1)
			tokens.Store(key, ch)
			run := env.Start(ctx, Waits, key)
			return run, <-ch
		}
		expect := func(run client.WorkflowRun, want string) {
			got := harness.Result[string](ctx, run)
			harness.Assert(got == want, "got %q, want %q", got, want)
		}
		run, token := begin("token")
		harness.Must(env.Client.RecordActivityHeartbeat(ctx, token, "half"))
		harness.Must(env.Client.CompleteActivity(ctx, token, "by token", nil))
		expect(run, "by token")

		run, _ = begin("ids")
		harness.Must(env.Client.CompleteActivityByID(ctx, env.Namespace, run.GetID(), run.GetRunID(), "elsewhere", "by ids", nil))
		expect(run, "by ids")

		run, token = begin("failed")
		failure := temporal.NewNonRetryableApplicationError("not today", "Closed", nil)
		harness.Must(env.Client.CompleteActivity(ctx, token, nil, failure))
		expect(run, "failed: not today")
		return nil
	},
}

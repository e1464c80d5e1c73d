// Package activity_retries: a failing activity is tried again by its retry policy, and what its last failure
// says reaches the workflow.
package activity_retries

import (
	"context"
	"errors"
	"time"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const quick = 10 * time.Millisecond

// ThirdTimeLucky fails in its first two attempts.
func ThirdTimeLucky(ctx context.Context) (int32, error) {
	if attempt := activity.GetInfo(ctx).Attempt; attempt >= 3 {
		return attempt, nil
	}
	return 0, temporal.NewApplicationError("not yet", "Unlucky")
}

// Refuse fails in every attempt.
func Refuse(ctx context.Context, kind string, nonRetryable bool) error {
	attempt := activity.GetInfo(ctx).Attempt
	return temporal.NewApplicationErrorWithOptions("refused", kind,
		temporal.ApplicationErrorOptions{NonRetryable: nonRetryable, Details: []any{attempt}})
}

// AskForLater names the delay of its next attempt itself.
func AskForLater(ctx context.Context) (string, error) {
	if activity.GetInfo(ctx).Attempt > 1 {
		return "done", nil
	}
	return "", temporal.NewApplicationErrorWithOptions("later", "Later", temporal.ApplicationErrorOptions{NextRetryDelay: quick})
}

func with(ctx workflow.Context, policy temporal.RetryPolicy) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, RetryPolicy: &policy})
}

func Lucky(ctx workflow.Context) (attempt int32, err error) {
	ctx = with(ctx, temporal.RetryPolicy{InitialInterval: quick})
	err = workflow.ExecuteActivity(ctx, ThirdTimeLucky).Get(ctx, &attempt)
	return
}

// Seen is what the workflow could tell from the error.
type Seen struct {
	Attempt int
	State   enums.RetryState
}

func Refused(ctx workflow.Context, kind string, nonRetryable bool) (Seen, error) {
	ctx = with(ctx, temporal.RetryPolicy{InitialInterval: quick, MaximumAttempts: 3, NonRetryableErrorTypes: []string{"Listed"}})
	err := workflow.ExecuteActivity(ctx, Refuse, kind, nonRetryable).Get(ctx, nil)
	var activityError *temporal.ActivityError
	var cause *temporal.ApplicationError
	if !errors.As(err, &activityError) || !errors.As(err, &cause) {
		return Seen{}, err
	}
	var attempt int
	if err := cause.Details(&attempt); err != nil {
		return Seen{}, err
	}
	return Seen{attempt, activityError.RetryState()}, nil
}

func Later(ctx workflow.Context) (done string, err error) {
	// An hour by policy: only the delay that the failure asks for lets this end in time.
	ctx = with(ctx, temporal.RetryPolicy{InitialInterval: time.Hour})
	err = workflow.ExecuteActivity(ctx, AskForLater).Get(ctx, &done)
	return
}

var Behaviour = harness.Behaviour{
	Name: "activity_retries", Workflows: []any{Lucky, Refused, Later}, Activities: []any{ThirdTimeLucky, Refuse, AskForLater},
	Check: func(ctx context.Context, env *harness.Env) error {
		attempt := harness.Result[int32](ctx, env.Start(ctx, Lucky))
		harness.Assert(attempt == 3, "attempt %d", attempt)
		for _, c := range []struct {
			kind         string
			nonRetryable bool
			want         Seen
		}{
			{"Plain", false, Seen{3, enums.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED}},
			{"Plain", true, Seen{1, enums.RETRY_STATE_NON_RETRYABLE_FAILURE}},
			{"Listed", false, Seen{1, enums.RETRY_STATE_NON_RETRYABLE_FAILURE}},
		} {
			got := harness.Result[Seen](ctx, env.Start(ctx, Refused, c.kind, c.nonRetryable))
			harness.Assert(got == c.want, "%s: got %+v, want %+v", c.kind, got, c.want)
		}
		done := harness.Result[string](ctx, env.Start(ctx, Later))
		harness.Assert(done == "done", "got %q", done)
		return nil
	},
}

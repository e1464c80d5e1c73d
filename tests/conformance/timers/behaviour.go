// Package timers: timers fire in order and not too early; a cancelled timer doesn't fire; a wait has a
// time-out.
package timers

import (
	"context"
	"slices"
	"time"

	"durably.dev/conformance/harness"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Seen is what the workflow observed.
type Seen struct {
	Order   []string
	Seconds float64
}

func Timers(ctx workflow.Context) (Seen, error) {
	var seen Seen
	start := workflow.Now(ctx)
	group := workflow.NewWaitGroup(ctx)
	after := func(d time.Duration, name string) {
		group.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer group.Done()
			if workflow.Sleep(ctx, d) == nil {
				seen.Order = append(seen.Order, name)
			}
		})
	}
	never, cancel := workflow.WithCancel(ctx)
	cancelled := workflow.NewTimer(never, time.Hour)
	// In this order: should both fire within one workflow task, coroutines run as they were created.
	after(200*time.Millisecond, "early")
	after(600*time.Millisecond, "late")
	group.Wait(ctx)
	cancel()
	if temporal.IsCanceledError(cancelled.Get(ctx, nil)) {
		seen.Order = append(seen.Order, "cancelled")
	}
	if ok, err := workflow.AwaitWithTimeout(ctx, 100*time.Millisecond, func() bool { return false }); err == nil && !ok {
		seen.Order = append(seen.Order, "timed out")
	}
	seen.Seconds = workflow.Now(ctx).Sub(start).Seconds()
	return seen, nil
}

var Behaviour = harness.Behaviour{
	Name: "timers", Workflows: []any{Timers},
	Check: func(ctx context.Context, env *harness.Env) error {
		seen := harness.Result[Seen](ctx, env.Start(ctx, Timers))
		harness.Assert(slices.Equal(seen.Order, []string{"early", "late", "cancelled", "timed out"}), "order %v", seen.Order)
		harness.Assert(seen.Seconds >= 0.7 && seen.Seconds < 30, "took %v s", seen.Seconds)
		return nil
	},
}

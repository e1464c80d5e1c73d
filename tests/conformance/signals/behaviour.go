// Package signals: signals arrive in the order in which they were acknowledged, none lost, also before the
// first workflow task.
package signals

import (
	"context"

	"durably.dev/conformance/harness"
	"go.temporal.io/sdk/workflow"
)

func Collects(ctx workflow.Context, count int) ([]int, error) {
	var got []int
	channel := workflow.GetSignalChannel(ctx, "add")
	for len(got) < count {
		var value int
		channel.Receive(ctx, &value)
		got = append(got, value)
	}
	return got, nil
}

var Behaviour = harness.Behaviour{
	Name: "signals", Workflows: []any{Collects},
	Check: func(ctx context.Context, env *harness.Env) error {
		run := env.Start(ctx, Collects, 50)
		for i := range 50 {
			harness.Must(env.Client.SignalWorkflow(ctx, run.GetID(), "", "add", i))
		}
		got := harness.Result[[]int](ctx, run)
		for i, value := range got {
			harness.Assert(i == value, "out of order: %v", got)
		}
		return nil
	},
}

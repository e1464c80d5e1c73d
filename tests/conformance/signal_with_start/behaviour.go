// Package signal_with_start: starts a run with its signal in one step, or signals the run that is open.
package signal_with_start

import (
	"context"
	"slices"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
)

func Greets(ctx workflow.Context, count int) (names []string, err error) {
	for len(names) < count {
		var name string
		workflow.GetSignalChannel(ctx, "greet").Receive(ctx, &name)
		names = append(names, name)
	}
	return
}

var Behaviour = harness.Behaviour{
	Name: "signal_with_start", Workflows: []any{Greets},
	Check: func(ctx context.Context, env *harness.Env) error {
		options := client.StartWorkflowOptions{ID: env.NewID(), TaskQueue: env.TaskQueue}
		first, err := env.Client.SignalWithStartWorkflow(ctx, options.ID, "greet", "Ann", options, Greets, 2)
		harness.Must(err)
		second, err := env.Client.SignalWithStartWorkflow(ctx, options.ID, "greet", "Bob", options, Greets, 2)
		harness.Must(err)
		harness.Assert(first.GetRunID() == second.GetRunID(), "two runs")
		got := harness.Result[[]string](ctx, first)
		harness.Assert(slices.Equal(got, []string{"Ann", "Bob"}), "got %v", got)
		history, err := harness.History(ctx, env.Client, options.ID, "")
		harness.Must(err)
		types := harness.Types(history)
		harness.Assert(types[1] == enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, "the start is followed by its signal: %v", types)
		return nil
	},
}

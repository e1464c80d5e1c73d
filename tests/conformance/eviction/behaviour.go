// Package eviction: a run that the worker has thrown out of its cache is rebuilt from its history and goes on
// with the same commands.
package eviction

import (
	"context"
	"time"

	"durably.dev/conformance/harness"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Double gives the workflow something to remember.
func Double(_ context.Context, n int) (int, error) { return 2 * n, nil }

func Steps(ctx workflow.Context, steps int) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	value := 1
	if err := workflow.SetQueryHandler(ctx, "current", func() (int, error) { return value, nil }); err != nil {
		return 0, err
	}
	for range steps {
		workflow.GetSignalChannel(ctx, "step").Receive(ctx, nil)
		if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
			return 0, err
		}
		if err := workflow.ExecuteActivity(ctx, Double, value).Get(ctx, &value); err != nil {
			return 0, err
		}
	}
	return value, nil
}

var Behaviour = harness.Behaviour{
	Name: "eviction", OwnWorkers: true,
	Check: func(ctx context.Context, env *harness.Env) error {
		// The cache is the process's; each new worker of the SDK's sticky queue starts without what an
		// earlier one has held, so every step below replays.
		runs := make([]client.WorkflowRun, 4)
		for i := range runs {
			runs[i] = env.Start(ctx, Steps, 3)
		}
		for range 3 {
			w := worker.New(env.Client, env.TaskQueue, worker.Options{})
			w.RegisterWorkflow(Steps)
			w.RegisterActivity(Double)
			harness.Must(w.Start())
			for _, run := range runs {
				harness.Must(env.Client.SignalWorkflow(ctx, run.GetID(), "", "step", nil))
			}
			for _, run := range runs {
				_, err := env.Client.QueryWorkflow(ctx, run.GetID(), "", "current")
				harness.Must(err)
			}
			w.Stop()
			worker.PurgeStickyWorkflowCache()
		}
		w := worker.New(env.Client, env.TaskQueue, worker.Options{})
		w.RegisterWorkflow(Steps)
		w.RegisterActivity(Double)
		harness.Must(w.Start())
		defer w.Stop()
		for _, run := range runs {
			got := harness.Result[int](ctx, run)
			harness.Assert(got == 8, "got %d", got)
		}
		return nil
	},
}

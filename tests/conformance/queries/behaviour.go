// Package queries: queries answer from a run's state without changing it, while it runs, after it has ended,
// and with errors.
package queries

import (
	"context"
	"errors"
	"strings"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"
)

func Answers(ctx workflow.Context) (string, error) {
	stage := "running"
	for name, handler := range map[string]any{
		"where":     func() (string, error) { return stage, nil },
		"with-args": func(a, b int) (int, error) { return a + b, nil },
		"broken":    func() (string, error) { return "", errors.New("this query is broken") },
	} {
		if err := workflow.SetQueryHandler(ctx, name, handler); err != nil {
			return "", err
		}
	}
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	stage = "gone"
	workflow.GetSignalChannel(ctx, "finish").Receive(ctx, nil)
	stage = "ended"
	return stage, nil
}

func ask[T any](ctx context.Context, env *harness.Env, id, name string, args ...any) (answer T, err error) {
	value, err := env.Client.QueryWorkflow(ctx, id, "", name, args...)
	if err == nil {
		err = value.Get(&answer)
	}
	return
}

var Behaviour = harness.Behaviour{
	Name: "queries", Workflows: []any{Answers},
	Check: func(ctx context.Context, env *harness.Env) error {
		run := env.Start(ctx, Answers)
		id := run.GetID()
		where := func(want string) {
			got, err := ask[string](ctx, env, id, "where")
			harness.Must(err)
			harness.Assert(got == want, "got %q, want %q", got, want)
		}
		where("running")
		harness.Must(env.Client.SignalWorkflow(ctx, id, "", "go", nil))
		where("gone")
		sum, err := ask[int](ctx, env, id, "with-args", 2, 3)
		harness.Assert(err == nil && sum == 5, "got %v %v", sum, err)
		for name, words := range map[string]string{"broken": "this query is broken", "no-such-query": "no-such-query"} {
			_, err := ask[string](ctx, env, id, name)
			harness.Assert(err != nil && strings.Contains(err.Error(), words), "%s: %v", name, err)
		}
		harness.Must(env.Client.SignalWorkflow(ctx, id, "", "finish", nil))
		harness.Assert(harness.Result[string](ctx, run) == "ended", "result")
		where("ended")
		history, err := harness.History(ctx, env.Client, id, "")
		harness.Must(err)
		types := harness.Types(history)
		harness.Assert(types[len(types)-1] == enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, "a query left a trace: %v", types)
		return nil
	},
}

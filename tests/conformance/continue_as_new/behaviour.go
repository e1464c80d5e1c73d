// Package continue_as_new: the result of the last run of a chain is the result; each run links to the next;
// a signal without a run id reaches the open run.
package continue_as_new

import (
	"context"
	"slices"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"
)

func Chain(ctx workflow.Context, left int, carried []string) ([]string, error) {
	if left == 0 {
		if workflow.GetInfo(ctx).ContinuedExecutionRunID == "" {
			carried = append(carried, "no link to the run before")
		}
		return carried, nil
	}
	var value string
	workflow.GetSignalChannel(ctx, "carry").Receive(ctx, &value)
	return nil, workflow.NewContinueAsNewError(ctx, Chain, left-1, append(carried, value))
}

var Behaviour = harness.Behaviour{
	Name: "continue_as_new", Workflows: []any{Chain},
	Check: func(ctx context.Context, env *harness.Env) error {
		run := env.Start(ctx, Chain, 2, []string{})
		first := run.GetRunID()
		harness.Must(env.Client.SignalWorkflow(ctx, run.GetID(), "", "carry", "a"))
		harness.Eventually("the first run has continued as new", func() bool {
			d, err := env.Client.DescribeWorkflowExecution(ctx, run.GetID(), first)
			harness.Must(err)
			return d.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
		})
		harness.Must(env.Client.SignalWorkflow(ctx, run.GetID(), "", "carry", "b"))
		got := harness.Result[[]string](ctx, run)
		harness.Assert(slices.Equal(got, []string{"a", "b"}), "got %v", got)
		history, err := harness.History(ctx, env.Client, run.GetID(), first)
		harness.Must(err)
		last := history.Events[len(history.Events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes()
		harness.Assert(last.GetNewExecutionRunId() != "", "no link to the next run")
		return nil
	},
}

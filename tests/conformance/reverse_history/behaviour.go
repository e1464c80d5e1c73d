// Package reverse_history: a history read backwards, in pages, is the history read forwards, turned round.
package reverse_history

import (
	"context"
	"slices"
	"time"

	"durably.dev/conformance/harness"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/workflow"
)

func Ticks(ctx workflow.Context, count int) error {
	for range count {
		if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

var Behaviour = harness.Behaviour{
	Name: "reverse_history", Workflows: []any{Ticks},
	Check: func(ctx context.Context, env *harness.Env) error {
		run := env.Start(ctx, Ticks, 5)
		harness.Must(run.Get(ctx, nil))
		history, err := harness.History(ctx, env.Client, run.GetID(), "")
		harness.Must(err)
		var forwards, backwards []int64
		for _, event := range history.Events {
			forwards = append(forwards, event.EventId)
		}
		request := &workflowservice.GetWorkflowExecutionHistoryReverseRequest{Namespace: env.Namespace, MaximumPageSize: 4,
			Execution: &common.WorkflowExecution{WorkflowId: run.GetID(), RunId: run.GetRunID()}}
		pages := 0
		for {
			page, err := env.Client.WorkflowService().GetWorkflowExecutionHistoryReverse(ctx, request)
			harness.Must(err)
			for _, event := range page.History.Events {
				backwards = append(backwards, event.EventId)
			}
			pages++
			if request.NextPageToken = page.NextPageToken; len(request.NextPageToken) == 0 {
				break
			}
		}
		slices.Reverse(backwards)
		harness.Assert(slices.Equal(forwards, backwards) && pages > 1, "forwards %v, turned round %v", forwards, backwards)
		return nil
	},
}

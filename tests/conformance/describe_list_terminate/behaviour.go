// Package describe_list_terminate: what operators do, describe, list with filters, count, terminate.
package describe_list_terminate

import (
	"context"
	"fmt"
	"strings"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
)

func Waiter(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return false })
}

var Behaviour = harness.Behaviour{
	Name: "describe_list_terminate", Workflows: []any{Waiter},
	Check: func(ctx context.Context, env *harness.Env) error {
		var runs []client.WorkflowRun
		for i := range 3 {
			options := client.StartWorkflowOptions{Memo: map[string]any{"number": i}}
			runs = append(runs, env.StartWith(ctx, options, Waiter))
		}
		d, err := env.Client.DescribeWorkflowExecution(ctx, runs[0].GetID(), "")
		harness.Must(err)
		info := d.WorkflowExecutionInfo
		harness.Assert(info.Execution.RunId == runs[0].GetRunID() && info.Type.Name == "Waiter" && info.CloseTime == nil &&
			info.Status == enums.WORKFLOW_EXECUTION_STATUS_RUNNING && info.Memo.Fields["number"] != nil, "described: %v", info)

		queue := fmt.Sprintf("TaskQueue = '%s'", env.TaskQueue)
		listed := func(filter string) int {
			count, token := 0, []byte(nil)
			for {
				// Two a page: three runs need a second one.
				page, err := env.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
					Query: queue + filter, PageSize: 2, NextPageToken: token})
				harness.Must(err)
				count += len(page.Executions)
				if token = page.NextPageToken; len(token) == 0 {
					return count
				}
			}
		}
		harness.Eventually("the list shows all three", func() bool { return listed("") == 3 })
		harness.Assert(listed(fmt.Sprintf(" AND WorkflowId = '%s'", runs[1].GetID())) == 1, "by id")
		harness.Assert(listed(" AND WorkflowType = 'Waiter'") == 3, "by type")
		harness.Assert(listed(" AND ExecutionStatus = 'Completed'") == 0, "by status")

		harness.Must(env.Client.TerminateWorkflow(ctx, runs[0].GetID(), "", "no longer needed", "detail"))
		err = runs[0].Get(ctx, nil)
		harness.Assert(err != nil && strings.Contains(err.Error(), "terminated"), "got %v", err)
		harness.Eventually("the list shows the status", func() bool { return listed(" AND ExecutionStatus = 'Terminated'") == 1 })
		counted, err := env.Client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
			Query: queue + " AND ExecutionStatus = 'Running'"})
		harness.Must(err)
		harness.Assert(counted.Count == 2, "counted %d", counted.Count)
		history, err := harness.History(ctx, env.Client, runs[0].GetID(), "")
		harness.Must(err)
		last := history.Events[len(history.Events)-1].GetWorkflowExecutionTerminatedEventAttributes()
		harness.Assert(last.GetReason() == "no longer needed" && last.GetDetails() != nil, "last event: %v", last)
		for _, run := range runs[1:] {
			harness.Must(env.Client.TerminateWorkflow(ctx, run.GetID(), "", ""))
		}
		return nil
	},
}

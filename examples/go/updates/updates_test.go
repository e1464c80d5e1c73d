// Package updates shows a workflow that is changed by updates, and how it is tested.
package updates

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"durably.dev/sdk/client"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	enumspb "go.temporal.io/api/enums/v1"
)

// snippet: workflow
// Cart takes things until somebody pays.
func Cart(ctx workflow.Context) (things []string, err error) {
	paid := false
	put := func(ctx workflow.Context, thing string) (int, error) { // may wait, call activities, and so on
		things = append(things, thing)
		return len(things), nil
	}
	once := func(thing string) error { // may only read
		if slices.Contains(things, thing) {
			return fmt.Errorf("there is %s already", thing)
		}
		return nil
	}
	pay := func(workflow.Context) error {
		paid = true
		return nil
	}
	err = errors.Join(
		workflow.SetUpdateHandlerWithOptions(ctx, "put", put, workflow.UpdateHandlerOptions{Validator: once}),
		workflow.SetUpdateHandler(ctx, "pay", pay),
	)
	if err != nil {
		return nil, err
	}
	err = workflow.Await(ctx, func() bool { return paid && workflow.AllHandlersFinished(ctx) })
	return things, err
}

// end snippet

func begin(t *testing.T) client.Client {
	embedded := client.EmbeddedOptions{TimeSkipping: true, FailFast: true}
	c, err := client.Dial(client.Options{HostPort: "embedded:", ConnectionOptions: client.ConnectionOptions{Embedded: embedded}})
	must(t, err)
	t.Cleanup(c.Close)
	w := worker.New(c, "test", worker.Options{})
	w.RegisterWorkflow(Cart)
	must(t, w.Start())
	t.Cleanup(w.Stop)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect awaits how many things are there.
func expect(t *testing.T, update client.WorkflowUpdateHandle, want int) {
	t.Helper()
	var count int
	must(t, update.Get(t.Context(), &count))
	if count != want {
		t.Errorf("%d things instead of %d", count, want)
	}
}

// snippet: test
func TestACart(t *testing.T) {
	c := begin(t)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "cart", TaskQueue: "test"}, Cart)
	must(t, err)
	update := func(id, name string, args ...any) client.WorkflowUpdateHandle {
		handle, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
			WorkflowID: "cart", UpdateID: id, UpdateName: name, Args: args, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		must(t, err)
		return handle
	}
	expect(t, update("", "put", "milk"), 1)
	expect(t, update("from the web page", "put", "bread"), 2)
	// Asked once more with the same id: the same answer, and no second bread.
	expect(t, update("from the web page", "put", "bread"), 2)
	if err := update("", "put", "milk").Get(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "there is milk already") {
		t.Error(err)
	}
	must(t, update("", "pay").Get(t.Context(), nil))
	var things []string
	must(t, run.Get(t.Context(), &things))
	if !slices.Equal(things, []string{"milk", "bread"}) {
		t.Error(things)
	}
}

// end snippet

// snippet: with_start
func TestACartThatMayBeThere(t *testing.T) {
	c := begin(t)
	for i, thing := range []string{"milk", "bread"} {
		start := c.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
			ID: "cart", TaskQueue: "test", WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		}, Cart)
		update, err := c.UpdateWithStartWorkflow(t.Context(), client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: start,
			UpdateOptions: client.UpdateWorkflowOptions{
				UpdateName: "put", Args: []any{thing}, WaitForStage: client.WorkflowUpdateStageCompleted,
			},
		})
		must(t, err)
		expect(t, update, i+1)
	}
}

// end snippet

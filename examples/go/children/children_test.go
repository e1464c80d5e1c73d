// Package children shows a workflow with child workflows, and how it is tested.
package children

import (
	"errors"
	"slices"
	"testing"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
)

// snippet: workflow
// Batch has each order processed by a child workflow, ten at a time, and returns those that were refused.
func Batch(ctx workflow.Context, orders, soldOut []string) (refused []string, err error) {
	slots, group := workflow.NewSemaphore(ctx, 10), workflow.NewWaitGroup(ctx)
	for _, order := range orders {
		group.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer group.Done()
			if slots.Acquire(ctx, 1) != nil {
				return // cancelled
			}
			defer slots.Release(1)
			ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: "order-" + order})
			child := workflow.ExecuteChildWorkflow(ctx, Order, order)
			if slices.Contains(soldOut, order) {
				// Waits until the child has started. Other workflows are told by SignalExternalWorkflow.
				_ = child.SignalChildWorkflow(ctx, "refuse", "sold out").Get(ctx, nil)
			}
			err := child.Get(ctx, nil)
			var application *temporal.ApplicationError
			if errors.As(err, &application) && application.Type() == "Refused" {
				refused = append(refused, order+": "+application.Message())
			}
		})
	}
	group.Wait(ctx)
	return refused, ctx.Err()
}

// Order can be refused for a day.
func Order(ctx workflow.Context, order string) error {
	var why string
	refused, _ := workflow.GetSignalChannel(ctx, "refuse").ReceiveWithTimeout(ctx, 24*time.Hour, &why)
	if refused {
		return temporal.NewApplicationError(why, "Refused")
	}
	return ctx.Err()
}

// end snippet

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefusedOrdersAreTold(t *testing.T) {
	embedded := client.EmbeddedOptions{TimeSkipping: true, FailFast: true}
	c, err := client.Dial(client.Options{
		HostPort: "embedded:", ConnectionOptions: client.ConnectionOptions{Embedded: embedded},
	})
	must(t, err)
	defer c.Close()
	w := worker.New(c, "test", worker.Options{})
	w.RegisterWorkflow(Batch)
	w.RegisterWorkflow(Order)
	must(t, w.Start())
	defer w.Stop()
	options := client.StartWorkflowOptions{TaskQueue: "test"}
	run, err := c.ExecuteWorkflow(t.Context(), options, Batch, []string{"a", "b", "c"}, []string{"b"})
	must(t, err)
	var refused []string
	must(t, run.Get(t.Context(), &refused)) // a day passes at once
	if !slices.Equal(refused, []string{"b: sold out"}) {
		t.Errorf("%v were refused", refused)
	}
}

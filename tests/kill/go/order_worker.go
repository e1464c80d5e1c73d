// A worker process of the kill test in Go: runs the workflow Order until its standard input ends.
//
//	order_worker -address HOST:PORT -queue NAME [-cache COUNT]
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
)

// Order is the workflow of orders.py: the same commands in the same order. It doubles its number three times and collects
// its items.
func Order(ctx workflow.Context, number, count int) ([]any, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		// An attempt whose completion never arrived is tried again after this.
		StartToCloseTimeout: 5 * time.Second,
		// Nothing is lost, so nothing needs to time out.
		ScheduleToCloseTimeout: 10 * time.Minute,
	})
	items := []int{}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var item int
			workflow.GetSignalChannel(ctx, "add").Receive(ctx, &item)
			items = append(items, item)
		}
	})
	var value int
	if err := workflow.ExecuteActivity(ctx, "double", number).Get(ctx, &value); err != nil {
		return nil, err
	}
	if err := workflow.Sleep(ctx, 50*time.Millisecond); err != nil {
		return nil, err
	}
	doubled := workflow.ExecuteActivity(ctx, "double", value)
	others := []workflow.Future{workflow.ExecuteActivity(ctx, "double", 1), workflow.ExecuteActivity(ctx, "double", 2)}
	if err := doubled.Get(ctx, &value); err != nil {
		return nil, err
	}
	for _, other := range others {
		if err := other.Get(ctx, nil); err != nil {
			return nil, err
		}
	}
	if err := workflow.Await(ctx, func() bool { return len(items) >= count }); err != nil {
		return nil, err
	}
	if err := workflow.Sleep(ctx, 50*time.Millisecond); err != nil {
		return nil, err
	}
	if err := workflow.ExecuteActivity(ctx, "double", value).Get(ctx, &value); err != nil {
		return nil, err
	}
	slices.Sort(items)
	return []any{value, items}, nil
}

func run() error {
	address := flag.String("address", "", "the server's HOST:PORT")
	queue := flag.String("queue", "orders", "the task queue")
	cache := flag.Int("cache", 1000, "runs to keep; with 0, every workflow task replays from the first event")
	flag.Parse()
	worker.SetStickyWorkflowCacheSize(*cache)
	c, err := client.Dial(client.Options{HostPort: *address})
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, *queue, worker.Options{})
	w.RegisterWorkflow(Order)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

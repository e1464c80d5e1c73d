// The first test of a workflow, as the README of the Go SDK shows it.

// snippet: test
package main

import (
	"context"
	"testing"
	"time"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/worker"
)

func TestGreeting(t *testing.T) {
	// A server of the test's own, with its state in memory. Its time skips, and a mistake is told at once.
	embedded := client.EmbeddedOptions{TimeSkipping: true, FailFast: true}
	c, err := client.Dial(client.Options{
		HostPort: "embedded:", ConnectionOptions: client.ConnectionOptions{Embedded: embedded},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := worker.New(c, "test", worker.Options{})
	w.RegisterWorkflow(Greeting)
	mocked := func(ctx context.Context, name string) (string, error) { return "mocked " + name, nil }
	w.RegisterActivityWithOptions(mocked, activity.RegisterOptions{Name: "Greet"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "test"}, Greeting, "Bob")
	if err != nil {
		t.Fatal(err)
	}
	var greeting string
	if err := run.Get(ctx, &greeting); err != nil {
		t.Fatal(err)
	}
	if greeting != "mocked Bob" {
		t.Errorf("got %q", greeting)
	}
}

// end snippet

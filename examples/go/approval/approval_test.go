// Package approval has tests of a workflow that waits for people: a signal, a query, three days in no time, a retry, and a
// replay of what has happened.
package approval

import (
	"context"
	"errors"
	"testing"
	"time"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// snippet: workflow
// Approval waits for three days for somebody to decide, and tells whoever is responsible.
func Approval(ctx workflow.Context) (string, error) {
	answer := "waiting"
	err := workflow.SetQueryHandler(ctx, "state", func() (string, error) { return answer, nil })
	if err != nil {
		return "", err
	}
	timeout, cancel := workflow.WithCancel(ctx)
	workflow.NewSelector(ctx).
		AddReceive(workflow.GetSignalChannel(ctx, "decide"), func(c workflow.ReceiveChannel, _ bool) {
			c.Receive(ctx, &answer)
		}).
		AddFuture(workflow.NewTimer(timeout, 72*time.Hour), func(workflow.Future) { answer = "nobody answered" }).
		Select(ctx)
	cancel()
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return answer, workflow.ExecuteActivity(ctx, Tell, answer).Get(ctx, nil)
}

// end snippet

// Tell sends a mail.
func Tell(_ context.Context, _ string) error { return nil }

// snippet: server
// begin gives a test a server with a worker, and starts the workflow.
func begin(t *testing.T, tell func(context.Context, string) error) (client.Client, client.WorkflowRun) {
	embedded := client.EmbeddedOptions{TimeSkipping: true, FailFast: true}
	c, err := client.Dial(client.Options{
		HostPort: "embedded:", ConnectionOptions: client.ConnectionOptions{Embedded: embedded},
	})
	must(t, err)
	t.Cleanup(c.Close)
	w := worker.New(c, "test", worker.Options{})
	w.RegisterWorkflow(Approval)
	w.RegisterActivityWithOptions(tell, activity.RegisterOptions{Name: "Tell"})
	must(t, w.Start())
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "test"}, Approval)
	must(t, err)
	return c, run
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// end snippet

func expect(t *testing.T, run client.WorkflowRun, wanted string) {
	t.Helper()
	var answer string
	must(t, run.Get(t.Context(), &answer))
	if answer != wanted {
		t.Errorf("got %q", answer)
	}
}

// snippet: signal
func TestSomebodyAnswers(t *testing.T) {
	c, run := begin(t, Tell)
	value, err := c.QueryWorkflow(t.Context(), run.GetID(), "", "state")
	must(t, err)
	var state string
	must(t, value.Get(&state))
	if state != "waiting" {
		t.Errorf("the state is %q", state)
	}
	must(t, c.SignalWorkflow(t.Context(), run.GetID(), "", "decide", "yes"))
	expect(t, run, "yes") // waits for the result
}

// end snippet

// snippet: time
func TestNobodyAnswers(t *testing.T) {
	_, run := begin(t, Tell)
	expect(t, run, "nobody answered") // three days pass at once
}

// end snippet

// snippet: retry
func TestAMailIsTriedAgain(t *testing.T) {
	attempts := 0
	_, run := begin(t, func(context.Context, string) error {
		if attempts++; attempts < 5 {
			return errors.New("no connection")
		}
		return nil
	})
	expect(t, run, "nobody answered") // and so do the pauses between the attempts
	if attempts != 5 {
		t.Errorf("%d attempts", attempts)
	}
}

// end snippet

// snippet: replay
func TestNewCodeFitsOldRuns(t *testing.T) {
	c, run := begin(t, Tell)
	expect(t, run, "nobody answered")
	events := c.GetWorkflowHistory(t.Context(), run.GetID(), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	history := &historypb.History{}
	for events.HasNext() {
		event, err := events.Next()
		must(t, err)
		history.Events = append(history.Events, event)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(Approval)
	must(t, replayer.ReplayWorkflowHistory(nil, history)) // an error if the code has changed what it does
}

// end snippet

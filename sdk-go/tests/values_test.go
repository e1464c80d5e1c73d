package tests

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// What the official SDK does with values at the edges.

func TestANilPointerIsNoResult(t *testing.T) {
	c := dial(t, "embedded:")
	kept := func(ctx workflow.Context) ([]string, error) {
		a, b := "kept", []string{"replaced"}
		if err := workflow.ExecuteActivity(withActivities(ctx), "Pointer").Get(ctx, &a); err != nil {
			return nil, err
		}
		// Other nils are values.
		if err := workflow.ExecuteActivity(withActivities(ctx), "Slice").Get(ctx, &b); err != nil {
			return nil, err
		}
		return append(b, a), nil
	}
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflowWithOptions(kept, workflow.RegisterOptions{Name: "Kept"})
		w.RegisterWorkflowWithOptions(func(workflow.Context) (*string, error) { return nil, nil }, workflow.RegisterOptions{Name: "Pointer"})
		w.RegisterActivityWithOptions(func() (*string, error) { return nil, nil }, activity.RegisterOptions{Name: "Pointer"})
		w.RegisterActivityWithOptions(func() ([]string, error) { return nil, nil }, activity.RegisterOptions{Name: "Slice"})
	})
	if got := result[[]string](t, execute(t, c, "Kept")); fmt.Sprint(got) != "[kept]" {
		t.Errorf("%q", got)
	}
	run := execute(t, c, "Pointer")
	text := "kept"
	must(t, run.Get(within(t), &text))
	events := history(t, c, run).Events
	completed := events[len(events)-1].GetWorkflowExecutionCompletedEventAttributes()
	if text != "kept" || completed == nil || completed.Result != nil {
		t.Errorf("%q, %v", text, completed)
	}
}

// Helpful has a method that is no activity.
type Helpful struct{}

func (*Helpful) Works() error { return nil }
func (*Helpful) Helps(string) {}

func TestAMethodWithoutResultsIsNoActivity(t *testing.T) {
	c := dial(t, "embedded:")
	w := worker.New(c, queue, worker.Options{})
	func() {
		defer func() {
			if value := fmt.Sprint(recover()); !strings.Contains(value, "Helps") || !strings.Contains(value, "returns an error") {
				t.Errorf("registered, or said %s", value)
			}
		}()
		w.RegisterActivity(&Helpful{})
	}()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a function without results was registered")
			}
		}()
		w.RegisterActivity(func(context.Context) {})
	}()
	w = worker.New(c, queue, worker.Options{})
	w.RegisterActivityWithOptions(&Helpful{}, activity.RegisterOptions{SkipInvalidStructFunctions: true})
}

func TestSurplusArgumentsOfASignalAreIgnoredAndMissingOnesLeaveWhatIsThere(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflowWithOptions(func(ctx workflow.Context) (seen []string, err error) {
			for range 3 {
				text := "nothing"
				workflow.GetSignalChannel(ctx, "tell").Receive(ctx, &text)
				seen = append(seen, text)
			}
			return seen, nil
		}, workflow.RegisterOptions{Name: "Hears"})
	})
	run := execute(t, c, "Hears")
	for _, words := range []string{`"one"`, `4`, `"two" "three"`, ""} {
		// A signal that can't be decoded is dropped.
		input := &commonpb.Payloads{}
		for _, word := range strings.Fields(words) {
			input.Payloads = append(input.Payloads, &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(word)})
		}
		_, err := c.WorkflowService().SignalWorkflowExecution(within(t), &workflowservice.SignalWorkflowExecutionRequest{
			Namespace: client.DefaultNamespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: run.GetID()},
			SignalName: "tell", Input: input,
		})
		must(t, err)
	}
	if got := strings.Join(result[[]string](t, run), " "); got != "one two nothing" {
		t.Error(got)
	}
}

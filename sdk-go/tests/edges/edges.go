// Package edges has programs whose panics, errors and values are at the edges of what an SDK answers, and says what each came
// to. official.txt is what it says of the official SDK: of a copy of this package whose imports name go.temporal.io/sdk.
package edges

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
)

type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

type unwritable struct{}

func (unwritable) MarshalJSON() ([]byte, error) { panic("can't be written") }

func fails() { panic("oh dear") }

// released lets go of what never would.
var released atomic.Bool

var workflows = map[string]any{
	"InACoroutine": func(ctx workflow.Context) error {
		workflow.Go(ctx, func(workflow.Context) { fails() })
		return workflow.Await(ctx, func() bool { return false })
	},
	"InACoroutineOfAFinishedWorkflow": func(ctx workflow.Context) error {
		workflow.Go(ctx, func(workflow.Context) { fails() })
		return nil
	},
	"InACondition": func(ctx workflow.Context) error { return workflow.Await(ctx, func() bool { fails(); return false }) },
	"OfASelectedFuture": func(ctx workflow.Context) error {
		workflow.NewSelector(ctx).AddFuture(workflow.NewTimer(ctx, time.Millisecond), func(workflow.Future) { fails() }).Select(ctx)
		return nil
	},
	"Deferred":    func(workflow.Context) error { defer fails(); return nil },
	"BadResult":   func(workflow.Context) (any, error) { return unwritable{}, nil },
	"Channel":     func(workflow.Context) (any, error) { return make(chan int), nil },
	"TakesNumber": func(_ workflow.Context, n int) (int, error) { return n, nil },
	"NilPointer":  func(workflow.Context) (*string, error) { return nil, nil },
	"NilSlice":    func(workflow.Context) ([]string, error) { return nil, nil },
	"NilAny":      func(workflow.Context) (any, error) { return nil, nil },
	"FirstLength": func(ctx workflow.Context) (int, error) { return workflow.GetInfo(ctx).GetCurrentHistoryLength(), nil },
	"Deadlock": func(workflow.Context) error {
		for !released.Load() {
		}
		return nil
	},
	"DeadlockInCondition": func(ctx workflow.Context) error {
		return workflow.Await(ctx, func() bool {
			for !released.Load() {
			}
			return true
		})
	},
	"Once": once,
	"Hears": func(ctx workflow.Context) (seen []string, err error) {
		for range 3 {
			text := "nothing"
			workflow.GetSignalChannel(ctx, "tell").Receive(ctx, &text)
			seen = append(seen, text)
		}
		return seen, nil
	},
}

func once(ctx workflow.Context, name string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}})
	kept := "kept"
	err := workflow.ExecuteActivity(ctx, name).Get(ctx, &kept)
	return kept, err
}

var activities = map[string]any{
	"ATypedNil":     func() error { return (*typedNil)(nil) },
	"ABadResult":    func() (any, error) { return unwritable{}, nil },
	"AChannel":      func() (any, error) { return make(chan int), nil },
	"ABadDetails":   func() error { return temporal.NewNonRetryableApplicationError("details", "Kind", nil, unwritable{}) },
	"ABadHeartbeat": func(ctx context.Context) error { activity.RecordHeartbeat(ctx, unwritable{}); return nil },
	"ANilPointer":   func() (*string, error) { return nil, nil },
	"ANilAny":       func() (any, error) { return nil, nil },
}

// say is an error with what it wraps, but for what only says where it happened.
func say(err error) string {
	var parts []string
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		switch e := cause.(type) {
		case *temporal.PanicError:
			parts = append(parts, "Panic{"+e.Error()+"}")
		case *temporal.ApplicationError:
			parts = append(parts, fmt.Sprintf("App{%s|%s|nr=%v}", e.Message(), e.Type(), e.NonRetryable()))
		case *temporal.WorkflowExecutionError, *temporal.ActivityError:
		default:
			parts = append(parts, fmt.Sprintf("%T{%v}", cause, cause))
		}
	}
	return strings.Join(parts, " < ")
}

// Register registers the programs.
func Register(w worker.Worker) {
	for name, f := range workflows {
		w.RegisterWorkflowWithOptions(f, workflow.RegisterOptions{Name: name})
	}
	for name, f := range activities {
		w.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
}

type runner struct {
	client client.Client
	queue  string
	lines  []string
}

// Run runs all programs on a worker that fails workflows whose code panics, and returns a line for each.
func Run(ctx context.Context, c client.Client, queue string) (lines []string, err error) {
	released.Store(false)
	defer released.Store(true)
	r := &runner{client: c, queue: queue}
	for name := range workflows {
		switch name {
		case "TakesNumber":
			err = errors.Join(err, r.run(ctx, name+" text", name, "text"), r.run(ctx, name+" none", name), r.run(ctx, name+" surplus", name, 1, "two"))
		case "Once":
			for activity := range activities {
				err = errors.Join(err, r.run(ctx, activity, name, activity))
			}
		default:
			err = errors.Join(err, r.run(ctx, name, name))
		}
	}
	slices.Sort(r.lines)
	return r.lines, err
}

func (r *runner) run(ctx context.Context, label, workflow string, args ...any) error {
	run, err := r.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: r.queue}, workflow, args...)
	if err != nil {
		return err
	}
	if workflow == "Hears" {
		if err := r.tell(ctx, run); err != nil {
			return err
		}
	}
	// Some never come to an end.
	brief, done := context.WithTimeout(ctx, 8*time.Second)
	defer done()
	var value any = "untouched"
	if err := run.Get(brief, &value); err != nil {
		r.lines = append(r.lines, label+": "+say(err))
		return nil
	}
	r.lines = append(r.lines, fmt.Sprintf("%s: %#v", label, value))
	return nil
}

// tell signals with one argument, with one of another type, with one too many, and with none.
func (r *runner) tell(ctx context.Context, run client.WorkflowRun) error {
	for _, words := range []string{`"one"`, `4`, `"two" "three"`, ""} {
		input := &commonpb.Payloads{}
		for _, word := range strings.Fields(words) {
			json := map[string][]byte{"encoding": []byte("json/plain")}
			input.Payloads = append(input.Payloads, &commonpb.Payload{Metadata: json, Data: []byte(word)})
		}
		_, err := r.client.WorkflowService().SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{
			Namespace: client.DefaultNamespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: run.GetID()},
			SignalName: "tell", Input: input,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

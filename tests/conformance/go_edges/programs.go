package go_edges

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"durably.dev/conformance/harness"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
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

func register(w worker.Worker) {
	for name, f := range workflows {
		w.RegisterWorkflowWithOptions(f, workflow.RegisterOptions{Name: name})
	}
	for name, f := range activities {
		w.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
}

// runner runs programs, and notes what each came to.
type runner struct {
	env  *harness.Env
	came map[string]string
}

// runAll runs all programs, those last that keep a processor busy until they are released.
func (r *runner) runAll(ctx context.Context) {
	defer released.Store(true)
	busy := func(name string) bool { return strings.HasPrefix(name, "Deadlock") }
	names := slices.SortedFunc(maps.Keys(workflows), func(a, b string) int {
		if busy(a) != busy(b) && busy(a) {
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		switch name {
		case "TakesNumber":
			r.run(ctx, name+" text", name, "text")
			r.run(ctx, name+" none", name)
			r.run(ctx, name+" surplus", name, 1, "two")
		case "Once":
			for activity := range activities {
				r.run(ctx, activity, name, activity)
			}
		default:
			r.run(ctx, name, name)
		}
	}
}

func (r *runner) run(ctx context.Context, label, workflow string, args ...any) {
	run := r.env.Start(ctx, workflow, args...)
	if workflow == "Hears" {
		r.tell(ctx, run)
	}
	patience := time.Minute
	if official && said[label] == unanswered {
		patience = 5 * time.Second
	}
	brief, done := context.WithTimeout(ctx, patience)
	defer done()
	var value any = "untouched"
	err := run.Get(brief, &value)
	var ended *temporal.WorkflowExecutionError
	switch {
	case err != nil && !errors.As(err, &ended):
		r.came[label] = unanswered
		harness.Must(r.env.Client.TerminateWorkflow(ctx, run.GetID(), "", ""))
	case err != nil:
		r.came[label] = say(err)
	default:
		r.came[label] = fmt.Sprintf("%#v", value)
	}
}

// tell signals with one argument, with one of another type, with one too many, and with none.
func (r *runner) tell(ctx context.Context, run client.WorkflowRun) {
	for _, words := range []string{`"one"`, `4`, `"two" "three"`, ""} {
		input := &commonpb.Payloads{}
		for _, word := range strings.Fields(words) {
			json := map[string][]byte{"encoding": []byte("json/plain")}
			input.Payloads = append(input.Payloads, &commonpb.Payload{Metadata: json, Data: []byte(word)})
		}
		_, err := r.env.Client.WorkflowService().SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{
			Namespace: r.env.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: run.GetID()},
			SignalName: "tell", Input: input,
		})
		harness.Must(err)
	}
}

// waits and calls are one workflow before and after a change that no history bears.
func waits(ctx workflow.Context) error {
	return workflow.Sleep(ctx, time.Hour)
}

func calls(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, "ANilAny").Get(ctx, nil)
}

// change runs a workflow whose code changes while it is open.
func (r *runner) change(ctx context.Context) {
	r.env.TaskQueue += "-changes"
	named := workflow.RegisterOptions{Name: "Changes"}
	before := worker.New(r.env.Client, r.env.TaskQueue, worker.Options{StickyScheduleToStartTimeout: 100 * time.Millisecond})
	before.RegisterWorkflowWithOptions(waits, named)
	harness.Must(before.Start())
	run := r.env.Start(ctx, "Changes")
	_, err := r.env.Client.QueryWorkflow(ctx, run.GetID(), "", "__stack_trace")
	harness.Must(err)
	before.Stop()
	worker.PurgeStickyWorkflowCache()
	after := worker.New(r.env.Client, r.env.TaskQueue, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow})
	after.RegisterWorkflowWithOptions(calls, named)
	harness.Must(after.Start())
	defer after.Stop()
	harness.Must(r.env.Client.SignalWorkflow(ctx, run.GetID(), "", "go", nil))
	r.came["Changes"] = say(run.Get(ctx, nil))
}

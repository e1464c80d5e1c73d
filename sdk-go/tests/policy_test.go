package tests

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
)

func fails() { panic("oh dear") }

// panicking are workflows that panic somewhere else than in their own function.
var panicking = map[string]func(workflow.Context) error{
	"InACoroutine": func(ctx workflow.Context) error {
		workflow.Go(ctx, func(workflow.Context) { fails() })
		return workflow.Await(ctx, func() bool { return false })
	},
	"InACoroutineOfAFinishedWorkflow": func(ctx workflow.Context) error {
		workflow.Go(ctx, func(workflow.Context) { fails() })
		return nil
	},
	"InACondition": func(ctx workflow.Context) error {
		return workflow.Await(ctx, func() bool { fails(); return false })
	},
	"InAConditionWithATimeout": func(ctx workflow.Context) error {
		_, err := workflow.AwaitWithTimeout(ctx, time.Hour, func() bool { fails(); return false })
		return err
	},
	"InAConditionLater": func(ctx workflow.Context) error {
		fired := false
		workflow.Go(ctx, func(ctx workflow.Context) {
			_ = workflow.Sleep(ctx, time.Millisecond)
			fired = true
		})
		return workflow.Await(ctx, func() bool {
			if fired {
				fails()
			}
			return false
		})
	},
	"OfASelectedSignal": func(ctx workflow.Context) error {
		received := func(workflow.ReceiveChannel, bool) { fails() }
		workflow.NewSelector(ctx).AddReceive(workflow.GetSignalChannel(ctx, "go"), received).Select(ctx)
		return nil
	},
	"OfASelectedFuture": func(ctx workflow.Context) error {
		fired := func(workflow.Future) { fails() }
		workflow.NewSelector(ctx).AddFuture(workflow.NewTimer(ctx, time.Millisecond), fired).Select(ctx)
		return nil
	},
	"OfASelectedDefault": func(ctx workflow.Context) error {
		workflow.NewSelector(ctx).AddDefault(fails).Select(ctx)
		return nil
	},
	"InADeferredFunction": func(workflow.Context) error {
		defer fails()
		return nil
	},
}

// notes is a logger that keeps what it is told.
type notes struct {
	quiet
	mu    sync.Mutex
	lines []string
}

func (n *notes) Error(msg string, keyvals ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, msg+" "+fmt.Sprint(keyvals...))
}

func (n *notes) has(words ...string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, line := range n.lines {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

func registerAll(w worker.Worker) {
	for name, function := range panicking {
		w.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name})
	}
}

func TestAPanicAnywhereFailsTheWorkflowIfAskedForAndIsLogged(t *testing.T) {
	logger := &notes{}
	c, err := client.Dial(client.Options{HostPort: "embedded:", Logger: logger})
	must(t, err)
	t.Cleanup(c.Close)
	start(t, c, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow}, registerAll)
	for name := range panicking {
		t.Run(name, func(t *testing.T) {
			run := execute(t, c, name)
			if strings.HasSuffix(name, "Signal") {
				must(t, c.SignalWorkflow(within(t), run.GetID(), "", "go", nil))
			}
			err := run.Get(within(t), nil)
			var failed *temporal.ApplicationError
			var panicked *temporal.PanicError
			if !errors.As(err, &failed) || !strings.Contains(failed.Message(), "FailWorkflow workflow panic policy") || failed.NonRetryable() {
				t.Fatal(err)
			}
			if !errors.As(err, &panicked) || panicked.Error() != "oh dear" || !strings.Contains(panicked.StackTrace(), "tests.fails") {
				t.Fatal(err)
			}
			if !logger.has("Workflow panic", "oh dear", "tests.fails", run.GetID(), run.GetRunID(), name) {
				t.Error(logger.lines)
			}
		})
	}
}

func TestCodeThatDisagreesWithItsHistoryFailsTheWorkflowIfAskedFor(t *testing.T) {
	waits := func(ctx workflow.Context) error {
		return workflow.Sleep(ctx, time.Hour)
	}
	calls := func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		return workflow.ExecuteActivity(ctx, "Nothing").Get(ctx, nil)
	}
	named := workflow.RegisterOptions{Name: "Changes"}
	c := dial(t, "embedded:")
	before := worker.New(c, queue, worker.Options{StickyScheduleToStartTimeout: time.Millisecond})
	before.RegisterWorkflowWithOptions(waits, named)
	must(t, before.Start())
	run := execute(t, c, "Changes")
	// It is answered when the first task is done.
	_, err := c.QueryWorkflow(within(t), run.GetID(), "", "__stack_trace")
	must(t, err)
	before.Stop()

	start(t, c, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow}, func(w worker.Worker) { w.RegisterWorkflowWithOptions(calls, named) })
	must(t, c.SignalWorkflow(within(t), run.GetID(), "", "go", nil))
	err = run.Get(within(t), nil)
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) || !strings.Contains(failed.Message(), "FailWorkflow workflow panic policy") || failed.NonRetryable() {
		t.Fatal(err)
	}
	cause, kind := failureOf(t, err)
	if !strings.Contains(cause, "Non-determinism") || !strings.Contains(cause, "policy_test.go:") || kind != "NonDeterminism" {
		t.Error(kind, cause)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(calls, named)
	if err := replayer.ReplayWorkflowHistory(quiet{}, history(t, c, run)); err == nil || !strings.Contains(err.Error(), "Non-determinism") {
		t.Error(err)
	}
}

func TestAPanicAnywhereFailsTheTaskByDefault(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, registerAll)
	for name := range panicking {
		t.Run(name, func(t *testing.T) {
			run := execute(t, c, name)
			if strings.HasSuffix(name, "Signal") {
				must(t, c.SignalWorkflow(within(t), run.GetID(), "", "go", nil))
			}
			if failed := failedTask(t, c, run); !strings.Contains(failed, "oh dear") || !strings.Contains(failed, "tests.fails") {
				t.Fatal(failed)
			}
		})
	}
}

func takesANumber(_ workflow.Context, number int) (int, error) { return number, nil }

func returnsAChannel(workflow.Context) (any, error) { return make(chan int), nil }

func TestInputAndResultsThatAreOfNoUseFailTheWorkflow(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflowWithOptions(takesANumber, workflow.RegisterOptions{Name: "TakesANumber"})
		w.RegisterWorkflowWithOptions(returnsAChannel, workflow.RegisterOptions{Name: "ReturnsAChannel"})
	})
	for _, input := range []any{"text", []int{1}, map[string]int{"a": 1}, 1.5} {
		message, _ := failureOf(t, execute(t, c, "TakesANumber", input).Get(within(t), nil))
		if !strings.Contains(message, "unable to decode") || !strings.Contains(message, "TakesANumber") {
			t.Errorf("%v: %s", input, message)
		}
	}
	message, _ := failureOf(t, execute(t, c, "ReturnsAChannel").Get(within(t), nil))
	if !strings.Contains(message, "unable to encode") || !strings.Contains(message, "ReturnsAChannel") {
		t.Error(message)
	}
	// What is not given is zero, and what is too much is ignored.
	if got := result[int](t, execute(t, c, "TakesANumber")); got != 0 {
		t.Error(got)
	}
	if got := result[int](t, execute(t, c, "TakesANumber", 1, "two")); got != 1 {
		t.Error(got)
	}
}

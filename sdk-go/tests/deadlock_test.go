package tests

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
)

// busy computes until it is released, and knows how often and where.
type busy struct {
	released atomic.Bool
	times    atomic.Int32
	line     atomic.Value
}

func newBusy(t *testing.T) *busy {
	b := &busy{}
	t.Cleanup(func() { b.released.Store(true) })
	return b
}

func (b *busy) compute() bool {
	b.times.Add(1)
	_, file, line, _ := runtime.Caller(0)
	b.line.Store(fmt.Sprintf("%s:%d", filepath.Base(file), line+2))
	for !b.released.Load() { // The line that errors name.
	}
	return true
}

// workflows are such that never let go, by name.
func (b *busy) workflows() map[string]func(workflow.Context) error {
	return map[string]func(workflow.Context) error{
		"Main": func(workflow.Context) error { b.compute(); return nil },
		"Coroutine": func(ctx workflow.Context) error {
			done := false
			workflow.Go(ctx, func(workflow.Context) { done = b.compute() })
			return workflow.Await(ctx, func() bool { return done })
		},
		"Condition": func(ctx workflow.Context) error { return workflow.Await(ctx, b.compute) },
		"ConditionWithATimeout": func(ctx workflow.Context) error {
			_, err := workflow.AwaitWithTimeout(ctx, time.Hour, b.compute)
			return err
		},
		"Callback": func(ctx workflow.Context) error {
			workflow.NewSelector(ctx).AddDefault(func() { b.compute() }).Select(ctx)
			return nil
		},
		"Result": func(workflow.Context) error { return computingError{b} },
	}
}

type computingError struct{ busy *busy }

func (e computingError) Error() string {
	e.busy.compute()
	return "computed"
}

func (b *busy) register(w worker.Worker) {
	for name, function := range b.workflows() {
		w.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name})
	}
}

const soon = 200 * time.Millisecond

func TestAWorkflowThatNeverLetsGoFailsItsTaskAndNobodyElses(t *testing.T) {
	c := dial(t, "embedded:")
	beats, finish := make(chan int32, 1), make(chan struct{})
	beat := func(ctx context.Context) (int32, error) {
		beats <- activity.GetInfo(ctx).Attempt
		for {
			activity.RecordHeartbeat(ctx)
			select {
			case <-finish:
				return activity.GetInfo(ctx).Attempt, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	beating := func(ctx workflow.Context) (attempt int32, err error) {
		ctx = workflow.WithHeartbeatTimeout(withActivities(ctx), time.Second)
		return attempt, workflow.ExecuteActivity(ctx, "Beat").Get(ctx, &attempt)
	}
	b := newBusy(t)
	start(t, c, worker.Options{DeadlockDetectionTimeout: soon}, func(w worker.Worker) {
		b.register(w)
		w.RegisterWorkflow(Greets)
		w.RegisterActivity(&Greeter{"Hello"})
		w.RegisterWorkflowWithOptions(beating, workflow.RegisterOptions{Name: "Beating"})
		w.RegisterActivityWithOptions(beat, activity.RegisterOptions{Name: "Beat"})
	})
	beaten := execute(t, c, "Beating")
	<-beats
	for name := range b.workflows() {
		t.Run(name, func(t *testing.T) {
			failed := failedTask(t, c, execute(t, c, name))
			if line := b.line.Load().(string); !strings.Contains(failed, "deadlock") || !strings.Contains(failed, line+".") {
				t.Errorf("no deadlock at %s in\n%s", line, failed)
			}
			if got := result[string](t, execute(t, c, Greets, "Ann")); got != "Hello Ann and all" {
				t.Error(got)
			}
		})
	}
	close(finish)
	if attempt := result[int32](t, beaten); attempt != 1 {
		t.Errorf("attempt %d of the activity succeeded", attempt)
	}
}

func TestAWorkflowThatNeverLetsGoFailsIfAskedFor(t *testing.T) {
	c := dial(t, "embedded:")
	b := newBusy(t)
	start(t, c, worker.Options{DeadlockDetectionTimeout: soon, WorkflowPanicPolicy: worker.FailWorkflow}, b.register)
	for name := range b.workflows() {
		t.Run(name, func(t *testing.T) {
			err := execute(t, c, name).Get(within(t), nil)
			if message, _ := failureOf(t, err); !strings.Contains(message, "deadlock") || !temporal.IsPanicError(err) {
				t.Error(err)
			}
		})
	}
}

func TestARunThatNeverLetsGoIsNotRunAgainBesideItself(t *testing.T) {
	c := dial(t, "embedded:")
	b := newBusy(t)
	start(t, c, worker.Options{DeadlockDetectionTimeout: soon}, b.register)
	// Attempts after the first are left to time out.
	options := client.StartWorkflowOptions{TaskQueue: queue, WorkflowTaskTimeout: time.Second}
	run, err := c.ExecuteWorkflow(within(t), options, "Condition")
	must(t, err)
	for {
		described, err := c.DescribeWorkflowExecution(within(t), run.GetID(), "")
		must(t, err)
		if described.GetPendingWorkflowTask().GetAttempt() > 2 {
			break
		}
		runtime.Gosched()
	}
	if times := b.times.Load(); times != 1 {
		t.Errorf("the condition is asked %d times at once", times)
	}
	b.released.Store(true)
	must(t, run.Get(within(t), nil))
}

func TestAQueryThatNeverLetsGoFailsAndItsWorkflowGoesOn(t *testing.T) {
	c := dial(t, "embedded:")
	b := newBusy(t)
	asked := func(ctx workflow.Context) error {
		if err := workflow.SetQueryHandler(ctx, "compute", func() (bool, error) { return b.compute(), nil }); err != nil {
			return err
		}
		workflow.GetSignalChannel(ctx, "stop").Receive(ctx, nil)
		return nil
	}
	start(t, c, worker.Options{DeadlockDetectionTimeout: soon, WorkflowPanicPolicy: worker.FailWorkflow}, func(w worker.Worker) {
		w.RegisterWorkflowWithOptions(asked, workflow.RegisterOptions{Name: "Asked"})
	})
	run := execute(t, c, "Asked")
	if _, err := c.QueryWorkflow(within(t), run.GetID(), "", "compute"); err == nil || !strings.Contains(err.Error(), "deadlock") {
		t.Error(err)
	}
	b.released.Store(true)
	must(t, c.SignalWorkflow(within(t), run.GetID(), "", "stop", nil))
	must(t, run.Get(within(t), nil))
}

func TestAnEvictedRunWhoseCleaningUpNeverEndsHarmsNobody(t *testing.T) {
	c := dial(t, "embedded:")
	b := newBusy(t)
	cleansUp := func(ctx workflow.Context) error {
		defer b.compute()
		workflow.GetSignalChannel(ctx, "stop").Receive(ctx, nil)
		return nil
	}
	start(t, c, worker.Options{DeadlockDetectionTimeout: soon}, func(w worker.Worker) {
		w.RegisterWorkflowWithOptions(cleansUp, workflow.RegisterOptions{Name: "CleansUp"})
		w.RegisterWorkflow(Greets)
		w.RegisterActivity(&Greeter{"Hello"})
	})
	run := execute(t, c, "CleansUp")
	for len(history(t, c, run).Events) < 4 {
		runtime.Gosched()
	}
	worker.PurgeStickyWorkflowCache()
	for b.times.Load() == 0 {
		runtime.Gosched()
	}
	if got := result[string](t, execute(t, c, Greets, "Ann")); got != "Hello Ann and all" {
		t.Error(got)
	}
	b.released.Store(true)
	must(t, c.SignalWorkflow(within(t), run.GetID(), "", "stop", nil))
	must(t, run.Get(within(t), nil))
}

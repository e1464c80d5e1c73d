// Package tests runs workflows on embedded servers, as a user's program would.
package tests

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

func TestMain(m *testing.M) {
	if os.Getenv("DURABLY_TEST_MAX_CACHED_WORKFLOWS") == "0" {
		worker.SetStickyWorkflowCacheSize(0)
	}
	os.Exit(m.Run())
}

const queue = "tests"

// quiet is a logger for failures that are meant.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// dial connects to an embedded server of the test's own.
func dial(t *testing.T, target string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: target, Logger: quiet{}})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a worker until the test ends.
func start(t *testing.T, c client.Client, options worker.Options, register func(worker.Worker)) {
	t.Helper()
	w := worker.New(c, queue, options)
	register(w)
	must(t, w.Start())
	t.Cleanup(w.Stop)
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func execute(t *testing.T, c client.Client, function any, args ...any) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(within(t), client.StartWorkflowOptions{TaskQueue: queue}, function, args...)
	must(t, err)
	return run
}

func result[T any](t *testing.T, run client.WorkflowRun) (value T) {
	t.Helper()
	must(t, run.Get(within(t), &value))
	return value
}

func history(t *testing.T, c client.Client, run client.WorkflowRun) *historypb.History {
	t.Helper()
	events := c.GetWorkflowHistory(within(t), run.GetID(), run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	h := &historypb.History{}
	for events.HasNext() {
		event, err := events.Next()
		must(t, err)
		h.Events = append(h.Events, event)
	}
	return h
}

func withActivities(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: 2},
	})
}

// Greeter has an activity that is a method.
type Greeter struct{ Greeting string }

func (g *Greeter) Greet(_ context.Context, names ...string) (string, error) {
	return g.Greeting + " " + strings.Join(names, " and "), nil
}

func Greets(ctx workflow.Context, name string) (greeting string, err error) {
	var g *Greeter
	err = workflow.ExecuteActivity(withActivities(ctx), g.Greet, name, "all").Get(ctx, &greeting)
	return
}

func TestAnActivityRunsAndItsHistoryReplays(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Greets)
		w.RegisterActivity(&Greeter{"Hello"})
	})
	run := execute(t, c, Greets, "Ann")
	if got := result[string](t, run); got != "Hello Ann and all" {
		t.Fatal(got)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(Greets)
	must(t, replayer.ReplayWorkflowHistory(quiet{}, history(t, c, run)))
}

func TestCodeThatDoesSomethingElseIsFoundOutAndNamedByItsLine(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Greets)
		w.RegisterActivity(&Greeter{"Hello"})
	})
	run := execute(t, c, Greets, "Ann")
	result[string](t, run)
	replayer := worker.NewWorkflowReplayer()
	other := func(ctx workflow.Context, name string) error { return workflow.Sleep(ctx, time.Hour) }
	replayer.RegisterWorkflowWithOptions(other, workflow.RegisterOptions{Name: "Greets"})
	err := replayer.ReplayWorkflowHistory(quiet{}, history(t, c, run))
	if err == nil || !strings.Contains(err.Error(), "Non-determinism") || !strings.Contains(err.Error(), "sdk_test.go:") {
		t.Fatal(err)
	}
}

func Broken(ctx workflow.Context) error {
	ctx = withActivities(ctx)
	return workflow.ExecuteActivity(ctx, "Breaks").Get(ctx, nil)
}

func TestErrorsPassThroughWithTypesCausesAndDetails(t *testing.T) {
	c := dial(t, "embedded:")
	breaks := func(ctx context.Context) error {
		cause := errors.New("the disk is full")
		return temporal.NewNonRetryableApplicationError("can't write", "Disk", cause, "sda1", activity.GetInfo(ctx).Attempt)
	}
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Broken)
		w.RegisterActivityWithOptions(breaks, activity.RegisterOptions{Name: "Breaks"})
	})
	err := execute(t, c, Broken).Get(within(t), nil)
	var outer *temporal.WorkflowExecutionError
	var middle *temporal.ActivityError
	var inner *temporal.ApplicationError
	if !errors.As(err, &outer) || !errors.As(err, &middle) || !errors.As(err, &inner) {
		t.Fatalf("%T: %v", err, err)
	}
	var disk string
	var attempt int
	must(t, inner.Details(&disk, &attempt))
	if inner.Type() != "Disk" || !inner.NonRetryable() || disk != "sda1" || attempt != 1 || middle.ActivityType().Name != "Breaks" {
		t.Fatalf("%+v", inner)
	}
	if cause := inner.Unwrap(); cause == nil || !strings.Contains(cause.Error(), "the disk is full") {
		t.Fatal(cause)
	}
}

func AsksHowItCame(ctx workflow.Context) (local []bool, err error) {
	eager := workflow.ExecuteActivity(withActivities(ctx), "IsLocal")
	options := workflow.ActivityOptions{StartToCloseTimeout: time.Minute, DisableEagerExecution: true}
	polled := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), "IsLocal")
	for _, started := range []workflow.Future{eager, polled} {
		var isLocal bool
		if err := started.Get(ctx, &isLocal); err != nil {
			return nil, err
		}
		local = append(local, isLocal)
	}
	return local, nil
}

func TestNoActivityThatTheServerHandedOutIsLocal(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(AsksHowItCame)
		isLocal := func(ctx context.Context) (bool, error) { return activity.GetInfo(ctx).IsLocalActivity, nil }
		w.RegisterActivityWithOptions(isLocal, activity.RegisterOptions{Name: "IsLocal"})
	})
	if local := result[[]bool](t, execute(t, c, AsksHowItCame)); !slices.Equal(local, []bool{false, false}) {
		t.Fatal(local)
	}
}

func Panics(workflow.Context) error { panic("oh dear") }

func TestAPanicFailsTheTaskOrTheWorkflowAsAskedFor(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow}, func(w worker.Worker) { w.RegisterWorkflow(Panics) })
	err := execute(t, c, Panics).Get(within(t), nil)
	var panicked *temporal.PanicError
	if !errors.As(err, &panicked) || panicked.Error() != "oh dear" || !strings.Contains(panicked.StackTrace(), "tests.Panics") {
		t.Fatal(err)
	}
}

// failedTask waits for a failed workflow task and returns what it says.
func failedTask(t *testing.T, c client.Client, run client.WorkflowRun) string {
	t.Helper()
	events := c.GetWorkflowHistory(within(t), run.GetID(), "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		must(t, err)
		if failed := event.GetWorkflowTaskFailedEventAttributes(); failed != nil {
			return failed.Failure.Message + "\n" + failed.Failure.StackTrace
		}
	}
	t.Fatal("no workflow task has failed")
	return ""
}

func TestCodeThatBlocksIsFoundOutAndNamedByItsLine(t *testing.T) {
	c := dial(t, "embedded:")
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	blocks := func(workflow.Context) error { <-release; return nil }
	start(t, c, worker.Options{DeadlockDetectionTimeout: 50 * time.Millisecond}, func(w worker.Worker) {
		w.RegisterWorkflowWithOptions(blocks, workflow.RegisterOptions{Name: "Blocks"})
	})
	failed := failedTask(t, c, execute(t, c, "Blocks"))
	_, file, _, _ := runtime.Caller(0)
	if !strings.Contains(failed, "deadlock") || !strings.Contains(failed, filepath.Base(file)+":") {
		t.Fatal(failed)
	}
}

func TestAPanicBlocksTheWorkflowByDefault(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) { w.RegisterWorkflow(Panics) })
	if failed := failedTask(t, c, execute(t, c, Panics)); !strings.Contains(failed, "oh dear") || !strings.Contains(failed, "tests.Panics") {
		t.Fatal(failed)
	}
}

func TestStateOutlivesTheProcessThatEmbedsTheServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	options := client.Options{HostPort: "embedded:" + file, Logger: quiet{}}
	c, err := client.Dial(options)
	must(t, err)
	run := execute(t, c, Greets, "Ann")
	c.Close()
	c = dial(t, options.HostPort)
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Greets)
		w.RegisterActivity(&Greeter{"Hello"})
	})
	var got string
	must(t, c.GetWorkflow(within(t), run.GetID(), "").Get(within(t), &got))
	if got != "Hello Ann and all" {
		t.Fatal(got)
	}
}

func Juggles(ctx workflow.Context) (seen []string, err error) {
	note := func(what string) { seen = append(seen, what) }
	handed := workflow.NewChannel(ctx)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for _, value := range []string{"one", "two"} {
			handed.Send(ctx, value)
		}
		handed.Close()
	})
	for value := ""; handed.Receive(ctx, &value); {
		note(value)
	}
	selector := workflow.NewSelector(ctx)
	selector.AddFuture(workflow.NewTimer(ctx, time.Hour), func(workflow.Future) { note("an hour") })
	selector.AddReceive(workflow.GetSignalChannel(ctx, "go"), func(c workflow.ReceiveChannel, _ bool) {
		var value string
		c.Receive(ctx, &value)
		note(value)
	})
	selector.AddFuture(workflow.NewTimer(ctx, time.Millisecond), func(workflow.Future) { note("soon") })
	selector.Select(ctx)
	selector.Select(ctx)
	workflow.NewSelector(ctx).AddReceive(handed, func(_ workflow.ReceiveChannel, more bool) {
		if !more {
			note("closed")
		}
	}).AddDefault(func() { note("default") }).Select(ctx)
	workflow.NewSelector(ctx).AddDefault(func() { note("default") }).Select(ctx)
	if selector.HasPending() {
		note("pending")
	}
	return seen, nil
}

func TestCoroutinesChannelsAndSelectors(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) { w.RegisterWorkflow(Juggles) })
	run := execute(t, c, Juggles)
	// The first of two selects takes the timer, the second one the signal.
	for len(history(t, c, run).Events) < 8 {
		runtime.Gosched()
	}
	must(t, c.SignalWorkflow(within(t), run.GetID(), "", "go", "gone"))
	want := []string{"one", "two", "soon", "gone", "closed", "default"}
	if got := result[[]string](t, run); !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(Juggles)
	must(t, replayer.ReplayWorkflowHistory(quiet{}, history(t, c, run)))
}

func Busy(ctx workflow.Context) error {
	if err := workflow.SetQueryHandler(ctx, "starts", func() (string, error) {
		return "", workflow.Sleep(ctx, time.Hour)
	}); err != nil {
		return err
	}
	workflow.GetSignalChannel(ctx, "stop").Receive(ctx, nil)
	return nil
}

func TestAQueryHandlerOnlyReadsAndTheStackIsShown(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) { w.RegisterWorkflow(Busy) })
	run := execute(t, c, Busy)
	if _, err := c.QueryWorkflow(within(t), run.GetID(), "", "starts"); err == nil || !strings.Contains(err.Error(), "only reads") {
		t.Fatal(err)
	}
	stack, err := c.QueryWorkflow(within(t), run.GetID(), "", "__stack_trace")
	must(t, err)
	var text string
	must(t, stack.Get(&text))
	if !strings.Contains(text, "tests.Busy") {
		t.Fatal(text)
	}
	must(t, c.SignalWorkflow(within(t), run.GetID(), "", "stop", nil))
	must(t, run.Get(within(t), nil))
}

func TestAnUnknownNamespaceEndsTheWorker(t *testing.T) {
	other, err := client.NewLazyClient(client.Options{HostPort: "embedded:", Namespace: "nowhere", Logger: quiet{}})
	must(t, err)
	defer other.Close()

	w := worker.New(other, queue, worker.Options{})
	w.RegisterWorkflow(Greets)
	if err := w.Run(make(chan any)); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Fatal(err)
	}
}

func TestAClientCopiesItsStateFileWhileWorkflowsGoOn(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	c := dial(t, "embedded:"+at("state.db"))
	ctx := context.Background()
	_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "a", TaskQueue: "nobody's"}, "x")
	must(t, err)
	must(t, client.Backup(ctx, c, at("copy.db")))
	if err := client.Backup(ctx, c, at("copy.db")); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Fatalf("a copy was written over: %v", err)
	}
	_, err = dial(t, "embedded:"+at("copy.db")).DescribeWorkflowExecution(ctx, "a", "")
	must(t, err)
	if err := client.Backup(ctx, dial(t, "embedded:"), at("none.db")); err == nil || !strings.Contains(err.Error(), "in memory") {
		t.Fatalf("state in memory was copied: %v", err)
	}
}

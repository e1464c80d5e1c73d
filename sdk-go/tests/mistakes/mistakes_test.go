//go:build mistakes

// Package mistakes has tests of somebody who makes one mistake in each. All of them fail; TestEachMistakeIsToldAtOnce, in the
// folder above, sees to it that they do so at once.
package mistakes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
)

type order struct {
	Item  string
	Count int
	Tags  map[string]int
	Next  *order
}

func charge(_ context.Context, amount int) (string, error) {
	return fmt.Sprint("charged ", amount), nil
}

func ship(_ context.Context, o order) (string, error) { return o.Item, nil }

var short = workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second}

func dial(t *testing.T) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: "embedded:", ConnectionOptions: client.ConnectionOptions{Embedded: client.EmbeddedOptions{FailFast: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func begin(t *testing.T, c client.Client, register func(worker.Worker)) {
	t.Helper()
	w := worker.New(c, "orders", worker.Options{})
	register(w)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

// await waits for a workflow on a queue, whatever its worker is.
func await(t *testing.T, c client.Client, queue string, function any, args ...any) {
	t.Helper()
	run, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: "order", TaskQueue: queue}, function, args...)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
}

// run runs a workflow with a worker for it.
func run(t *testing.T, function any, args ...any) {
	t.Helper()
	c := dial(t)
	begin(t, c, func(w worker.Worker) {
		w.RegisterWorkflow(function)
		w.RegisterActivity(charge)
		w.RegisterActivity(ship)
	})
	await(t, c, "orders", function, args...)
}

func nilPointer(_ workflow.Context, o *order) (string, error) { return o.Next.Item, nil }

func TestNilPointer(t *testing.T) { run(t, nilPointer, &order{Item: "pen"}) }

func nilMap(_ workflow.Context, o order) error {
	o.Tags["seen"]++
	return nil
}

func TestNilMap(t *testing.T) { run(t, nilMap, order{}) }

func outOfRange(_ workflow.Context) (string, error) {
	items := []string{}
	return items[len(items)], nil
}

func TestIndexOutOfRange(t *testing.T) { run(t, outOfRange) }

func divides(_ workflow.Context, by int) (int, error) { return 10 / by, nil }

func TestDivisionByZero(t *testing.T) { run(t, divides, 0) }

func asserts(_ workflow.Context, value any) (int, error) { return value.(int), nil }

func TestTypeAssertion(t *testing.T) { run(t, asserts, "five") }

func panics(workflow.Context) error { panic("no such item") }

func TestPanic(t *testing.T) { run(t, panics) }

func panicsWithError(workflow.Context) error { panic(errors.New("no such item")) }

func TestPanicWithError(t *testing.T) { run(t, panicsWithError) }

func panicsInCoroutine(ctx workflow.Context) error {
	workflow.Go(ctx, func(workflow.Context) {
		var o *order
		o.Count++
	})
	return workflow.Sleep(ctx, time.Hour)
}

func TestPanicInCoroutine(t *testing.T) { run(t, panicsInCoroutine) }

func noTimeout(ctx workflow.Context) (text string, err error) {
	err = workflow.ExecuteActivity(ctx, charge, 5).Get(ctx, &text)
	if err != nil {
		panic(err)
	}
	return
}

func TestNoTimeout(t *testing.T) { run(t, noTimeout) }

func sleeps(workflow.Context) error {
	time.Sleep(time.Minute) // tidy-allow: sleep: it is the mistake
	return nil
}

func TestSleepOfTheTimePackage(t *testing.T) { run(t, sleeps) }

func waits(workflow.Context) error {
	<-make(chan int)
	return nil
}

func TestChannelOfGo(t *testing.T) { run(t, waits) }

func locks(workflow.Context) error {
	var lock sync.Mutex
	lock.Lock()
	lock.Lock()
	return nil
}

func TestLock(t *testing.T) { run(t, locks) }

func loops(ctx workflow.Context) error {
	for workflow.GetInfo(ctx).Attempt > 0 {
		continue
	}
	return nil
}

func TestEndlessLoop(t *testing.T) { run(t, loops) }

func waitGroup(workflow.Context) error {
	var group sync.WaitGroup
	group.Add(1)
	group.Wait()
	return nil
}

func TestWaitGroup(t *testing.T) { run(t, waitGroup) }

func fetches(workflow.Context) error {
	response, err := http.Get("http://127.0.0.1:9/")
	if err != nil {
		panic(err)
	}
	return response.Body.Close()
}

func TestHTTP(t *testing.T) { run(t, fetches) }

func charges(ctx workflow.Context) (text string, err error) {
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, short), charge, 5).Get(ctx, &text)
	return
}

func TestActivityNotRegistered(t *testing.T) {
	c := dial(t)
	begin(t, c, func(w worker.Worker) {
		w.RegisterWorkflow(charges)
		w.RegisterActivity(ship)
	})
	await(t, c, "orders", charges)
}

func TestWorkerWithoutActivities(t *testing.T) {
	c := dial(t)
	begin(t, c, func(w worker.Worker) { w.RegisterWorkflow(charges) })
	await(t, c, "orders", charges)
}

func misspells(ctx workflow.Context) (text string, err error) {
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, short), "chrage", 5).Get(ctx, &text)
	return
}

func TestActivityMisspelled(t *testing.T) { run(t, misspells) }

func elsewhere(ctx workflow.Context) (text string, err error) {
	options := short
	options.TaskQueue = "payments"
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), charge, 5).Get(ctx, &text)
	return
}

func TestActivityOnAnotherQueue(t *testing.T) { run(t, elsewhere) }

func TestWorkflowOnAnotherQueue(t *testing.T) {
	c := dial(t)
	begin(t, c, func(w worker.Worker) { w.RegisterWorkflow(charges) })
	await(t, c, "order", charges)
}

func TestNoWorker(t *testing.T) { await(t, dial(t), "orders", charges) }

func TestWorkerHasStopped(t *testing.T) {
	c := dial(t)
	w := worker.New(c, "orders", worker.Options{})
	w.RegisterWorkflow(charges)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	w.Stop()
	await(t, c, "orders", charges)
}

func TestWorkerWithoutWorkflows(t *testing.T) {
	c := dial(t)
	begin(t, c, func(w worker.Worker) { w.RegisterActivity(charge) })
	await(t, c, "orders", charges)
}

func TestWorkflowTypeUnknown(t *testing.T) {
	c := dial(t)
	begin(t, c, func(w worker.Worker) { w.RegisterWorkflow(charges) })
	await(t, c, "orders", "charge")
}

func takesOrder(_ workflow.Context, o order) (string, error) { return o.Item, nil }

func TestArgumentOfAnotherType(t *testing.T) { run(t, takesOrder, 5) }

func tooMany(ctx workflow.Context) (text string, err error) {
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, short), charge, 5, 6, func() {}).Get(ctx, &text)
	if err != nil {
		panic(err)
	}
	return
}

func TestArgumentWithoutJSON(t *testing.T) { run(t, tooMany) }

func signalled(ctx workflow.Context) error {
	var o *order
	var count int
	workflow.GetSignalChannel(ctx, "add").Receive(ctx, &count)
	o.Count += count
	return nil
}

func TestPanicAfterSignal(t *testing.T) {
	c := dial(t)
	begin(t, c, func(w worker.Worker) { w.RegisterWorkflow(signalled) })
	run, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: "order", TaskQueue: "orders"}, signalled)
	if err == nil {
		err = c.SignalWorkflow(context.Background(), "order", "", "add", 1)
	}
	if err == nil {
		err = run.Get(context.Background(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestQueryWithoutWorker(t *testing.T) {
	c := dial(t)
	_, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: "order", TaskQueue: "orders"}, charges)
	if err == nil {
		_, err = c.QueryWorkflow(context.Background(), "order", "", "state")
	}
	if err != nil {
		t.Fatal(err)
	}
}

var runs int

func counts(ctx workflow.Context) error {
	runs++
	if runs > 1 {
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, short), charge, 5).Get(ctx, nil)
	}
	return workflow.Sleep(ctx, 100*time.Millisecond)
}

func TestNotDeterministic(t *testing.T) {
	worker.SetStickyWorkflowCacheSize(0)
	run(t, counts)
}

func marshals(workflow.Context) (json.Marshaler, error) { return broken{}, nil }

type broken struct{}

func (broken) MarshalJSON() ([]byte, error) { panic("not to be written") }

func TestResultThatPanics(t *testing.T) { run(t, marshals) }

func reads(workflow.Context) (string, error) {
	text, err := os.ReadFile("/no/such/file")
	if err != nil {
		panic(err)
	}
	return string(text), nil
}

func TestPanicOfAnError(t *testing.T) { run(t, reads) }

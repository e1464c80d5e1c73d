// Package update: updates change a run and answer. They are waited for by stage, asked for again by id, in order, and with
// anything inside. What they answer is the same in every language; the words of errors are each SDK's own.
package update

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	accepted  = enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
	completed = enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED
)

func Double(_ context.Context, number int) (int, error) { return 2 * number, nil }

// Adds is a child: one more than it is given.
func Adds(_ workflow.Context, number int) (int, error) { return number + 1, nil }

// account keeps a balance, and a list of what was done to it.
type account struct {
	balance int
	done    []string
	turns   map[string]bool
}

func Account(ctx workflow.Context) (int, error) {
	a := &account{turns: map[string]bool{}}
	err := workflow.SetQueryHandler(ctx, "all_done", func() ([]string, error) { return a.done, nil })
	for _, handler := range []struct {
		name   string
		handle any
	}{
		{"add", a.add}, {"nothing", a.nothing}, {"with two", a.withTwo}, {"wait_turn", a.waitTurn}, {"work", a.work}, {"fail", a.fail},
		{"fail_with_cancel", a.failWithCancel}, {"who", a.who},
	} {
		err = errors.Join(err, workflow.SetUpdateHandler(ctx, handler.name, handler.handle))
	}
	if err != nil {
		return 0, err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var name string
			workflow.GetSignalChannel(ctx, "take_turn").Receive(ctx, &name)
			a.turns[name] = true
		}
	})
	var end string
	workflow.GetSignalChannel(ctx, "finish").Receive(ctx, &end)
	switch end {
	case "next":
		return 0, workflow.NewContinueAsNewError(ctx, Account)
	case "patiently":
		if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
			return 0, err
		}
	}
	return a.balance, nil
}

// hear takes in what was signalled before. A handler begins before other coroutines see the signals of its task.
func (a *account) hear(ctx workflow.Context) {
	var word string
	for workflow.GetSignalChannel(ctx, "note").ReceiveAsync(&word) {
		a.done = append(a.done, word)
	}
}

func (a *account) add(ctx workflow.Context, number int) (int, error) {
	a.hear(ctx)
	a.balance += number
	a.done = append(a.done, fmt.Sprint("add ", number))
	return a.balance, nil
}

func (a *account) nothing(workflow.Context) error {
	a.done = append(a.done, "nothing")
	return nil
}

func (a *account) withTwo(_ workflow.Context, first string, second []int) ([]any, error) {
	return []any{second, first}, nil
}

// waitTurn begins at once, and ends when "take_turn" has its name.
func (a *account) waitTurn(ctx workflow.Context, name string) (string, error) {
	a.done = append(a.done, "begin "+name)
	if err := workflow.Await(ctx, func() bool { return a.turns[name] }); err != nil {
		return "", err
	}
	a.done = append(a.done, "end "+name)
	return "it was " + name + "'s turn", nil
}

// work has a timer, an activity, a child, and another handler.
func (a *account) work(ctx workflow.Context, number int) (int, error) {
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return 0, err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	if err := workflow.ExecuteActivity(ctx, Double, number).Get(ctx, &number); err != nil {
		return 0, err
	}
	if err := workflow.ExecuteChildWorkflow(ctx, Adds, number).Get(ctx, &number); err != nil {
		return 0, err
	}
	return a.add(ctx, number)
}

func (a *account) fail(ctx workflow.Context, late bool) error {
	if late {
		if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return temporal.NewApplicationError("no money", "Poor", "a detail")
}

func (a *account) failWithCancel(ctx workflow.Context) error {
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return err
	}
	return temporal.NewCanceledError("the update is off")
}

func (a *account) who(ctx workflow.Context) ([]string, error) {
	before := *workflow.GetCurrentUpdateInfo(ctx)
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return nil, err
	}
	if after := *workflow.GetCurrentUpdateInfo(ctx); after != before {
		return nil, fmt.Errorf("%v became %v", before, after)
	}
	return []string{before.ID, before.Name}, nil
}

// caller sends updates to a run.
type caller struct {
	ctx context.Context
	env *harness.Env
	run client.WorkflowRun
}

func begin(ctx context.Context, env *harness.Env) caller {
	return caller{ctx, env, env.Start(ctx, Account)}
}

func (c caller) send(stage client.WorkflowUpdateStage, id, name string, args ...any) client.WorkflowUpdateHandle {
	handle, err := c.env.Client.UpdateWorkflow(c.ctx, client.UpdateWorkflowOptions{
		WorkflowID: c.run.GetID(), UpdateID: id, UpdateName: name, Args: args, WaitForStage: stage,
	})
	harness.Must(err)
	return handle
}

func (c caller) begin(id, name string, args ...any) client.WorkflowUpdateHandle {
	return c.send(client.WorkflowUpdateStageAccepted, id, name, args...)
}

func (c caller) execute(id, name string, args ...any) client.WorkflowUpdateHandle {
	return c.send(client.WorkflowUpdateStageCompleted, id, name, args...)
}

func (c caller) handle(runID, id string) client.WorkflowUpdateHandle {
	return c.env.Client.GetWorkflowUpdateHandle(client.GetWorkflowUpdateHandleOptions{WorkflowID: c.run.GetID(), RunID: runID, UpdateID: id})
}

func (c caller) signal(name string, arg any) {
	harness.Must(c.env.Client.SignalWorkflow(c.ctx, c.run.GetID(), "", name, arg))
}

func (c caller) done() (done []string) {
	value, err := c.env.Client.QueryWorkflow(c.ctx, c.run.GetID(), "", "all_done")
	harness.Must(err)
	harness.Must(value.Get(&done))
	return done
}

// kinds are what the history has of updates.
func (c caller) kinds() (kinds []enums.EventType) {
	history, err := harness.History(c.ctx, c.env.Client, c.run.GetID(), c.run.GetRunID())
	harness.Must(err)
	for _, kind := range harness.Types(history) {
		if kind == accepted || kind == completed {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func pairs(count int) []enums.EventType {
	return slices.Repeat([]enums.EventType{accepted, completed}, count)
}

func answer[T any](ctx context.Context, handle client.WorkflowUpdateHandle) (value T) {
	harness.Must(handle.Get(ctx, &value))
	return value
}

func equal[T any](got, want T) {
	harness.Assert(fmt.Sprint(got) == fmt.Sprint(want), "%v instead of %v", got, want)
}

// failure is that of an application, and what it is called.
func failure(err error, kind string) *temporal.ApplicationError {
	var application *temporal.ApplicationError
	harness.Assert(errors.As(err, &application) && application.Type() == kind, "%v instead of %s", err, kind)
	return application
}

var Behaviour = harness.Behaviour{
	Name: "update", Workflows: []any{Account, Adds}, Activities: []any{Double},
	Check: func(ctx context.Context, env *harness.Env) error {
		checkAnswers(ctx, env)
		checkStages(ctx, env)
		checkOrder(ctx, env)
		checkFailures(ctx, env)
		for _, how := range []string{"now", "next", "terminated"} {
			checkEnd(ctx, env, how)
		}
		checkPatience(ctx, env)
		checkNobodyThere(ctx, env)
		return nil
	},
}

func checkAnswers(ctx context.Context, env *harness.Env) {
	c := begin(ctx, env)
	for i, want := range []int{1, 3, 6} {
		equal(answer[int](ctx, c.execute("", "add", i+1)), want)
	}
	harness.Must(c.execute("", "nothing").Get(ctx, nil))
	equal(answer[*int](ctx, c.execute("", "nothing")), nil)
	equal(answer[[]any](ctx, c.execute("", "with two", "a", []int{1, 2})), []any{[]any{1, 2}, "a"})
	// 2 * 5 + 1
	equal(answer[int](ctx, c.execute("", "work", 5)), 17)
	equal(answer[[]string](ctx, c.execute("by this id", "who")), []string{"by this id", "who"})
	made := c.execute("", "who")
	harness.Assert(made.UpdateID() != "", "it has no id")
	equal(answer[[]string](ctx, made), []string{made.UpdateID(), "who"})
	c.signal("note", "signalled")
	c.execute("", "add", 0)
	equal(c.done(), []string{"add 1", "add 2", "add 3", "nothing", "nothing", "add 11", "signalled", "add 0"})
	c.signal("finish", "now")
	equal(harness.Result[int](ctx, c.run), 17)
	equal(c.kinds(), pairs(10))
}

// checkStages has an update that is accepted and not completed; by its id others get the same answer.
func checkStages(ctx context.Context, env *harness.Env) {
	c := begin(ctx, env)
	first := c.begin("ann", "wait_turn", "Ann")
	equal([]string{first.UpdateID(), first.WorkflowID(), first.RunID()}, []string{"ann", c.run.GetID(), c.run.GetRunID()})
	again, elsewhere, named := c.begin("ann", "wait_turn", "Ann"), c.handle("", "ann"), c.handle(c.run.GetRunID(), "ann")
	answers := make(chan string)
	for _, handle := range []client.WorkflowUpdateHandle{first, again, elsewhere, named} {
		go func() { answers <- said(ctx, handle) }()
	}
	go func() { answers <- said(ctx, c.execute("ann", "wait_turn", "Ann")) }()
	equal(c.done(), []string{"begin Ann"})
	c.signal("take_turn", "Ann")
	for range 5 {
		equal(<-answers, "it was Ann's turn")
	}
	// Also long after, with other arguments, under another name, and when the run is closed.
	equal(said(ctx, c.execute("ann", "wait_turn", "Bob")), "it was Ann's turn")
	equal(said(ctx, c.execute("ann", "no such handler")), "it was Ann's turn")
	equal(c.done(), []string{"begin Ann", "end Ann"})
	equal(c.kinds(), pairs(1))
	c.signal("finish", "now")
	equal(harness.Result[int](ctx, c.run), 0)
	equal(said(ctx, elsewhere), "it was Ann's turn")
	equal(said(ctx, c.handle("", "ann")), "it was Ann's turn")
	missing(c.handle("", "no-such-update").Get(ctx, nil))
	for _, stage := range []client.WorkflowUpdateStage{client.WorkflowUpdateStageAdmitted, client.WorkflowUpdateStageUnspecified} {
		_, err := env.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: c.run.GetID(), UpdateName: "add", WaitForStage: stage})
		harness.Assert(err != nil, "nobody can wait for stage %d", stage)
	}
}

func said(ctx context.Context, handle client.WorkflowUpdateHandle) string {
	var word string
	if err := handle.Get(ctx, &word); err != nil {
		return err.Error()
	}
	return word
}

// missing is what the server says of what isn't there.
func missing(err error) {
	var notFound *serviceerror.NotFound
	harness.Assert(errors.As(err, &notFound), "%v instead of not found", err)
}

// checkOrder has several under way: they begin in the order in which they were accepted, and each ends when it can.
func checkOrder(ctx context.Context, env *harness.Env) {
	c := begin(ctx, env)
	names := []string{"a", "b", "c", "d", "e"}
	var updates []client.WorkflowUpdateHandle
	var begun, ended []string
	for _, name := range names {
		updates = append(updates, c.begin("", "wait_turn", name))
		begun, ended = append(begun, "begin "+name), append(ended, "end "+name)
	}
	for _, name := range slices.Backward(names) {
		c.signal("take_turn", name)
	}
	for i, update := range updates {
		equal(said(ctx, update), "it was "+names[i]+"'s turn")
	}
	done := c.done()
	equal(done[:5], begun)
	equal(slices.Sorted(slices.Values(done[5:])), ended)
	// At once: as many answers as there are updates, and nothing lost or done twice.
	sums := make([]int, 10)
	var all sync.WaitGroup
	for i := range sums {
		all.Go(func() { sums[i] = answer[int](ctx, c.execute("", "add", 1)) })
	}
	all.Wait()
	equal(slices.Sorted(slices.Values(sums)), []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	c.signal("finish", "now")
	equal(harness.Result[int](ctx, c.run), 10)
}

// checkFailures has handlers that fail: their callers are told, and the run goes on.
func checkFailures(ctx context.Context, env *harness.Env) {
	c := begin(ctx, env)
	for _, late := range []bool{false, true} {
		id := fmt.Sprint("fails ", late)
		failed := failure(c.execute(id, "fail", late).Get(ctx, nil), "Poor")
		var detail string
		harness.Must(failed.Details(&detail))
		equal(failed.Message()+", "+detail, "no money, a detail")
		failure(c.handle("", id).Get(ctx, nil), "Poor")
	}
	var canceled *temporal.CanceledError
	err := c.execute("", "fail_with_cancel").Get(ctx, nil)
	harness.Assert(errors.As(err, &canceled), "%v instead of a cancellation", err)
	equal(c.kinds(), pairs(3))
	// Nobody handles it: refused, and nothing in the history.
	for _, handle := range []client.WorkflowUpdateHandle{c.begin("", "no such handler", 1), c.execute("", "no such handler", 1)} {
		harness.Assert(strings.Contains(said(ctx, handle), "no such handler"), "%s", said(ctx, handle))
	}
	// One that can't be decoded is refused as well.
	harness.Assert(c.execute("", "add", "text").Get(ctx, nil) != nil, "text is no number")
	equal(c.kinds(), pairs(3))
	equal(answer[int](ctx, c.execute("", "add", 1)), 1)
	c.signal("finish", "now")
	equal(harness.Result[int](ctx, c.run), 1)
}

// checkEnd tells what becomes of an update whose run ends before it.
func checkEnd(ctx context.Context, env *harness.Env, how string) {
	c := begin(ctx, env)
	update := c.begin("early", "wait_turn", "nobody")
	waiting := make(chan error)
	go func() { waiting <- update.Get(ctx, nil) }()
	if how == "terminated" {
		harness.Must(env.Client.TerminateWorkflow(ctx, c.run.GetID(), "", ""))
	} else {
		c.signal("finish", how)
	}
	first := update.RunID()
	harness.Assert(failure(<-waiting, "AcceptedUpdateCompletedWorkflow").NonRetryable(), "it is retryable")
	failure(c.handle(first, "early").Get(ctx, nil), "AcceptedUpdateCompletedWorkflow")
	if how == "next" {
		// The next run knows nothing of it, and has updates of its own.
		equal(answer[int](ctx, c.execute("early", "add", 5)), 5)
		c.signal("finish", "now")
		equal(harness.Result[int](ctx, c.run), 5)
	}
}

// checkPatience has a run that waits for its handlers.
func checkPatience(ctx context.Context, env *harness.Env) {
	c := begin(ctx, env)
	update := c.begin("", "wait_turn", "Ann")
	c.signal("finish", "patiently")
	equal(c.done(), []string{"begin Ann"})
	c.signal("take_turn", "Ann")
	equal(said(ctx, update), "it was Ann's turn")
	equal(harness.Result[int](ctx, c.run), 0)
}

// checkNobodyThere asks closed and missing runs, and one for which no worker polls.
func checkNobodyThere(ctx context.Context, env *harness.Env) {
	c := begin(ctx, env)
	c.signal("finish", "now")
	harness.Result[int](ctx, c.run)
	adds := func(ctx context.Context, id string) error {
		_, err := env.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID: id, UpdateName: "add", Args: []any{1}, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		return err
	}
	missing(adds(ctx, c.run.GetID()))
	missing(adds(ctx, env.NewID()))
	nobody := client.GetWorkflowUpdateHandleOptions{WorkflowID: env.NewID(), UpdateID: "no-such-update"}
	missing(env.Client.GetWorkflowUpdateHandle(nobody).Get(ctx, nil))
	alone, err := env.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: env.NewID(), TaskQueue: env.TaskQueue + "-nobody"}, Account)
	harness.Must(err)
	brief, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	cancelled, cancelIt := context.WithCancel(ctx)
	time.AfterFunc(time.Second, cancelIt)
	for _, patience := range []context.Context{brief, cancelled} {
		var gaveUp *client.WorkflowUpdateServiceTimeoutOrCanceledError
		err := adds(patience, alone.GetID())
		harness.Assert(errors.As(err, &gaveUp), "%v: nobody can have answered", err)
	}
	harness.Must(env.Client.TerminateWorkflow(ctx, alone.GetID(), "", ""))
}

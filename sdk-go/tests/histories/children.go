package histories

import (
	"errors"
	"fmt"
	"time"

	"durably.dev/sdk/temporal"
	"durably.dev/sdk/workflow"
)

// What a Child does.
const (
	returns = iota
	fails
	retries
	continues
	listens
	ends
	timesOut
)

// Child is what the programs below start.
func Child(ctx workflow.Context, does int) (string, error) {
	info := workflow.GetInfo(ctx)
	switch does {
	case fails:
		return "", temporal.NewNonRetryableApplicationError("no funds", "Funds", errors.New("the account is empty"), 7)
	case retries:
		if info.Attempt < 3 {
			return "", fmt.Errorf("attempt %d", info.Attempt)
		}
	case continues:
		return "", workflow.NewContinueAsNewError(ctx, Child, returns)
	case listens:
		var word string
		workflow.GetSignalChannel(ctx, "word").Receive(ctx, &word)
		return word, nil
	case ends, timesOut:
		return "", workflow.Sleep(ctx, time.Hour)
	}
	return fmt.Sprint("child of ", info.ParentWorkflowExecution.ID), nil
}

// told is what a workflow saw of how another one ended, without what differs from run to run.
func told(err error) string {
	if err == nil {
		return "well"
	}
	text := ""
	for ; err != nil; err = errors.Unwrap(err) {
		switch e := err.(type) {
		case *temporal.ChildWorkflowExecutionError:
			text += fmt.Sprintf("%s of %v to %v, %v: ", e.WorkflowType(), e.InitiatedEventID(), e.StartedEventID(), e.RetryState())
		case *temporal.ApplicationError:
			text += e.Message() + ": "
		default:
			text += err.Error() + ": "
		}
	}
	return text
}

func named(ctx workflow.Context, name string) workflow.Context {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID + "-" + name
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: id})
}

// Children has children that end in all ways, beside timers and activities whose ids depend on how many events they make.
func Children(ctx workflow.Context, count int) (string, error) {
	ctx = options(ctx)
	log := ""
	for _, does := range []int{returns, fails, retries, continues, timesOut} {
		options := workflow.ChildWorkflowOptions{RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond}}
		if does == timesOut {
			options = workflow.ChildWorkflowOptions{WorkflowRunTimeout: 200 * time.Millisecond, StaticSummary: "too short"}
		}
		timer := workflow.NewTimer(ctx, time.Millisecond)
		child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), Child, does)
		activity := workflow.ExecuteActivity(ctx, Charge, does)
		log += told(child.Get(ctx, nil)) + "; "
		if err := errors.Join(timer.Get(ctx, nil), activity.Get(ctx, nil)); err != nil {
			return "", err
		}
	}
	slots, group := workflow.NewSemaphore(ctx, 3), workflow.NewWaitGroup(ctx)
	for i := range count {
		group.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer group.Done()
			if err := slots.Acquire(ctx, 1); err != nil {
				return
			}
			defer slots.Release(1)
			ctx = named(ctx, fmt.Sprint(i))
			log += told(workflow.ExecuteChildWorkflow(ctx, Child, i%2).Get(ctx, nil)) + "; "
		})
	}
	group.Wait(ctx)
	heard := workflow.ExecuteChildWorkflow(ctx, Child, listens)
	sent := heard.SignalChildWorkflow(ctx, "word", "heard")
	if err := workflow.ExecuteActivity(ctx, Charge, count).Get(ctx, nil); err != nil {
		return "", err
	}
	var word string
	err := errors.Join(sent.Get(ctx, nil), heard.Get(ctx, &word))
	return log + word, err
}

// TakenIDs has children whose ids are taken: by another child, which is open or has ended, and by the workflow itself.
func TakenIDs(ctx workflow.Context, _ int) (string, error) {
	ctx = options(ctx)
	same := named(ctx, "same")
	first := workflow.ExecuteChildWorkflow(same, Child, returns)
	second := workflow.ExecuteChildWorkflow(same, Child, returns)
	log := told(second.GetChildWorkflowExecution().Get(ctx, nil)) + told(second.Get(ctx, nil)) + told(first.Get(ctx, nil))
	log += told(workflow.ExecuteChildWorkflow(same, Child, returns).Get(ctx, nil))
	own := workflow.WithWorkflowID(ctx, workflow.GetInfo(ctx).WorkflowExecution.ID)
	refused := workflow.ExecuteChildWorkflow(own, Child, returns)
	selector := workflow.NewSelector(ctx)
	selector.AddFuture(refused.GetChildWorkflowExecution(), func(workflow.Future) { log += "start; " })
	selector.AddFuture(refused, func(workflow.Future) { log += "result; " })
	selector.Select(ctx)
	return log + told(refused.Get(ctx, nil)), workflow.ExecuteActivity(ctx, Charge, 1).Get(ctx, nil)
}

// CancelledChildren are cancelled before they have started, once they have, together, and too late.
func CancelledChildren(ctx workflow.Context, _ int) (string, error) {
	ctx = options(ctx)
	log := ""
	for _, wait := range []bool{false, true} {
		early, cancel := workflow.WithCancel(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WaitForCancellation: wait}))
		child := workflow.ExecuteChildWorkflow(early, Child, ends)
		cancel()
		timer := workflow.NewTimer(ctx, time.Millisecond)
		if err := errors.Join(child.GetChildWorkflowExecution().Get(ctx, nil), timer.Get(ctx, nil)); err != nil {
			return "", err
		}
		// The cancellation has just been asked for: it is an event before these.
		activity, timer := workflow.ExecuteActivity(ctx, Charge, 1), workflow.NewTimer(ctx, time.Millisecond)
		log += told(child.Get(ctx, nil))
		if err := errors.Join(activity.Get(ctx, nil), timer.Get(ctx, nil)); err != nil {
			return "", err
		}
	}
	late, cancel := workflow.WithCancel(ctx)
	group := []workflow.ChildWorkflowFuture{workflow.ExecuteChildWorkflow(late, Child, ends), workflow.ExecuteChildWorkflow(late, Child, ends)}
	ended := workflow.ExecuteChildWorkflow(late, Child, returns)
	for _, child := range append(group, ended) {
		if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
			return "", err
		}
	}
	log += told(ended.Get(ctx, nil))
	before := workflow.ExecuteActivity(ctx, Charge, 2)
	cancel()
	after := workflow.NewTimer(ctx, time.Millisecond)
	for _, child := range group {
		log += told(child.Get(ctx, nil))
	}
	never := workflow.ExecuteChildWorkflow(late, Child, returns)
	log += told(never.Get(ctx, nil)) + told(never.GetChildWorkflowExecution().Get(ctx, nil))
	return log, errors.Join(before.Get(ctx, nil), after.Get(ctx, nil))
}

// Guardian is cancelled from outside, with two children: one that is cancelled with it, one in a disconnected context.
func Guardian(ctx workflow.Context, _ int) (string, error) {
	ctx = options(ctx)
	apart, _ := workflow.NewDisconnectedContext(ctx)
	kept := workflow.ExecuteChildWorkflow(apart, Child, listens)
	err := workflow.ExecuteChildWorkflow(ctx, Child, ends).Get(ctx, nil)
	var word string
	if err := kept.SignalChildWorkflow(apart, "word", "kept").Get(apart, nil); err != nil {
		return "", err
	}
	if err := kept.Get(apart, &word); err != nil || word != "kept" {
		return "", fmt.Errorf("%q: %w", word, err)
	}
	return "", err
}

// Speaks signals and cancels workflows that are there, and others that are not.
func Speaks(ctx workflow.Context, _ int) (string, error) {
	ctx = options(ctx)
	log := ""
	abandoned := named(ctx, "listens")
	listener := workflow.ExecuteChildWorkflow(abandoned, Child, listens)
	sleeper := workflow.ExecuteChildWorkflow(ctx, Child, ends)
	var listening, sleeping workflow.Execution
	err := errors.Join(listener.GetChildWorkflowExecution().Get(ctx, &listening), sleeper.GetChildWorkflowExecution().Get(ctx, &sleeping))
	if err != nil {
		return "", err
	}
	before := workflow.ExecuteActivity(ctx, Charge, 1)
	sent := workflow.SignalExternalWorkflow(ctx, listening.ID, listening.RunID, "word", "said")
	requested := workflow.RequestCancelExternalWorkflow(ctx, sleeping.ID, "")
	after := workflow.NewTimer(ctx, time.Millisecond)
	var word string
	for _, future := range []workflow.Future{sent, requested, listener, sleeper, before, after} {
		log += told(future.Get(ctx, nil)) + "; "
	}
	err = listener.Get(ctx, &word)
	for _, id := range []string{listening.ID, workflow.GetInfo(ctx).WorkflowExecution.ID, "nobody"} {
		log += told(workflow.SignalExternalWorkflow(ctx, id, "", "word", nil).Get(ctx, nil))
		log += told(workflow.RequestCancelExternalWorkflow(ctx, id, "").Get(ctx, nil))
	}
	return log + word, errors.Join(err, workflow.ExecuteActivity(ctx, Charge, 2).Get(ctx, nil))
}

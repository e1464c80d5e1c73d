// Package histories has workflows whose histories cross over: those in tests/replay/histories were recorded with the official
// SDK on a real Temporal server, and replay with this one. The text is the same for both SDKs: only the imports differ.
package histories

import (
	"context"
	"errors"
	"fmt"
	"time"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/workflow"
)

// Program is a workflow. What it returns tells what it saw.
type Program = func(workflow.Context, int) (string, error)

// Programs are the workflows by name.
var Programs = map[string]Program{
	"Order": Order, "Parallel": Parallel, "Pool": Pool, "Waits": Waits, "Races": Races, "Cancellations": Cancellations,
	"CleansUp": CleansUp, "Leaves": Leaves, "Turns": Turns, "InFlight": InFlight,
	"Child": Child, "Children": Children, "TakenIDs": TakenIDs, "CancelledChildren": CancelledChildren, "Guardian": Guardian,
	"Speaks": Speaks, "Ledger": Ledger, "Latecomer": Latecomer, "Abandons": Abandons,
}

// Activities are what they call.
var Activities = []any{Charge, Flaky, Refuse, Work, Step0, Step1, Step2, Park}

func Charge(_ context.Context, amount int) (string, error) {
	return fmt.Sprintf("receipt %d", amount), nil
}

// Flaky succeeds at the third attempt.
func Flaky(ctx context.Context) (int32, error) {
	if attempt := activity.GetInfo(ctx).Attempt; attempt < 3 {
		return 0, fmt.Errorf("attempt %d", attempt)
	}
	return 3, nil
}

func Refuse(context.Context) error {
	return temporal.NewNonRetryableApplicationError("no funds", "Funds", nil, 7)
}

func Work(_ context.Context, name string, for_ time.Duration) (string, error) {
	// tidy-allow: sleep: the activity takes as long as it is told, so that the recording has an order
	time.Sleep(for_)
	return name, nil
}

// Histories show by these who did something, where the arguments of an activity would not.
func Step0(context.Context) error { return nil }
func Step1(context.Context) error { return nil }
func Step2(context.Context) error { return nil }

func step(i int) any { return []any{Step0, Step1, Step2}[i%3] }

// Park heartbeats until it is cancelled.
func Park(ctx context.Context) error {
	for ctx.Err() == nil {
		activity.RecordHeartbeat(ctx)
		// tidy-allow: sleep: stands for long work, done in steps
		time.Sleep(20 * time.Millisecond)
	}
	return ctx.Err()
}

func options(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, HeartbeatTimeout: 2 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond},
	})
}

// Order has activities in sequence and with retries, an error that is handled, a timer, a signal with a time-out and a query.
func Order(ctx workflow.Context, amount int) (string, error) {
	status := "charging"
	if err := workflow.SetQueryHandler(ctx, "status", func() (string, error) { return status, nil }); err != nil {
		return "", err
	}
	ctx = options(ctx)
	var receipt string
	if err := workflow.ExecuteActivity(ctx, Charge, amount).Get(ctx, &receipt); err != nil {
		return "", err
	}
	if err := workflow.ExecuteActivity(ctx, Flaky).Get(ctx, nil); err != nil {
		return "", err
	}
	status = "waiting"
	if err := workflow.Sleep(ctx, 50*time.Millisecond); err != nil {
		return "", err
	}
	approved := false
	timerCtx, cancelTimer := workflow.WithCancel(ctx)
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(workflow.GetSignalChannel(ctx, "approve"), func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, &approved)
	})
	selector.AddFuture(workflow.NewTimer(timerCtx, 500*time.Millisecond), func(workflow.Future) {})
	selector.Select(ctx)
	cancelTimer()
	if !approved {
		status = "refused"
		return "refused", workflow.ExecuteActivity(ctx, Charge, -amount).Get(ctx, nil)
	}
	var application *temporal.ApplicationError
	if err := workflow.ExecuteActivity(ctx, Refuse).Get(ctx, nil); !errors.As(err, &application) {
		return "", fmt.Errorf("not refused: %w", err)
	}
	return receipt, workflow.ExecuteActivity(ctx, Charge, -amount).Get(ctx, nil)
}

// Parallel has activities side by side, by futures, coroutines and a selector.
func Parallel(ctx workflow.Context, count int) (string, error) {
	ctx = options(ctx)
	var futures []workflow.Future
	for i := range count {
		futures = append(futures, workflow.ExecuteActivity(ctx, Work, fmt.Sprint(i), time.Duration(count-i)*20*time.Millisecond))
	}
	group := workflow.NewWaitGroup(ctx)
	for i := range count {
		group.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer group.Done()
			_ = workflow.Sleep(ctx, time.Duration(i)*15*time.Millisecond)
			_ = workflow.ExecuteActivity(ctx, Charge, i).Get(ctx, nil)
		})
	}
	order := ""
	selector := workflow.NewSelector(ctx)
	for _, future := range futures {
		selector.AddFuture(future, func(f workflow.Future) {
			var name string
			if f.Get(ctx, &name) == nil {
				order += name
			}
			futures = append(futures, workflow.ExecuteActivity(ctx, step(len(name)+int(name[0]))))
		})
	}
	for range count {
		selector.Select(ctx)
	}
	group.Wait(ctx)
	for _, future := range futures {
		if err := future.Get(ctx, nil); err != nil {
			return "", err
		}
	}
	return order, nil
}

// Pool has coroutines that take their work from a channel: which of them gets what depends on who has waited the longest.
func Pool(ctx workflow.Context, jobs int) (string, error) {
	ctx = options(ctx)
	work, done := workflow.NewChannel(ctx), workflow.NewBufferedChannel(ctx, 2)
	for i := range 3 {
		workflow.GoNamed(ctx, fmt.Sprint("worker ", i), func(ctx workflow.Context) {
			for {
				var job int
				if !work.Receive(ctx, &job) {
					return
				}
				name := fmt.Sprintf("worker %d, job %d", i, job)
				_ = workflow.ExecuteActivity(ctx, Work, name, time.Duration(3-i)*30*time.Millisecond).Get(ctx, nil)
				_ = workflow.ExecuteActivity(ctx, step(i)).Get(ctx, nil)
				done.Send(ctx, name)
			}
		})
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for job := range jobs {
			work.Send(ctx, job)
			if job == 2 {
				// All are free again, and have come back in another order than they were made in.
				_ = workflow.Sleep(ctx, 300*time.Millisecond)
			}
		}
		work.Close()
	})
	log := ""
	for range jobs {
		var name string
		done.Receive(ctx, &name)
		log += name + "; "
		if err := workflow.ExecuteActivity(ctx, Work, "after "+name, time.Millisecond).Get(ctx, nil); err != nil {
			return "", err
		}
	}
	return log, nil
}

// Waits has conditions with time-outs, of which some hold at once, some later and some never.
func Waits(ctx workflow.Context, first int) (string, error) {
	ctx = options(ctx)
	count, log := first, ""
	workflow.Go(ctx, func(ctx workflow.Context) {
		for workflow.GetSignalChannel(ctx, "count").Receive(ctx, nil) {
			count++
		}
	})
	for goal := range 4 {
		ok, err := workflow.AwaitWithTimeout(ctx, 400*time.Millisecond, func() bool { return count > goal })
		if err != nil {
			return "", err
		}
		log += fmt.Sprint(ok, " ")
		if err := workflow.ExecuteActivity(ctx, Charge, count).Get(ctx, nil); err != nil {
			return "", err
		}
	}
	var text string
	ok, more := workflow.GetSignalChannel(ctx, "text").ReceiveWithTimeout(ctx, 100*time.Millisecond, &text)
	log += fmt.Sprint(ok, more)
	if err := workflow.Await(ctx, func() bool { return count >= 4 }); err != nil {
		return "", err
	}
	return log, workflow.Sleep(ctx, time.Millisecond)
}

// Races has a timer and a signal that come with one task: the first in history wins.
func Races(ctx workflow.Context, _ int) (string, error) {
	ctx = options(ctx)
	timer := workflow.NewTimer(ctx, 300*time.Millisecond)
	signal := workflow.GetSignalChannel(ctx, "go")
	won := ""
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(signal, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil); won += "signal " })
	selector.AddFuture(timer, func(workflow.Future) { won += "timer " })
	for range 2 {
		selector.Select(ctx)
		if err := workflow.ExecuteActivity(ctx, step(int(won[len(won)-2]))).Get(ctx, nil); err != nil {
			return "", err
		}
	}
	return won, nil
}

// Cancellations are of timers and activities: before their task ends, while they wait, while they run, and too late.
func Cancellations(ctx workflow.Context, _ int) (string, error) {
	ctx = options(ctx)
	early, cancel := workflow.WithCancel(ctx)
	never := workflow.NewTimer(early, time.Hour)
	unsent := workflow.ExecuteActivity(early, Charge, 1)
	waited := workflow.ExecuteActivity(workflow.WithWaitForCancellation(early, true), Charge, 2)
	cancel()
	after := workflow.ExecuteActivity(ctx, Charge, 3)
	late := workflow.NewTimer(early, time.Hour)
	for _, future := range []workflow.Future{never, unsent, waited, late} {
		if err := future.Get(ctx, nil); !temporal.IsCanceledError(err) {
			return "", fmt.Errorf("not cancelled: %w", err)
		}
	}
	if err := after.Get(ctx, nil); err != nil {
		return "", err
	}
	for _, wait := range []bool{true, false} {
		running, cancel := workflow.WithCancel(ctx)
		parked := workflow.ExecuteActivity(workflow.WithWaitForCancellation(running, wait), Park)
		unstarted := workflow.ExecuteActivity(workflow.WithTaskQueue(running, "nobody"), Park)
		_ = workflow.Sleep(ctx, 300*time.Millisecond)
		cancel()
		timer := workflow.NewTimer(ctx, 10*time.Millisecond)
		for _, future := range []workflow.Future{parked, unstarted} {
			if err := future.Get(ctx, nil); !temporal.IsCanceledError(err) {
				return "", fmt.Errorf("not cancelled: %w", err)
			}
		}
		if err := timer.Get(ctx, nil); err != nil {
			return "", err
		}
		cancel()
	}
	return "all cancelled", nil
}

// CleansUp is cancelled from outside.
func CleansUp(ctx workflow.Context, amount int) (string, error) {
	ctx = options(ctx)
	parked := workflow.ExecuteActivity(workflow.WithWaitForCancellation(ctx, true), Park)
	_ = workflow.Sleep(ctx, time.Hour)
	err := parked.Get(ctx, nil)
	detached, _ := workflow.NewDisconnectedContext(ctx)
	if cleaned := workflow.ExecuteActivity(detached, Charge, -amount).Get(detached, nil); cleaned != nil {
		return "", cleaned
	}
	return "", err
}

// Leaves ends while coroutines of its go on, and while an activity is being cancelled that nobody has begun.
func Leaves(ctx workflow.Context, _ int) (string, error) {
	ctx = options(ctx)
	workflow.Go(ctx, func(ctx workflow.Context) {
		_ = workflow.Sleep(ctx, 10*time.Millisecond)
		_ = workflow.ExecuteActivity(ctx, Charge, 1).Get(ctx, nil)
	})
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return "", err
	}
	other, cancel := workflow.WithCancel(ctx)
	workflow.ExecuteActivity(other, Charge, 2)
	cancel()
	return "left", nil
}

// Turns goes on as a new run.
func Turns(ctx workflow.Context, left int) (string, error) {
	ctx = options(ctx)
	if err := workflow.ExecuteActivity(ctx, Charge, left).Get(ctx, nil); err != nil {
		return "", err
	}
	if left == 0 {
		return "over", nil
	}
	return "", workflow.NewContinueAsNewError(ctx, Turns, left-1)
}

// InFlight has a bit of everything on its way when it is looked at, and ends after a signal.
func InFlight(ctx workflow.Context, amount int) (string, error) {
	ctx = options(ctx)
	if err := workflow.ExecuteActivity(ctx, Charge, amount).Get(ctx, nil); err != nil {
		return "", err
	}
	inner, cancel := workflow.WithCancel(ctx)
	timer := workflow.NewTimer(inner, time.Hour)
	named := workflow.WithActivityOptions(inner, workflow.ActivityOptions{
		ActivityID: "parking", StartToCloseTimeout: time.Hour, HeartbeatTimeout: 2 * time.Second, WaitForCancellation: true,
	})
	parked := workflow.ExecuteActivity(named, Park)
	var word string
	workflow.GetSignalChannel(ctx, "finish").Receive(ctx, &word)
	cancel()
	if err := timer.Get(ctx, nil); !temporal.IsCanceledError(err) {
		return "", fmt.Errorf("timer: %w", err)
	}
	if err := parked.Get(ctx, nil); !temporal.IsCanceledError(err) {
		return "", fmt.Errorf("parked: %w", err)
	}
	return word, workflow.ExecuteActivity(ctx, Charge, -amount).Get(ctx, nil)
}

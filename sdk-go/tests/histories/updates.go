package histories

import (
	"errors"
	"fmt"
	"time"

	"durably.dev/sdk/temporal"
	"durably.dev/sdk/workflow"
)

// What handling an entry in a Ledger takes.
const (
	Plain = iota
	Charged
	Delayed
	Refused
	Raised
	Nested
	Negative = -1
)

// Ledger notes what its updates do beside what its main function does for each signal, and ends after so many signals, when
// all handlers have ended.
func Ledger(ctx workflow.Context, turns int) (string, error) {
	ctx = options(ctx)
	log, busy := "", workflow.NewMutex(ctx)
	handle := func(ctx workflow.Context, kind int) (string, error) {
		ctx = options(ctx)
		id := workflow.GetCurrentUpdateInfo(ctx).ID
		log += "<" + id
		defer func() { log += ">" + id }()
		switch kind {
		case Charged:
			var receipt string
			err := workflow.ExecuteActivity(ctx, Charge, kind).Get(ctx, &receipt)
			return receipt, err
		case Delayed:
			if err := busy.Lock(ctx); err != nil {
				return "", err
			}
			defer busy.Unlock()
			return "late", workflow.Sleep(ctx, 50*time.Millisecond)
		case Refused:
			return "", workflow.ExecuteActivity(ctx, Refuse).Get(ctx, nil)
		case Raised:
			return "", temporal.NewApplicationError("raised", "Raised", kind)
		case Nested:
			var word string
			err := workflow.ExecuteChildWorkflow(named(ctx, id), Child, returns).Get(ctx, &word)
			return word, err
		}
		return "at once", nil
	}
	err := workflow.SetUpdateHandlerWithOptions(ctx, "enter", handle, workflow.UpdateHandlerOptions{Validator: func(kind int) error {
		if kind < 0 {
			return errors.New("negative")
		}
		return nil
	}})
	if err != nil {
		return "", err
	}
	_ = workflow.ExecuteActivity(ctx, Step0).Get(ctx, nil)
	for turn := range turns {
		workflow.GetSignalChannel(ctx, "turn").Receive(ctx, nil)
		log += fmt.Sprint("|", turn)
		_ = workflow.ExecuteActivity(ctx, step(turn)).Get(ctx, nil)
	}
	err = workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
	return log, err
}

// Latecomer sets its handlers one by one, some of them where updates wait for them, and some later.
func Latecomer(ctx workflow.Context, _ int) (string, error) {
	ctx = options(ctx)
	log := ""
	set := func(ctx workflow.Context, name string) {
		_ = workflow.SetUpdateHandler(ctx, name, func(ctx workflow.Context) error {
			log += "<" + name
			_ = workflow.ExecuteActivity(options(ctx), Step1).Get(ctx, nil)
			log += ">" + name
			return nil
		})
		log += "+" + name
	}
	begun := workflow.ExecuteActivity(ctx, Step0)
	set(ctx, "first")
	workflow.Go(ctx, func(ctx workflow.Context) {
		log += "(go)"
		set(ctx, "second")
	})
	_ = begun.Get(ctx, nil)
	workflow.GetSignalChannel(ctx, "third").Receive(ctx, nil)
	set(ctx, "third")
	workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
	return log, workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// Abandons goes on as new with an update under way, and ends with another one.
func Abandons(ctx workflow.Context, run int) (string, error) {
	var entered bool
	hang := func(ctx workflow.Context) error {
		entered = true
		return workflow.Sleep(ctx, time.Hour)
	}
	err := workflow.SetUpdateHandlerWithOptions(ctx, "hang", hang, workflow.UpdateHandlerOptions{UnfinishedPolicy: workflow.HandlerUnfinishedPolicyAbandon})
	if err != nil {
		return "", err
	}
	if err := workflow.Await(ctx, func() bool { return entered }); err != nil {
		return "", err
	}
	if run > 0 {
		return "left", nil
	}
	return "", workflow.NewContinueAsNewError(ctx, Abandons, run+1)
}

// Package external_workflow: signals and cancellations from one workflow to another, delivered once, or refused with an error.
package external_workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const last = "last"

// Listens collects what it hears until it hears the last word; ends as cancelled when that is asked for.
func Listens(ctx workflow.Context) ([]string, error) {
	heard := []string{}
	if err := workflow.SetQueryHandler(ctx, "heard", func() ([]string, error) { return heard, nil }); err != nil {
		return nil, err
	}
	notes := workflow.GetSignalChannel(ctx, "note")
	err := workflow.Await(ctx, func() bool {
		for word := ""; notes.ReceiveAsync(&word); {
			heard = append(heard, word)
		}
		return slices.Contains(heard, last)
	})
	return heard, err
}

// kind is what a failed delivery is, in words that all languages share.
func kind(err error) (string, error) {
	var missing *temporal.UnknownExternalWorkflowExecutionError
	switch {
	case err == nil:
		return "delivered", nil
	case errors.As(err, &missing):
		return "not found", nil
	}
	return "", err
}

// Speaks sends these words one after the other; an empty one is a signal without a value.
func Speaks(ctx workflow.Context, to, runID string, words []string) (string, error) {
	for _, word := range words {
		var value any
		if word != "" {
			value = word
		}
		if err := workflow.SignalExternalWorkflow(ctx, to, runID, "note", value).Get(ctx, nil); err != nil {
			return kind(err)
		}
	}
	return "delivered", nil
}

// SpeaksAtOnce sends so many words without waiting in between.
func SpeaksAtOnce(ctx workflow.Context, to string, count int) error {
	var sent []workflow.Future
	for n := range count {
		sent = append(sent, workflow.SignalExternalWorkflow(ctx, to, "", "note", fmt.Sprint("word ", n)))
	}
	for _, future := range sent {
		if err := future.Get(ctx, nil); err != nil {
			return err
		}
	}
	return workflow.SignalExternalWorkflow(ctx, to, "", "note", last).Get(ctx, nil)
}

func Cancels(ctx workflow.Context, to, runID string) (string, error) {
	return kind(workflow.RequestCancelExternalWorkflow(ctx, to, runID).Get(ctx, nil))
}

// TakesNothingBack cancels the context in which it sends a signal, and sends another one: both are sent.
func TakesNothingBack(ctx workflow.Context, to string) (string, error) {
	cancellable, cancel := workflow.WithCancel(ctx)
	sent := workflow.SignalExternalWorkflow(cancellable, to, "", "note", "sent")
	cancel()
	if err := sent.Get(ctx, nil); err != nil {
		return "", err
	}
	return kind(workflow.SignalExternalWorkflow(cancellable, to, "", "note", "sent as well").Get(ctx, nil))
}

// What the sender's history says.
var names = map[enums.EventType]string{
	enums.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: "cancel initiated",
	enums.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:    "cancel failed",
	enums.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:         "cancel delivered",
	enums.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:         "signal initiated",
	enums.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:            "signal failed",
	enums.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED:                 "signal delivered",
}

type check struct {
	ctx context.Context
	env *harness.Env
}

// sends runs a sender, which must end with a result and have told its history these.
func (c check) sends(want string, told []string, as client.StartWorkflowOptions, sender any, args ...any) {
	run := c.env.StartWith(c.ctx, as, sender, args...)
	got := harness.Result[string](c.ctx, run)
	harness.Assert(got == want, "%v: %s", args, got)
	history, err := harness.History(c.ctx, c.env.Client, run.GetID(), "")
	harness.Must(err)
	var seen []string
	for _, kind := range harness.Types(history) {
		if name, ok := names[kind]; ok {
			seen = append(seen, name)
		}
	}
	harness.Assert(slices.Equal(seen, told), "%v: the history says %v", args, seen)
}

func (c check) says(want, to, runID string, words ...string) {
	outcome := "signal failed"
	if want == "delivered" {
		outcome = "signal delivered"
	}
	c.sends(want, slices.Repeat([]string{"signal initiated", outcome}, len(words)), client.StartWorkflowOptions{}, Speaks, to, runID, words)
}

func (c check) listener() client.WorkflowRun { return c.env.Start(c.ctx, Listens) }

func (c check) cancellations() {
	for _, withRun := range []bool{false, true} {
		listener := c.listener()
		runID := ""
		if withRun {
			runID = listener.GetRunID()
		}
		delivered := []string{"cancel initiated", "cancel delivered"}
		c.sends("delivered", delivered, client.StartWorkflowOptions{}, Cancels, listener.GetID(), runID)
		err := listener.Get(c.ctx, nil)
		harness.Assert(temporal.IsCanceledError(err), "not cancelled: %v", err)
		// It has ended: there is nothing left to cancel.
		c.sends("delivered", delivered, client.StartWorkflowOptions{}, Cancels, listener.GetID(), "")
	}
	failed := []string{"cancel initiated", "cancel failed"}
	c.sends("not found", failed, client.StartWorkflowOptions{}, Cancels, c.env.NewID(), "")
	own := c.env.NewID()
	c.sends("not found", failed, client.StartWorkflowOptions{ID: own}, Cancels, own, "")
}

var Behaviour = harness.Behaviour{
	Name: "external_workflow", Workflows: []any{Listens, Speaks, SpeaksAtOnce, Cancels, TakesNothingBack},
	Check: func(ctx context.Context, env *harness.Env) error {
		c := check{ctx, env}
		listener := c.listener()
		c.says("delivered", listener.GetID(), "", "one", "", "three")
		c.says("delivered", listener.GetID(), listener.GetRunID(), "with its run")
		twice := slices.Repeat([]string{"signal initiated", "signal delivered"}, 2)
		c.sends("delivered", twice, client.StartWorkflowOptions{}, TakesNothingBack, listener.GetID())
		want := []string{"one", "", "three", "with its run", "sent", "sent as well"}
		value, err := env.Client.QueryWorkflow(ctx, listener.GetID(), "", "heard")
		harness.Must(err)
		var heard []string
		harness.Must(value.Get(&heard))
		harness.Assert(slices.Equal(heard, want), "%v", heard)
		c.says("delivered", listener.GetID(), "", last)
		heard = harness.Result[[]string](ctx, listener)
		harness.Assert(slices.Equal(heard, append(want, last)), "%v", heard)
		// Nobody is there: the id is unknown, or it has ended.
		c.says("not found", env.NewID(), "", "one")
		c.says("not found", listener.GetID(), "", "one")
		c.says("not found", listener.GetID(), listener.GetRunID(), "one")
		own := env.NewID()
		c.sends("not found", []string{"signal initiated", "signal failed"}, client.StartWorkflowOptions{ID: own}, Speaks, own, "", []string{"one"})

		// Each is delivered once. Those that are sent in one step may arrive in any order.
		listener = c.listener()
		harness.Must(env.Start(ctx, SpeaksAtOnce, listener.GetID(), 50).Get(ctx, nil))
		heard = harness.Result[[]string](ctx, listener)
		slices.Sort(heard)
		harness.Assert(len(slices.Compact(heard)) == 51, "%v", heard)
		c.cancellations()
		return nil
	},
}

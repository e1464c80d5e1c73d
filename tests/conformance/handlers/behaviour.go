// Package handlers: handlers of signals, queries and updates: which one is called, what tools are told of them, and what becomes
// of those that run when their workflow ends. How a run without a handler takes an update is each SDK's own; Go's has no
// handlers for any name, but tells a workflow which signals wait.
package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"durably.dev/conformance/harness"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Switchboard has handlers with descriptions, and hears signals of any name.
func Switchboard(ctx workflow.Context) (heard []string, err error) {
	err = errors.Join(
		workflow.SetQueryHandlerWithOptions(ctx, "all_heard", func() ([]string, error) { return heard, nil },
			workflow.QueryHandlerOptions{Description: "What was heard"}),
		workflow.SetQueryHandler(ctx, "echo", func(first, second string) (string, error) { return first + " " + second, nil }),
		workflow.SetUpdateHandlerWithOptions(ctx, "ask", func(_ workflow.Context, word string) (string, error) { return "ask " + word, nil },
			workflow.UpdateHandlerOptions{Description: "Answers at once"}),
	)
	if err != nil {
		return nil, err
	}
	say := workflow.GetSignalChannelWithOptions(ctx, "say", workflow.SignalChannelOptions{Description: "Something to write down"})
	workflow.SetCurrentDetails(ctx, "at the switchboard")
	for !slices.Contains(heard, "any finish <nil>") {
		if err := workflow.Await(ctx, func() bool { return len(workflow.GetUnhandledSignalNames(ctx)) > 0 }); err != nil {
			return nil, err
		}
		var word string
		for say.ReceiveAsync(&word) {
			heard = append(heard, "say "+word)
		}
		for _, name := range workflow.GetUnhandledSignalNames(ctx) {
			var value any
			workflow.GetSignalChannel(ctx, name).Receive(ctx, &value)
			heard = append(heard, fmt.Sprintf("any %s %v", name, value))
		}
	}
	return heard, nil
}

// Grows gets its handlers one after the other: each "step" sets the next ones.
func Grows(ctx workflow.Context) (heard []string, err error) {
	step := workflow.GetSignalChannel(ctx, "step")
	step.Receive(ctx, nil)
	err = errors.Join(
		workflow.SetQueryHandler(ctx, "heard", func() ([]string, error) { return heard, nil }),
		workflow.SetUpdateHandler(ctx, "change", func(_ workflow.Context, word string) (string, error) { return "changed " + word, nil }),
	)
	if err != nil {
		return nil, err
	}
	var word string
	for workflow.GetSignalChannel(ctx, "word").ReceiveAsync(&word) {
		heard = append(heard, word)
	}
	step.Receive(ctx, nil)
	later := func(ctx workflow.Context, word string) (string, error) {
		return "changed " + word + " later", workflow.Sleep(ctx, 1)
	}
	err = errors.Join(
		workflow.SetQueryHandler(ctx, "heard", func(prefix string) (string, error) { return prefix + fmt.Sprint(heard), nil }),
		workflow.SetUpdateHandlerWithOptions(ctx, "change", later, workflow.UpdateHandlerOptions{Validator: func(word string) error {
			if word == "no" {
				return temporal.NewApplicationError("no", "Refused")
			}
			return nil
		}}),
	)
	if err != nil {
		return nil, err
	}
	step.Receive(ctx, nil)
	return heard, nil
}

// Leaves ends while its handlers run, or after them.
func Leaves(ctx workflow.Context) (ended []string, err error) {
	goOn := false
	for _, policy := range []workflow.HandlerUnfinishedPolicy{
		workflow.HandlerUnfinishedPolicyWarnAndAbandon, workflow.HandlerUnfinishedPolicyAbandon,
	} {
		name := []string{"warns", "is left"}[policy]
		handler := func(ctx workflow.Context) (string, error) {
			err := workflow.Await(ctx, func() bool { return goOn })
			ended = append(ended, name)
			return "done", err
		}
		options := workflow.UpdateHandlerOptions{UnfinishedPolicy: policy}
		err = errors.Join(err, workflow.SetUpdateHandlerWithOptions(ctx, name, handler, options))
	}
	err = errors.Join(err, workflow.SetQueryHandler(ctx, "all_finished", func() (bool, error) { return workflow.AllHandlersFinished(ctx), nil }))
	if err != nil {
		return nil, err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, "let_go").Receive(ctx, nil)
		goOn = true
	})
	var how string
	workflow.GetSignalChannel(ctx, "leave").Receive(ctx, &how)
	switch how {
	case "after all":
		err = workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
	case "with an error":
		err = temporal.NewApplicationError("leaves", "Leaves")
	}
	return ended, err
}

// visitor talks to a run.
type visitor struct {
	ctx context.Context
	env *harness.Env
	run client.WorkflowRun
}

func (v visitor) signal(name string, arg any) {
	harness.Must(v.env.Client.SignalWorkflow(v.ctx, v.run.GetID(), "", name, arg))
}

func (v visitor) query(pointer any, name string, args ...any) {
	value, err := v.env.Client.QueryWorkflow(v.ctx, v.run.GetID(), "", name, args...)
	harness.Must(err)
	harness.Must(value.Get(pointer))
}

func (v visitor) update(stage client.WorkflowUpdateStage, name string, args ...any) client.WorkflowUpdateHandle {
	handle, err := v.env.Client.UpdateWorkflow(v.ctx, client.UpdateWorkflowOptions{
		WorkflowID: v.run.GetID(), UpdateName: name, Args: args, WaitForStage: stage,
	})
	harness.Must(err)
	return handle
}

// ask executes an update.
func (v visitor) ask(name string, args ...any) (said string) {
	harness.Must(v.update(client.WorkflowUpdateStageCompleted, name, args...).Get(v.ctx, &said))
	return said
}

func (v visitor) refusal(name string, args ...any) error {
	err := v.update(client.WorkflowUpdateStageCompleted, name, args...).Get(v.ctx, nil)
	harness.Assert(err != nil, "%s was not refused", name)
	return err
}

func isOfType(err error, kind string) {
	var failed *temporal.ApplicationError
	harness.Assert(errors.As(err, &failed) && failed.Type() == kind, "%v instead of %s", err, kind)
}

func equal(got, want any) {
	harness.Assert(fmt.Sprint(got) == fmt.Sprint(want), "%v instead of %v", got, want)
}

var Behaviour = harness.Behaviour{
	Name: "handlers", Workflows: []any{Switchboard, Grows, Leaves},
	Check: func(ctx context.Context, env *harness.Env) error {
		checkSwitchboard(visitor{ctx, env, env.Start(ctx, Switchboard)})
		checkGrows(visitor{ctx, env, env.Start(ctx, Grows)})
		for _, how := range []string{"now", "with an error", "after all"} {
			checkLeaves(visitor{ctx, env, env.Start(ctx, Leaves)}, how)
		}
		return nil
	},
}

func checkSwitchboard(v visitor) {
	var want, heard []string
	for _, signal := range [][2]string{{"say", "one"}, {"shout", "two"}, {"whisper", "three"}, {"say", "four"}} {
		v.signal(signal[0], signal[1])
		name := signal[0]
		if name != "say" {
			name = "any " + name
		}
		want = append(want, name+" "+signal[1])
		v.query(&heard, "all_heard")
		equal(heard, want)
	}
	var echo string
	v.query(&echo, "echo", "x", "y")
	equal(echo, "x y")
	equal(v.ask("ask", "me"), "ask me")
	harness.Assert(strings.Contains(v.refusal("tell", "me").Error(), "tell"), "the refusal names no update")
	_, err := v.env.Client.QueryWorkflow(v.ctx, v.run.GetID(), "", "what")
	harness.Assert(err != nil && strings.Contains(err.Error(), "what"), "%v", err)
	checkMetadata(v)
	var stacks string
	v.query(&stacks, "__stack_trace")
	harness.Assert(strings.Contains(stacks, "Switchboard"), "%s", stacks)
	v.signal("finish", nil)
	equal(harness.Result[[]string](v.ctx, v.run), append(want, "any finish <nil>"))
}

func checkMetadata(v visitor) {
	var metadata sdkpb.WorkflowMetadata
	v.query(&metadata, "__temporal_workflow_metadata")
	definition := metadata.Definition
	equal(definition.Type+" "+metadata.CurrentDetails, "Switchboard at the switchboard")
	own := func(definitions []*sdkpb.WorkflowInteractionDefinition) (all []string) {
		for _, one := range definitions {
			// Those that every workflow has are listed too; which ones is each SDK's own.
			if !strings.HasPrefix(one.Name, "__") {
				all = append(all, one.Name+": "+one.Description)
			}
		}
		return all
	}
	equal(own(definition.QueryDefinitions), []string{"all_heard: What was heard", "echo: "})
	equal(own(definition.SignalDefinitions), []string{"say: Something to write down", "shout: ", "whisper: "})
	equal(own(definition.UpdateDefinitions), []string{"ask: Answers at once"})
	for _, name := range []string{"__stack_trace", "__temporal_workflow_metadata"} {
		listed := slices.ContainsFunc(definition.QueryDefinitions, func(one *sdkpb.WorkflowInteractionDefinition) bool { return one.Name == name })
		harness.Assert(listed, "%s is missing", name)
	}
	// On the wire it is JSON of that message, whose names are in camel case.
	var raw converter.RawValue
	v.query(&raw, "__temporal_workflow_metadata")
	payload := raw.Payload()
	equal(string(payload.Metadata["encoding"]), "json/protobuf")
	equal(string(payload.Metadata["messageType"]), "temporal.api.sdk.v1.WorkflowMetadata")
	for _, field := range []string{`"updateDefinitions"`, `"currentDetails"`} {
		harness.Assert(strings.Contains(string(payload.Data), field), "%s is missing", field)
	}
}

func checkGrows(v visitor) {
	// Signals that nobody handles wait for the first who does, in order.
	v.signal("word", "a")
	v.signal("word", "b")
	harness.Assert(strings.Contains(v.refusal("change", "a").Error(), "change"), "the refusal names no update")
	_, err := v.env.Client.QueryWorkflow(v.ctx, v.run.GetID(), "", "heard")
	harness.Assert(err != nil && strings.Contains(err.Error(), "heard"), "%v", err)
	v.signal("step", nil)
	var heard []string
	v.query(&heard, "heard")
	equal(heard, []string{"a", "b"})
	equal(v.ask("change", "a"), "changed a")
	equal(v.ask("change", "no"), "changed no") // There is no validator yet.
	v.signal("step", nil)
	var text string
	v.query(&text, "heard", "they are ")
	equal(text, "they are [a b]")
	equal(v.ask("change", "a"), "changed a later")
	isOfType(v.refusal("change", "no"), "Refused")
	v.signal("step", nil)
	equal(harness.Result[[]string](v.ctx, v.run), []string{"a", "b"})
}

func checkLeaves(v visitor, how string) {
	finished := func(want bool) {
		var got bool
		v.query(&got, "all_finished")
		equal(got, want)
	}
	finished(true)
	warns, isLeft := v.update(client.WorkflowUpdateStageAccepted, "warns"), v.update(client.WorkflowUpdateStageAccepted, "is left")
	finished(false)
	v.signal("leave", how)
	if how == "after all" {
		finished(false)
		v.signal("let_go", nil)
		equal(slices.Sorted(slices.Values(harness.Result[[]string](v.ctx, v.run))), []string{"is left", "warns"})
		for _, update := range []client.WorkflowUpdateHandle{warns, isLeft} {
			var said string
			harness.Must(update.Get(v.ctx, &said))
			equal(said, "done")
		}
		return
	}
	if err := v.run.Get(v.ctx, nil); how == "with an error" {
		isOfType(err, "Leaves")
	} else {
		harness.Must(err)
	}
	isOfType(warns.Get(v.ctx, nil), "AcceptedUpdateCompletedWorkflow")
	isOfType(isLeft.Get(v.ctx, nil), "AcceptedUpdateCompletedWorkflow")
}

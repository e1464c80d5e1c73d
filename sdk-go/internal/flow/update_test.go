package flow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	sdkpb "go.temporal.io/api/sdk/v1"
)

// text is a command in short.
func text(command *core.WorkflowCommand) string {
	data := converter.GetDefaultDataConverter()
	switch is := command.Command.(type) {
	case *core.WorkflowCommand_UpdateAnswer:
		id := is.UpdateAnswer.Id
		switch answer := is.UpdateAnswer.Answer.(type) {
		case *core.UpdateAnswer_Accepted:
			return "accepted " + id
		case *core.UpdateAnswer_Rejected:
			return "rejected " + id + ": " + answer.Rejected.Message
		case *core.UpdateAnswer_Succeeded:
			return "succeeded " + id + ": " + data.ToString(answer.Succeeded)
		case *core.UpdateAnswer_Failed:
			return "failed " + id + ": " + answer.Failed.Message
		}
	case *core.WorkflowCommand_ScheduleActivity:
		return "activity " + is.ScheduleActivity.ActivityType
	case *core.WorkflowCommand_StartTimer:
		return "timer"
	case *core.WorkflowCommand_CompleteWorkflow:
		if is.CompleteWorkflow.Result == nil {
			return "completed: "
		}
		return "completed: " + data.ToString(is.CompleteWorkflow.Result)
	}
	return fmt.Sprintf("%T", command.Command)
}

func texts(commands []*core.WorkflowCommand) []string {
	var all []string
	for _, command := range commands {
		all = append(all, text(command))
	}
	return all
}

func update(t *testing.T, id, name string, arguments ...any) *core.WorkflowJob {
	t.Helper()
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return &core.WorkflowJob{Job: &core.WorkflowJob_Update{Update: &core.UpdateReceived{
		Id: id, Name: name, Arguments: payloads.GetPayloads(), RunValidator: true,
	}}}
}

func signalled(t *testing.T, name string, argument any) *core.WorkflowJob {
	t.Helper()
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(argument)
	if err != nil {
		t.Fatal(err)
	}
	return &core.WorkflowJob{Job: &core.WorkflowJob_Signal{Signal: &core.SignalReceived{Name: name, Arguments: payloads.Payloads}}}
}

func begin() *core.WorkflowJob {
	return &core.WorkflowJob{Job: &core.WorkflowJob_Initialize{Initialize: &core.InitializeWorkflow{WorkflowType: "Tested", WorkflowId: "id"}}}
}

func says(t *testing.T, r *Run, want []string, jobs ...*core.WorkflowJob) {
	t.Helper()
	if got := texts(commandsOf(t, r.Activate(activation(jobs...)))); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func set(t *testing.T, ctx Context, name string, handler any, options UpdateHandlerOptions) {
	t.Helper()
	if err := SetUpdateHandler(ctx, name, handler, options); err != nil {
		t.Error(err)
	}
}

// adds is a workflow with a total, to which updates add after an activity; a signal ends it.
func adds(t *testing.T) func(Context) (int, error) {
	return func(ctx Context) (int, error) {
		total := 0
		set(t, ctx, "add", func(ctx Context, n int) (int, error) {
			activity := WithActivityOptions(ctx, ActivityOptions{StartToCloseTimeout: time.Minute})
			err := ExecuteActivity(activity, "book", n).Get(ctx, nil)
			total += n
			return total, err
		}, UpdateHandlerOptions{Validator: func(n int) error {
			if n < 0 {
				return errors.New("negative")
			}
			return nil
		}})
		GetSignalChannel(ctx, "end").Receive(ctx, nil)
		return total, nil
	}
}

func resolved(seq uint32) *core.WorkflowJob {
	done := &core.ActivityResolution{Status: &core.ActivityResolution_Completed{Completed: &core.ActivitySuccess{}}}
	return &core.WorkflowJob{Job: &core.WorkflowJob_ResolveActivity{ResolveActivity: &core.ResolveActivity{Seq: seq, Result: done}}}
}

func TestUpdatesAreAnsweredInTheirPlaces(t *testing.T) {
	r := NewRun(environment(adds(t)))
	says(t, r, []string{"accepted 1", "activity book", "rejected 2: negative", "accepted 3", "activity book"},
		begin(), update(t, "1", "add", 1), update(t, "2", "add", -1), update(t, "3", "add", 2))
	// A new one has its turn before all others, and the main function before the earlier ones.
	says(t, r, []string{"accepted 4", "activity book", "succeeded 3: 2"}, resolved(2), update(t, "4", "add", 10))
	says(t, r, []string{"succeeded 4: 12", "succeeded 1: 13", "completed: 12"}, resolved(1), resolved(3), signalled(t, "end", nil))
}

func TestAnUpdateComesBeforeTheMainFunctionSeesASignalOfItsTask(t *testing.T) {
	workflow := func(ctx Context) (string, error) {
		word := "nothing"
		set(t, ctx, "set", func(_ Context, to string) error { word = to; return nil }, UpdateHandlerOptions{})
		GetSignalChannel(ctx, "end").Receive(ctx, nil)
		return word, nil
	}
	r := NewRun(environment(workflow))
	says(t, r, []string{"accepted 1", "succeeded 1: nil", `completed: "by an update"`}, begin(), signalled(t, "end", nil), update(t, "1", "set", "by an update"))
	r = NewRun(environment(workflow))
	says(t, r, nil, begin())
	says(t, r, []string{"accepted 1", "succeeded 1: nil", `completed: "later"`}, signalled(t, "end", nil), update(t, "1", "set", "later"))
}

func TestUpdatesOfAFirstTaskWaitForTheirHandlersAndNoLonger(t *testing.T) {
	r := NewRun(environment(func(ctx Context) error {
		NewTimer(ctx, time.Minute)
		set(t, ctx, "first", func(Context) error { return nil }, UpdateHandlerOptions{})
		NewTimer(ctx, time.Minute)
		// Another one that comes from another coroutine, after the main function has begun to wait.
		Go(ctx, func(ctx Context) { set(t, ctx, "second", func(Context) error { return nil }, UpdateHandlerOptions{}) })
		return Await(ctx, func() bool { return false })
	}))
	says(t, r, []string{
		"timer", "accepted 2", "succeeded 2: nil", "timer", "accepted 1", "succeeded 1: nil",
		"rejected 3: unknown update third. KnownUpdates=[first second]",
	}, begin(), update(t, "1", "second"), update(t, "2", "first"), update(t, "3", "third"))
	says(t, r, []string{"rejected 4: unknown update third. KnownUpdates=[first second]", "accepted 5", "succeeded 5: nil"},
		update(t, "4", "third"), update(t, "5", "first"))
	r = NewRun(environment(func(ctx Context) error { return Await(ctx, func() bool { return false }) }))
	says(t, r, []string{"rejected 1: unknown update any. KnownUpdates=[]"}, begin(), update(t, "1", "any"))
	says(t, r, []string{"rejected 2: unknown update any. KnownUpdates=[]"}, update(t, "2", "any"))
}

func TestARejectionLeavesNothingToRecord(t *testing.T) {
	r := NewRun(environment(func(ctx Context) error { return Await(ctx, func() bool { return false }) }))
	commandsOf(t, r.Activate(activation(begin())))
	if used := r.Activate(activation(update(t, "1", "any"))).GetSuccess().UsedFlags; len(used) > 0 {
		t.Error(used)
	}
	r, _ = running(t, adds(t))
	if used := r.Activate(activation(update(t, "1", "add", 1))).GetSuccess().UsedFlags; !slices.Equal(used, []uint32{flagCommandedMessages}) {
		t.Error(used)
	}
}

func TestHistoriesFromBeforeEagerUpdatesKeepTheirOrder(t *testing.T) {
	r := NewRun(environment(adds(t)))
	replayed := activation(begin(), update(t, "1", "add", 1))
	replayed.IsReplaying = true
	replayed.Jobs[1].GetUpdate().RunValidator = false
	if got := texts(commandsOf(t, r.Activate(replayed))); !slices.Equal(got, []string{"accepted 1", "activity book"}) {
		t.Error(got)
	}
	// There the signal is received before the update's handler begins.
	replayed = activation(signalled(t, "end", nil), resolved(1), update(t, "2", "add", 1))
	replayed.IsReplaying = true
	want := []string{"succeeded 1: 1", "accepted 2", "activity book", "completed: 0"}
	if got := texts(commandsOf(t, r.Activate(replayed))); !slices.Equal(got, want) {
		t.Error(got)
	}
}

func TestAValidatorIsNotAskedInAReplay(t *testing.T) {
	r := NewRun(environment(adds(t)))
	job := update(t, "1", "add", -1)
	job.GetUpdate().RunValidator = false
	says(t, r, []string{"accepted 1", "activity book"}, begin(), job)
}

// badly fails by its type and message.
type badly struct{}

func (*badly) Error() string { panic("no words") }

func TestWhatHandlersAndValidatorsDoWrongHasItsPlace(t *testing.T) {
	accept := func(Context) error { return nil }
	for name, c := range map[string]struct {
		handler, validator any
		arguments          []any
		want               []string
	}{
		"an error":                {handler: func(Context) error { return errors.New("no") }, want: []string{"accepted 1", "failed 1: no"}},
		"a wrong argument":        {handler: func(Context, int) error { return nil }, arguments: []any{"text"}, want: []string{"rejected 1: update it: unable to decode the arguments: "}},
		"no argument":             {handler: func(_ Context, n int) (int, error) { return n, nil }, want: []string{"accepted 1", "succeeded 1: 0"}},
		"a validator's panic":     {handler: accept, validator: func() error { panic("oh dear") }, want: []string{"rejected 1: update validator panic: oh dear"}},
		"a validator's odd panic": {handler: accept, validator: func(Context) error { panic(&badly{}) }, want: []string{"rejected 1: update validator panic: "}},
		"a validator's odd error": {handler: accept, validator: func() error { return &badly{} }, want: []string{"rejected 1: no words"}},
	} {
		r := NewRun(environment(func(ctx Context) error {
			set(t, ctx, "it", c.handler, UpdateHandlerOptions{Validator: c.validator})
			return Await(ctx, func() bool { return false })
		}))
		got := texts(commandsOf(t, r.Activate(activation(begin(), update(t, "1", "it", c.arguments...)))))
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAValidatorThatDoesMoreThanReadFailsTheTask(t *testing.T) {
	for name, validator := range map[string]func(Context) error{
		"activity": func(ctx Context) error {
			return ExecuteActivity(WithActivityOptions(ctx, ActivityOptions{StartToCloseTimeout: 1}), "x").Get(ctx, nil)
		},
		"timer":     func(ctx Context) error { NewTimer(ctx, time.Second); return nil },
		"sleep":     func(ctx Context) error { return Sleep(ctx, time.Second) },
		"condition": func(ctx Context) error { return Await(ctx, func() bool { return false }) },
		"coroutine": func(ctx Context) error { Go(ctx, func(Context) {}); return nil },
		"child":     func(ctx Context) error { ExecuteChildWorkflow(ctx, "Child"); return nil },
		"receive":   func(ctx Context) error { GetSignalChannel(ctx, "end").Receive(ctx, nil); return nil },
		"handler": func(ctx Context) error {
			return SetUpdateHandler(ctx, "other", func(Context) error { return nil }, UpdateHandlerOptions{})
		},
		"query":       func(ctx Context) error { return SetQueryHandler(ctx, "other", func() (int, error) { return 1, nil }) },
		"description": func(ctx Context) error { SetCurrentDetails(ctx, "x"); return nil },
	} {
		r := NewRun(environment(func(ctx Context) error {
			set(t, ctx, "it", func(Context) error { return nil }, UpdateHandlerOptions{Validator: validator})
			return Await(ctx, func() bool { return false })
		}))
		failed := r.Activate(activation(begin(), update(t, "1", "it"))).GetFailure().GetFailure().GetMessage()
		if !strings.HasPrefix(failed, `the validator of update "it" only reads: `) {
			t.Errorf("%s: %q", name, failed)
		}
	}
}

func TestAHandlersPanicFailsTheTask(t *testing.T) {
	for name, c := range map[string]struct {
		handler any
		want    string
	}{
		"panic":   {func(Context) error { panic("oh dear") }, "oh dear"},
		"channel": {func(Context) (any, error) { return make(chan int), nil }, "the result of update it: unable to encode: "},
		"error":   {func(Context) error { return &badly{} }, "no words"},
	} {
		r := NewRun(environment(func(ctx Context) error {
			set(t, ctx, "it", c.handler, UpdateHandlerOptions{})
			return Await(ctx, func() bool { return false })
		}))
		failed := r.Activate(activation(begin(), update(t, "1", "it"))).GetFailure().GetFailure().GetMessage()
		if !strings.HasPrefix(failed, c.want) {
			t.Errorf("%s: %q", name, failed)
		}
	}
}

func TestHandlersThatCannotBeAreRefused(t *testing.T) {
	running(t, func(ctx Context) error {
		valid := func(Context, int) error { return nil }
		for want, c := range map[string][2]any{
			"a handler is a function, not a invalid":           {nil, nil},
			"a handler is a function, not a int":               {1, nil},
			"a handler takes a workflow.Context first, unlike": {func(int) error { return nil }, nil},
			"a handler returns an error, or":                   {func(Context) int { return 1 }, nil},
			"a validator is a function that returns an error":  {valid, func(int) {}},
			"its validator (func(string) error) takes other":   {valid, func(string) error { return nil }},
			"its validator (func() error) takes other":         {valid, func() error { return nil }},
		} {
			err := SetUpdateHandler(ctx, "it", c[0], UpdateHandlerOptions{Validator: c[1]})
			if err == nil || !strings.HasPrefix(err.Error(), `the handler of update "it": `+want) {
				t.Errorf("%s: %v", want, err)
			}
		}
		if err := SetUpdateHandler(ctx, "__it", valid, UpdateHandlerOptions{}); err == nil || !strings.Contains(err.Error(), "reserved") {
			t.Error(err)
		}
		return nil
	})
}

// ear is a logger that keeps what it hears.
type ear struct {
	silent
	heard *[]string
}

func (e ear) Warn(message string, values ...any) {
	*e.heard = append(*e.heard, message[:min(11, len(message))]+" "+fmt.Sprint(values[len(values)-2:]...))
}

func TestAWorkflowThatEndsBeforeItsHandlersWarns(t *testing.T) {
	for name, c := range map[string]struct {
		policy HandlerUnfinishedPolicy
		end    error
		want   []string
	}{
		"completed":        {want: []string{"The workflo SignalNames[other]", "[TMPRL1102] Updates[it (id 1)]"}},
		"cancelled":        {end: ErrCanceled, want: []string{"The workflo SignalNames[other]", "[TMPRL1102] Updates[it (id 1)]"}},
		"continued":        {end: &ContinueAsNewError{}, want: []string{"The workflo SignalNames[other]", "[TMPRL1102] Updates[it (id 1)]"}},
		"failed":           {end: &failure.ApplicationError{}, want: []string{"The workflo SignalNames[other]"}},
		"meant to abandon": {policy: HandlerUnfinishedPolicyAbandon, want: []string{"The workflo SignalNames[other]"}},
	} {
		var heard []string
		env := environment(func(ctx Context) error {
			set(t, ctx, "it", func(ctx Context) error { return Sleep(ctx, time.Hour) }, UpdateHandlerOptions{UnfinishedPolicy: c.policy})
			if AllHandlersFinished(ctx) {
				t.Error("there is none")
			}
			return c.end
		})
		env.Logger = ear{heard: &heard}
		r := NewRun(env)
		commandsOf(t, r.Activate(activation(begin(), signalled(t, "other", nil), update(t, "1", "it"))))
		if !slices.Equal(heard, c.want) {
			t.Errorf("%s: %q", name, heard)
		}
	}
}

func TestAHandlerKnowsItsUpdate(t *testing.T) {
	r := NewRun(environment(func(ctx Context) error {
		tell := func(ctx Context) (string, error) {
			info := GetCurrentUpdateInfo(ctx)
			return info.ID + " " + info.Name, nil
		}
		set(t, ctx, "who", tell, UpdateHandlerOptions{Validator: func(ctx Context) error {
			if _, err := tell(ctx); err != nil {
				return err
			}
			return nil
		}})
		defer func() {
			if value := recover(); !strings.Contains(fmt.Sprint(value), "not an update's") {
				t.Error(value)
			}
		}()
		GetCurrentUpdateInfo(ctx)
		return nil
	}))
	says(t, r, []string{"accepted 7", `succeeded 7: "7 who"`, "completed: "}, begin(), update(t, "7", "who"))
}

func TestSignalsOfAnyNameAreSeen(t *testing.T) {
	r := NewRun(environment(func(ctx Context) ([]string, error) {
		var all []string
		err := Await(ctx, func() bool {
			for _, name := range GetUnhandledSignalNames(ctx) {
				var word string
				GetSignalChannel(ctx, name).Receive(ctx, &word)
				all = append(all, name+" "+word)
			}
			return len(all) > 2
		})
		return all, err
	}))
	says(t, r, nil, begin(), signalled(t, "b", "1"))
	says(t, r, []string{`completed: ["b 1","a 2","b 3"]`}, signalled(t, "b", "3"), signalled(t, "a", "2"))
}

// relay is a link of the inbound chain that notes what it hands on, and changes it.
type relay struct {
	Inbound
	name string
	seen *[]string
}

func (l *relay) ValidateUpdate(ctx Context, in *UpdateInput) error {
	*l.seen = append(*l.seen, l.name+" validates "+GetCurrentUpdateInfo(ctx).ID)
	return l.Inbound.ValidateUpdate(ctx, in)
}

func (l *relay) ExecuteUpdate(ctx Context, in *UpdateInput) (any, error) {
	*l.seen = append(*l.seen, l.name+" executes "+in.Name)
	in.Args[0] = in.Args[0].(string) + l.name
	result, err := l.Inbound.ExecuteUpdate(ctx, in)
	return result.(string) + l.name, err
}

func TestUpdatesGoThroughTheInboundChain(t *testing.T) {
	var seen []string
	env := environment(func(ctx Context) error {
		set(t, ctx, "say", func(_ Context, word string) (string, error) { return word + "!", nil }, UpdateHandlerOptions{})
		return Await(ctx, func() bool { return false })
	})
	link := func(name string) func(Context, Inbound) Inbound {
		return func(_ Context, next Inbound) Inbound { return &relay{next, name, &seen} }
	}
	env.Intercept = []func(Context, Inbound) Inbound{link("o"), link("i")}
	says(t, NewRun(env), []string{"accepted 1", `succeeded 1: "hi oi!io"`}, begin(), update(t, "1", "say", "hi "))
	if want := []string{"o validates 1", "i validates 1", "o executes say", "i executes say"}; !slices.Equal(seen, want) {
		t.Error(seen)
	}
}

func TestToolsAreToldWhatMayBeAskedOfARun(t *testing.T) {
	r := NewRun(environment(func(ctx Context) error {
		query := func() (int, error) { return 1, nil }
		if err := errors.Join(SetQueryHandler(ctx, "count", query), SetQueryHandlerWithOptions(ctx, "all", query, QueryHandlerOptions{Description: "of them"})); err != nil {
			return err
		}
		set(t, ctx, "add", func(Context) error { return nil }, UpdateHandlerOptions{Description: "one more"})
		SetCurrentDetails(ctx, GetCurrentDetails(ctx)+"on *its* way")
		GetSignalChannelWithOptions(ctx, "end", SignalChannelOptions{Description: "the end"}).Receive(ctx, nil)
		return nil
	}))
	says(t, r, nil, begin(), signalled(t, "unasked", nil))
	query := &core.WorkflowJob{Job: &core.WorkflowJob_Query{Query: &core.QueryReceived{Id: "1", Name: "__temporal_workflow_metadata"}}}
	answer := commandsOf(t, r.Activate(activation(query)))[0].GetQueryAnswer().GetSucceeded()
	if encoding := string(answer.GetMetadata()["encoding"]); encoding != "json/protobuf" {
		t.Error(encoding)
	}
	var metadata sdkpb.WorkflowMetadata
	if err := converter.GetDefaultDataConverter().FromPayload(answer, &metadata); err != nil {
		t.Fatal(err)
	}
	said := metadata.Definition.Type + ":"
	for _, of := range [][]*sdkpb.WorkflowInteractionDefinition{
		metadata.Definition.QueryDefinitions, metadata.Definition.SignalDefinitions, metadata.Definition.UpdateDefinitions,
	} {
		for _, one := range of {
			if said += " " + one.Name; !strings.HasPrefix(one.Name, "__") {
				said += "(" + one.Description + ")"
			}
		}
	}
	if want := "Tested: __stack_trace __temporal_workflow_metadata all(of them) count() end(the end) add(one more)"; said != want {
		t.Error(said)
	}
	if metadata.CurrentDetails != "on *its* way" {
		t.Error(metadata.CurrentDetails)
	}
}

func TestAnEvictedRunsHandlersSayNothingMore(t *testing.T) {
	left := false
	r := NewRun(environment(func(ctx Context) error {
		set(t, ctx, "hang", func(ctx Context) error {
			defer func() { left = true }()
			return Sleep(ctx, time.Hour)
		}, UpdateHandlerOptions{})
		return Await(ctx, func() bool { return false })
	}))
	says(t, r, []string{"accepted 1", "timer"}, begin(), update(t, "1", "hang"))
	says(t, r, nil, &core.WorkflowJob{Job: &core.WorkflowJob_Evict{Evict: &core.Evict{}}})
	if !left {
		t.Error("its deferred function hasn't run")
	}
}

package flow

import (
	"slices"
	"testing"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

// spy is a link of both chains that notes what goes through it and changes it.
type spy struct {
	Inbound
	name string
	seen *[]string
}

func (s *spy) note(what string) { *s.seen = append(*s.seen, s.name+" "+what) }

func (s *spy) Init(out Outbound) error { return s.Inbound.Init(&outSpy{out, s}) }

func (s *spy) ExecuteWorkflow(ctx Context, in *ExecuteWorkflowInput) (any, error) {
	s.note("executes")
	in.Args[0] = in.Args[0].(string) + s.name
	result, err := s.Inbound.ExecuteWorkflow(ctx, in)
	s.note("executed")
	return result, err
}

func (s *spy) HandleSignal(ctx Context, in *HandleSignalInput) error {
	s.note("signal " + in.SignalName)
	return s.Inbound.HandleSignal(ctx, in)
}

func (s *spy) HandleQuery(ctx Context, in *HandleQueryInput) (any, error) {
	s.note("query " + in.QueryType)
	answer, err := s.Inbound.HandleQuery(ctx, in)
	return answer.(string) + s.name, err
}

type outSpy struct {
	Outbound
	*spy
}

func (s *outSpy) ExecuteActivity(ctx Context, name string, args ...any) Future {
	s.note("activity " + name)
	return s.Outbound.ExecuteActivity(ctx, name+s.name, args...)
}

func (s *outSpy) NewTimer(ctx Context, d time.Duration) Future {
	s.note("timer")
	return s.Outbound.NewTimer(ctx, d)
}

func (s *outSpy) ExecuteChildWorkflow(ctx Context, kind string, args ...any) ChildWorkflowFuture {
	s.note("child " + kind)
	return s.Outbound.ExecuteChildWorkflow(ctx, kind+s.name, args...)
}

func (s *outSpy) SignalChildWorkflow(ctx Context, id, name string, arg any) Future {
	s.note("child signal " + name)
	return s.Outbound.SignalChildWorkflow(ctx, id, name+s.name, arg)
}

func (s *outSpy) SignalExternalWorkflow(ctx Context, id, runID, name string, arg any) Future {
	s.note("signal to " + id)
	return s.Outbound.SignalExternalWorkflow(ctx, id+s.name, runID, name, arg)
}

func (s *outSpy) RequestCancelExternalWorkflow(ctx Context, id, runID string) Future {
	s.note("cancel " + id)
	return s.Outbound.RequestCancelExternalWorkflow(ctx, id+s.name, runID)
}

func activation(jobs ...*core.WorkflowJob) *core.WorkflowActivation {
	return &core.WorkflowActivation{RunId: "run", Timestamp: timestamppb.Now(), HistoryLength: 3, Jobs: jobs}
}

func TestChainsSeeAndChangeWhatGoesInAndOut(t *testing.T) {
	registry := NewRegistry()
	registry.AddWorkflow(func(ctx Context, argument string) (string, error) {
		if err := SetQueryHandler(ctx, "ask", func(argument string) (string, error) { return argument, nil }); err != nil {
			return "", err
		}
		if GetInfo(ctx).GetCurrentHistoryLength() != 3 {
			t.Error("the first task's history has no length")
		}
		var word string
		GetSignalChannel(ctx, "tell").Receive(ctx, &word)
		ExecuteActivity(WithActivityOptions(ctx, ActivityOptions{StartToCloseTimeout: 1}), "act")
		return argument + word, Sleep(ctx, time.Second)
	}, "Spied", false)
	var seen []string
	link := func(name string) func(Context, Inbound) Inbound {
		return func(_ Context, next Inbound) Inbound { return &spy{next, name, &seen} }
	}
	data := converter.GetDefaultDataConverter()
	r := NewRun(&Environment{
		Registry: registry, DataConverter: data, FailureConverter: failure.NewConverter(data, false), Logger: silent{},
		DeadlockTimeout: time.Minute, Intercept: []func(Context, Inbound) Inbound{link("outer"), link("inner")},
	})
	payload := func(text string) []*commonpb.Payload {
		payloads, err := data.ToPayloads(text)
		if err != nil {
			t.Fatal(err)
		}
		return payloads.Payloads
	}
	act := func(jobs ...*core.WorkflowJob) []*core.WorkflowCommand {
		return r.Activate(activation(jobs...)).GetSuccess().GetCommands()
	}
	commands := act(
		&core.WorkflowJob{Job: &core.WorkflowJob_Initialize{Initialize: &core.InitializeWorkflow{WorkflowType: "Spied", Arguments: payload("a ")}}},
		&core.WorkflowJob{Job: &core.WorkflowJob_Signal{Signal: &core.SignalReceived{Name: "tell", Arguments: payload(" b")}}},
	)
	if len(commands) != 2 || commands[0].GetScheduleActivity().GetActivityType() != "actinnerouter" || commands[1].GetStartTimer() == nil {
		t.Fatal(commands)
	}
	answers := act(&core.WorkflowJob{Job: &core.WorkflowJob_Query{Query: &core.QueryReceived{Id: "1", Name: "ask", Arguments: payload("c ")}}})
	if got := data.ToString(answers[0].GetQueryAnswer().GetSucceeded()); got != `"c innerouter"` {
		t.Error(got)
	}
	end := act(&core.WorkflowJob{Job: &core.WorkflowJob_FireTimer{FireTimer: &core.FireTimer{Seq: commands[1].GetStartTimer().Seq}}})
	if got := data.ToString(end[0].GetCompleteWorkflow().GetResult()); got != `"a outerinner b"` {
		t.Error(got)
	}
	want := []string{
		"outer signal tell", "inner signal tell", "outer executes", "inner executes", "inner activity act", "outer activity actinner",
		"inner timer", "outer timer", "outer query ask", "inner query ask", "inner executed", "outer executed",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("%q", seen)
	}
}

func TestChainsSeeAndChangeWhatGoesToOtherWorkflows(t *testing.T) {
	var seen []string
	link := func(name string) func(Context, Inbound) Inbound {
		return func(_ Context, next Inbound) Inbound { return &spy{next, name, &seen} }
	}
	env := environment(func(ctx Context, _ string) (string, error) {
		child := ExecuteChildWorkflow(ctx, "Child")
		SignalExternalWorkflow(ctx, "other", "", "x", nil)
		RequestCancelExternalWorkflow(ctx, "other", "")
		return "", child.SignalChildWorkflow(ctx, "tell", nil).Get(ctx, nil)
	})
	env.Intercept = []func(Context, Inbound) Inbound{link("outer"), link("inner")}
	r := NewRun(env)
	first := commandsOf(t, r.Activate(activation(&core.WorkflowJob{Job: &core.WorkflowJob_Initialize{
		Initialize: &core.InitializeWorkflow{WorkflowType: "Tested"}}})))
	if len(first) != 3 || first[0].GetStartChildWorkflow().GetWorkflowType() != "Childinnerouter" ||
		first[1].GetSignalExternalWorkflow().GetWorkflow().GetWorkflowId() != "otherinnerouter" ||
		first[2].GetRequestCancelExternalWorkflow().GetWorkflow().GetWorkflowId() != "otherinnerouter" {
		t.Error(first)
	}
	second := commandsOf(t, r.Activate(activation(job(&core.ResolveChildWorkflowStart{Seq: 1, Status: &core.ResolveChildWorkflowStart_Started{
		Started: &core.ChildWorkflowStarted{WorkflowId: "made", RunId: "run"}}}))))
	signal := second[0].GetSignalExternalWorkflow()
	if len(second) != 1 || signal.GetChildWorkflowId() != "made" || signal.GetSignalName() != "tellinnerouter" {
		t.Error(second)
	}
	want := []string{
		"outer executes", "inner executes", "inner child Child", "outer child Childinner", "inner signal to other", "outer signal to otherinner",
		"inner cancel other", "outer cancel otherinner", "inner child signal tell", "outer child signal tellinner",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("%q", seen)
	}
}

package flow

import (
	"errors"
	"strings"
	"testing"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/attributes"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/drift"
	"durably.dev/sdk/internal/failure"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"
)

func environment(workflow any) *Environment {
	registry := NewRegistry()
	registry.AddWorkflow(workflow, "Tested", false)
	data := converter.GetDefaultDataConverter()
	return &Environment{
		Registry: registry, DataConverter: data, FailureConverter: failure.NewConverter(data, false), Logger: silent{},
		DeadlockTimeout: time.Minute,
	}
}

// running is a run of a workflow after its first activation, and the commands that came of it.
func running(t *testing.T, workflow any, replayed ...uint32) (*Run, []*core.WorkflowCommand) {
	t.Helper()
	r := NewRun(environment(workflow))
	first := activation(&core.WorkflowJob{Job: &core.WorkflowJob_Initialize{Initialize: &core.InitializeWorkflow{
		WorkflowType: "Tested", WorkflowId: "parent", Namespace: "home", TaskQueue: "ours",
	}}})
	first.IsReplaying, first.AvailableFlags = replayed != nil, replayed
	return r, commandsOf(t, r.Activate(first))
}

func commandsOf(t *testing.T, completion *core.WorkflowCompletion) []*core.WorkflowCommand {
	t.Helper()
	if failed := completion.GetFailure(); failed != nil {
		t.Fatal(failed.Failure.Message)
	}
	return completion.GetSuccess().Commands
}

func TestEachOptionOfAChildIsOfferedOrThereIsAReason(t *testing.T) {
	r := NewRun(environment(func(Context) error { return nil }))
	drift.Check(t, map[string]drift.Origin[ChildWorkflowOptions]{
		"seq":                      {Without: "the run numbers its children"},
		"namespace":                {By: ChildWorkflowOptions{Namespace: "elsewhere"}},
		"workflow_id":              {By: ChildWorkflowOptions{WorkflowID: "child"}},
		"workflow_type":            {Without: "the call names it"},
		"task_queue":               {By: ChildWorkflowOptions{TaskQueue: "theirs"}},
		"arguments":                {Without: "the call has them"},
		"headers":                  {Without: "there are no context propagators yet"},
		"execution_timeout":        {By: ChildWorkflowOptions{WorkflowExecutionTimeout: time.Second}},
		"run_timeout":              {By: ChildWorkflowOptions{WorkflowRunTimeout: time.Second}},
		"task_timeout":             {By: ChildWorkflowOptions{WorkflowTaskTimeout: time.Second}},
		"parent_close_policy":      {By: ChildWorkflowOptions{ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON}},
		"workflow_id_reuse_policy": {By: ChildWorkflowOptions{WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE}},
		"retry_policy":             {By: ChildWorkflowOptions{RetryPolicy: &RetryPolicy{MaximumAttempts: 2}}},
		"cron_schedule":            {By: ChildWorkflowOptions{CronSchedule: "@daily"}},
		"memo":                     {By: ChildWorkflowOptions{Memo: map[string]any{"note": "x"}}},
		"search_attributes":        {By: ChildWorkflowOptions{SearchAttributes: map[string]any{"Customer": "Ann"}}},
		"cancellation_type":        {Without: "the official SDK waits for a child's end whatever its option says"},
		"priority":                 {By: ChildWorkflowOptions{Priority: Priority{FairnessKey: "Ann"}}},
	}, func(o ChildWorkflowOptions) proto.Message {
		command, err := r.startChild("Child", &o, r.env.DataConverter, nil)
		if err != nil {
			t.Fatal(err)
		}
		return command.GetStartChildWorkflow()
	})
}

func TestTypedSearchAttributesKeepTheirTypes(t *testing.T) {
	number, words := attributes.New[attributes.Int64]("Number"), attributes.New[attributes.KeywordList]("Words")
	gone, list := attributes.New[attributes.Keyword]("Gone"), []string{"a", "b"}
	typed := attributes.NewCollection(number.ValueSet(7), words.ValueSet(list), gone.ValueUnset())
	list[0] = "changed"
	if value, ok := typed.GetInt64(number); !ok || value != 7 || !typed.ContainsKey(gone) || typed.Size() != 3 {
		t.Error(typed.GetUntypedValues())
	}
	if value, ok := typed.GetKeywordList(words); !ok || value[0] != "a" {
		t.Error(value)
	}
	if _, ok := typed.GetKeyword(gone); ok {
		t.Error("what is unset has a value")
	}
	copied := attributes.NewCollection(typed.Copy())
	encoded, err := attributes.Encode(nil, copied)
	if err != nil {
		t.Fatal(err)
	}
	fields := encoded.GetIndexedFields()
	if len(fields) != 2 || string(fields["Number"].Metadata["type"]) != "Int" || string(fields["Words"].Data) != `["a","b"]` {
		t.Error(fields)
	}
	given := &commonpb.Payload{Data: []byte("1"), Metadata: map[string][]byte{"encoding": []byte("json/plain")}}
	encoded, err = attributes.Encode(map[string]any{"Given": given, "Gone": nil}, attributes.Collection{})
	if err != nil || len(encoded.GetIndexedFields()) != 1 || encoded.GetIndexedFields()["Given"] != given {
		t.Error(encoded, err)
	}
	if _, err := attributes.Encode(map[string]any{"Given": given}, typed); err == nil || !strings.Contains(err.Error(), "use one of them") {
		t.Error(err)
	}
}

func TestOptionsComeFromTheWorkflowTheContextAndTheCall(t *testing.T) {
	running(t, func(ctx Context) error {
		own := GetChildWorkflowOptions(ctx)
		if own.Namespace != "home" || own.TaskQueue != "ours" {
			t.Error(own)
		}
		changed := ChangeChildOptions(ctx, func(o *ChildWorkflowOptions) { o.Namespace, o.WorkflowRunTimeout = "elsewhere", time.Second })
		given := GetChildWorkflowOptions(WithChildOptions(changed, ChildWorkflowOptions{TaskQueue: "theirs"}))
		if given.Namespace != "elsewhere" || given.TaskQueue != "theirs" || given.WorkflowRunTimeout != 0 {
			t.Error(given)
		}
		if again := GetChildWorkflowOptions(changed); again.TaskQueue != "ours" || again.WorkflowRunTimeout != time.Second {
			t.Error(again)
		}
		return nil
	})
}

// unencodable can't be encoded.
var unencodable = make(chan int)

func TestWhatIsWrongWithACallIsSaidToTheCaller(t *testing.T) {
	with := func(o ChildWorkflowOptions) func(Context) Future {
		return func(ctx Context) Future { return ExecuteChildWorkflow(WithChildOptions(ctx, o), "Child") }
	}
	calls := map[string]func(Context) Future{
		"the workflow's name is empty":             func(ctx Context) Future { return ExecuteChildWorkflow(ctx, "") },
		"by its function or a string, not by int":  func(ctx Context) Future { return ExecuteChildWorkflow(ctx, 7) },
		"by its function or a string, not by <nil": func(ctx Context) Future { return ExecuteChildWorkflow(ctx, nil) },
		"child workflow Child: the arguments":      func(ctx Context) Future { return ExecuteChildWorkflow(ctx, "Child", unencodable) },
		"WorkflowRunTimeout is negative: -1s":      with(ChildWorkflowOptions{WorkflowRunTimeout: -time.Second}),
		"ParentClosePolicy 9 is none":              with(ChildWorkflowOptions{ParentClosePolicy: 9}),
		"WorkflowIDReusePolicy 9 is none":          with(ChildWorkflowOptions{WorkflowIDReusePolicy: 9}),
		"the memo: note":                           with(ChildWorkflowOptions{Memo: map[string]any{"note": unencodable}}),
		"search attribute Customer":                with(ChildWorkflowOptions{SearchAttributes: map[string]any{"Customer": unencodable}}),
		"the workflow id is empty":                 func(ctx Context) Future { return SignalExternalWorkflow(ctx, "", "", "x", nil) },
		"the workflow id is empty: ":               func(ctx Context) Future { return RequestCancelExternalWorkflow(ctx, "", "") },
		"the name of the signal to workflow a":     func(ctx Context) Future { return SignalExternalWorkflow(ctx, "a", "", "", nil) },
		"the argument of signal x":                 func(ctx Context) Future { return SignalExternalWorkflow(ctx, "a", "", "x", unencodable) },
	}
	_, commands := running(t, func(ctx Context) error {
		for want, call := range calls {
			future := call(ctx)
			if err := future.Get(ctx, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q instead of %q", err, want)
			}
			if child, ok := future.(ChildWorkflowFuture); ok && child.GetChildWorkflowExecution().Get(ctx, nil) == nil {
				t.Errorf("%s: its start didn't fail", want)
			}
		}
		return nil
	})
	if len(commands) != 1 || commands[0].GetCompleteWorkflow() == nil {
		t.Error(commands)
	}
}

func job(resolved *core.ResolveChildWorkflowStart) *core.WorkflowJob {
	return &core.WorkflowJob{Job: &core.WorkflowJob_ResolveChildWorkflowStart{ResolveChildWorkflowStart: resolved}}
}

func TestCausesThatThisSDKDoesNotKnowAreErrorsToo(t *testing.T) {
	var start, signal, cancel error
	r, _ := running(t, func(ctx Context) error {
		child := ExecuteChildWorkflow(ctx, "Child")
		signalled, cancelled := SignalExternalWorkflow(ctx, "a", "", "x", nil), RequestCancelExternalWorkflow(ctx, "a", "")
		start, signal, cancel = child.Get(ctx, nil), signalled.Get(ctx, nil), cancelled.Get(ctx, nil)
		return nil
	})
	said := &failure.ApplicationError{Msg: "too many"}
	refused := r.env.FailureConverter.ErrorToFailure(said)
	failedStart := &core.ChildWorkflowStartFailed{WorkflowId: "child", WorkflowType: "Child", Cause: 9, InitiatedEventId: 5}
	completion := r.Activate(activation(
		job(&core.ResolveChildWorkflowStart{Seq: 1, Status: &core.ResolveChildWorkflowStart_Failed{Failed: failedStart}}),
		&core.WorkflowJob{Job: &core.WorkflowJob_ResolveSignalExternalWorkflow{
			ResolveSignalExternalWorkflow: &core.ResolveSignalExternalWorkflow{Seq: 1, Failure: refused, Cause: 9}}},
		&core.WorkflowJob{Job: &core.WorkflowJob_ResolveRequestCancelExternalWorkflow{
			ResolveRequestCancelExternalWorkflow: &core.ResolveRequestCancelExternalWorkflow{Seq: 1, Failure: refused, Cause: 9}}},
	))
	if commands := commandsOf(t, completion); len(commands) != 1 {
		t.Error(commands)
	}
	want := "child workflow execution error (type: Child, workflowID: child, runID: , initiatedEventID: 5, startedEventID: 0): " +
		"unable to start child workflow for unknown cause: 9"
	if start == nil || start.Error() != want {
		t.Errorf("%v", start)
	}
	for _, err := range []error{signal, cancel} {
		var application *failure.ApplicationError
		if !errors.As(err, &application) || application.Message() != "too many" {
			t.Error(err)
		}
	}
}

// Where a history doesn't have the official SDK's flag, that SDK never told who waits for the start.
func TestAStartThatIsRefusedHereFailsItsStartWhereTheHistorySaysSo(t *testing.T) {
	twice := func(told *bool) func(Context) error {
		return func(ctx Context) error {
			ctx = WithChildOptions(ctx, ChildWorkflowOptions{WorkflowID: "same"})
			ExecuteChildWorkflow(ctx, "Child")
			second := ExecuteChildWorkflow(ctx, "Child")
			var taken *failure.ChildWorkflowExecutionAlreadyStartedError
			if err := second.Get(ctx, nil); !errors.As(err, &taken) {
				t.Error(err)
			}
			*told = second.GetChildWorkflowExecution().IsReady()
			return nil
		}
	}
	var told bool
	if _, commands := running(t, twice(&told)); !told || len(commands) != 2 {
		t.Error(told, commands)
	}
	if running(t, twice(&told), flagKeepLate); told {
		t.Error("the start was told")
	}
	if running(t, twice(&told), flagFailStart); !told {
		t.Error("the start wasn't told")
	}
}

// picky encodes nothing but texts.
type picky struct{ converter.DataConverter }

func (p picky) ToPayload(value any) (*commonpb.Payload, error) {
	if text, ok := value.(string); ok {
		return p.DataConverter.ToPayload("picked " + text)
	}
	return nil, errors.New("no text")
}

func TestAMemoGoesThroughTheWorkersConverterWhereItCan(t *testing.T) {
	r := NewRun(environment(func(Context) error { return nil }))
	r.env.DataConverter = picky{r.env.DataConverter}
	encoded := func() string {
		memo, err := r.memo(map[string]any{"text": "a", "number": 7})
		if err != nil {
			t.Fatal(err)
		}
		return string(memo.Fields["text"].Data) + " " + string(memo.Fields["number"].Data)
	}
	r.replaying = true
	if got := encoded(); got != `"a" 7` {
		t.Error(got)
	}
	r.replaying = false
	if got := encoded(); got != `"picked a" 7` || len(r.used) != 1 || r.used[0] != flagConvertMemo {
		t.Error(got, r.used)
	}
}

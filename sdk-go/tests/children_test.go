package tests

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/converter"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// parenting is a server with a worker that knows workflows, all of whose histories replay in the end.
type parenting struct {
	t         *testing.T
	c         client.Client
	workflows []any
	ran       []client.WorkflowRun
}

func family(t *testing.T, workflows ...any) *parenting {
	t.Helper()
	p := &parenting{t: t, c: dial(t, "embedded:"), workflows: append(workflows, Echoes, Waits, Refuses)}
	start(t, p.c, worker.Options{}, func(w worker.Worker) {
		for _, workflow := range p.workflows {
			w.RegisterWorkflow(workflow)
		}
	})
	t.Cleanup(p.replay)
	return p
}

func (p *parenting) run(function any, args ...any) client.WorkflowRun {
	p.t.Helper()
	run := execute(p.t, p.c, function, args...)
	p.ran = append(p.ran, run)
	return run
}

func (p *parenting) replay() {
	replayer := worker.NewWorkflowReplayer()
	for _, workflow := range p.workflows {
		replayer.RegisterWorkflow(workflow)
	}
	for _, run := range p.ran {
		if err := replayer.ReplayWorkflowHistory(quiet{}, history(p.t, p.c, run)); err != nil {
			p.t.Errorf("%s: %v", run.GetID(), err)
		}
	}
}

// until waits until a history has so many events of a kind.
func (p *parenting) until(run client.WorkflowRun, kind enumspb.EventType, count int) {
	p.t.Helper()
	events := p.c.GetWorkflowHistory(within(p.t), run.GetID(), run.GetRunID(), true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() && count > 0 {
		event, err := events.Next()
		must(p.t, err)
		if event.EventType == kind {
			count--
		}
	}
	if count > 0 {
		p.t.Fatalf("%v is missing %d times", kind, count)
	}
}

func Echoes(_ workflow.Context, text string) (string, error) { return text, nil }

// Waits waits for a signal, or until it is cancelled.
func Waits(ctx workflow.Context) (word string, err error) {
	words := workflow.GetSignalChannel(ctx, "word")
	err = workflow.Await(ctx, func() bool { return words.ReceiveAsync(&word) })
	return
}

func Refuses(workflow.Context) error {
	return temporal.NewNonRetryableApplicationError("no funds", "Funds", errors.New("the account is empty"), 7, "EUR")
}

// OfAll starts a child with all options, and tells what that knows of itself.
func OfAll(ctx workflow.Context, id string) (all [2]string, err error) {
	customer := temporal.NewSearchAttributeKeyKeyword("Customer")
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, TaskQueue: "others", WorkflowExecutionTimeout: 3 * time.Hour, WorkflowRunTimeout: 2 * time.Hour,
		WorkflowTaskTimeout: 9 * time.Second, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		RetryPolicy:       &temporal.RetryPolicy{MaximumAttempts: 4},
		Memo:              map[string]any{"note": "x"},
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON, TypedSearchAttributes: temporal.NewSearchAttributes(customer.ValueSet("Ann")),
		StaticSummary: "in short", StaticDetails: "at length", Priority: temporal.Priority{PriorityKey: 2, FairnessKey: "Ann", FairnessWeight: 0.5},
	}), "TellsOfItself")
	err = child.Get(ctx, &all)
	return
}

func TellsOfItself(ctx workflow.Context) ([2]string, error) {
	info := workflow.GetInfo(ctx)
	memo, customer := info.Memo.GetFields()["note"].GetData(), info.SearchAttributes.GetIndexedFields()["Customer"].GetData()
	return [2]string{
		fmt.Sprintln(info.TaskQueueName, info.WorkflowExecutionTimeout, info.WorkflowRunTimeout, info.WorkflowTaskTimeout,
			info.RetryPolicy.MaximumAttempts, info.Priority, info.Attempt, string(memo), string(customer)),
		fmt.Sprint(info.ParentWorkflowNamespace, " ", info.ParentWorkflowExecution.ID, " ", info.RootWorkflowExecution.ID),
	}, nil
}

func TestEachOptionOfAChildArrives(t *testing.T) {
	p := family(t, OfAll, TellsOfItself)
	other := worker.New(p.c, "others", worker.Options{})
	other.RegisterWorkflow(TellsOfItself)
	must(t, other.Start())
	t.Cleanup(other.Stop)
	run := p.run(OfAll, "a child")
	got := result[[2]string](t, run)
	want := [2]string{
		`others 3h0m0s 2h0m0s 9s 4 {2 Ann 0.5} 1 "x" "Ann"` + "\n", fmt.Sprint("default ", run.GetID(), " ", run.GetID()),
	}
	if got != want {
		t.Errorf("%q", got)
	}
	var initiated *historypb.StartChildWorkflowExecutionInitiatedEventAttributes
	for _, event := range history(t, p.c, run).Events {
		if is := event.GetStartChildWorkflowExecutionInitiatedEventAttributes(); is != nil {
			initiated = is
			if string(event.UserMetadata.GetSummary().GetData()) != `"in short"` || string(event.UserMetadata.GetDetails().GetData()) != `"at length"` {
				t.Error(event.UserMetadata)
			}
		}
	}
	if initiated.ParentClosePolicy != enumspb.PARENT_CLOSE_POLICY_ABANDON ||
		initiated.WorkflowIdReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE {
		t.Error(initiated)
	}
	described, err := p.c.DescribeWorkflowExecution(within(t), "a child", "")
	must(t, err)
	if string(described.ExecutionConfig.GetUserMetadata().GetSummary().GetData()) != `"in short"` {
		t.Error(described.ExecutionConfig)
	}
	// The policy holds: the id isn't used again.
	var taken *temporal.ChildWorkflowExecutionAlreadyStartedError
	if err := p.run(OfAll, "a child").Get(within(t), nil); err == nil || !strings.Contains(err.Error(), "already started") || errors.As(err, &taken) {
		t.Error(err)
	}
}

// Inherits starts a child without any options.
func Inherits(ctx workflow.Context) (all [2]string, err error) {
	child := workflow.ExecuteChildWorkflow(ctx, TellsTimeouts)
	var started workflow.Execution
	if err := child.GetChildWorkflowExecution().Get(ctx, &started); err != nil {
		return all, err
	}
	err = child.Get(ctx, &all[0])
	all[1] = strings.TrimPrefix(started.ID, workflow.GetInfo(ctx).WorkflowExecution.RunID)
	return
}

func TellsTimeouts(ctx workflow.Context) (string, error) {
	info := workflow.GetInfo(ctx)
	return fmt.Sprint(info.TaskQueueName, info.WorkflowExecutionTimeout, info.WorkflowRunTimeout, info.WorkflowTaskTimeout), nil
}

func TestAChildHasItsParentsQueueAndTimeoutsAndAnIDOfTheParentsRun(t *testing.T) {
	p := family(t, Inherits, TellsTimeouts)
	run, err := p.c.ExecuteWorkflow(within(t), client.StartWorkflowOptions{
		TaskQueue: queue, WorkflowExecutionTimeout: 3 * time.Hour, WorkflowRunTimeout: 2 * time.Hour, WorkflowTaskTimeout: 9 * time.Second,
	}, Inherits)
	must(t, err)
	p.ran = append(p.ran, run)
	if got := result[[2]string](t, run); got != [2]string{"tests3h0m0s 2h0m0s 9s", "_5"} {
		t.Error(got)
	}
}

// ReliesOn waits for the end of a child, whatever it is.
func ReliesOn(ctx workflow.Context, kind, id string, timeout time.Duration) error {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, WorkflowRunTimeout: timeout, RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: 2},
	})
	return workflow.ExecuteChildWorkflow(ctx, kind, "given").Get(ctx, nil)
}

func Tries(ctx workflow.Context) error {
	return fmt.Errorf("attempt %d", workflow.GetInfo(ctx).Attempt)
}

// Through lets a failure of its child's through.
func Through(ctx workflow.Context) error {
	return workflow.ExecuteChildWorkflow(ctx, Refuses).Get(ctx, nil)
}

func TestFailuresOfChildrenKeepTypesChainsAndRetryStates(t *testing.T) {
	p := family(t, ReliesOn, Tries, Through)
	fails := func(kind string, timeout time.Duration) *temporal.ChildWorkflowExecutionError {
		t.Helper()
		run := p.run(ReliesOn, kind, kind, timeout)
		switch kind {
		case "Waits":
			p.until(run, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, 1)
			if timeout == 0 {
				must(t, p.c.TerminateWorkflow(within(t), kind, "", "enough"))
			}
		}
		err := run.Get(within(t), nil)
		var child *temporal.ChildWorkflowExecutionError
		if !errors.As(err, &child) {
			t.Fatalf("%s: %v", kind, err)
		}
		if child.WorkflowType() != kind || child.WorkflowID() != kind || child.Namespace() != "default" || child.RunID() == "" ||
			child.InitiatedEventID() != 5 || child.StartedEventID() < 6 {
			t.Errorf("%s: %v", kind, child)
		}
		return child
	}
	refused := fails("Refuses", 0)
	var application *temporal.ApplicationError
	var amount int
	var currency string
	if !errors.As(refused, &application) || application.Type() != "Funds" || application.Message() != "no funds" || !application.NonRetryable() ||
		application.Details(&amount, &currency) != nil || amount != 7 || currency != "EUR" || refused.RetryState() != enumspb.RETRY_STATE_NON_RETRYABLE_FAILURE {
		t.Error(refused)
	}
	if cause := application.Unwrap(); cause == nil || !strings.Contains(cause.Error(), "the account is empty") {
		t.Error(cause)
	}
	tried := fails("Tries", 0)
	if !errors.As(tried, &application) || application.Message() != "attempt 2" || tried.RetryState() != enumspb.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED {
		t.Error(tried)
	}
	ended := fails("Waits", 0)
	if !temporal.IsTerminatedError(ended) || ended.RetryState() != enumspb.RETRY_STATE_NON_RETRYABLE_FAILURE {
		t.Error(ended)
	}
	late := fails("Waits", 200*time.Millisecond)
	var timeout *temporal.TimeoutError
	if !errors.As(late, &timeout) || timeout.TimeoutType() != enumspb.TIMEOUT_TYPE_START_TO_CLOSE || timeout.Message() != "Child workflow timeout" {
		t.Error(late)
	}
	// A grandchild's: both of those above it are in the chain.
	outer := fails("Through", 0)
	inner, ok := outer.Unwrap().(*temporal.ChildWorkflowExecutionError)
	if !ok || inner.WorkflowType() != "Refuses" || !errors.As(inner, &application) || application.Type() != "Funds" {
		t.Error(outer)
	}
}

// Decodes asks for something else than its children have.
func Decodes(ctx workflow.Context) error {
	var number int
	err := workflow.ExecuteChildWorkflow(ctx, Echoes, "text").Get(ctx, &number)
	if err == nil {
		return errors.New("a text became a number")
	}
	err = workflow.ExecuteChildWorkflow(ctx, Echoes, 7).Get(ctx, nil)
	var application *temporal.ApplicationError
	if !errors.As(err, &application) || !strings.Contains(application.Message(), "unable to decode the arguments") {
		return fmt.Errorf("a number became a text: %w", err)
	}
	return nil
}

func TestWhatCanNotBeDecodedIsAnErrorOfWhoeverDecodesIt(t *testing.T) {
	p := family(t, Decodes)
	must(t, p.run(Decodes).Get(within(t), nil))
}

// Restless runs several times: it fails once, and continues as new twice.
func Restless(ctx workflow.Context, turn int) (int, error) {
	if info := workflow.GetInfo(ctx); turn == 0 && info.Attempt == 1 {
		return 0, errors.New("not yet")
	}
	if turn < 2 {
		return 0, workflow.NewContinueAsNewError(ctx, Restless, turn+1)
	}
	return turn, nil
}

func Patient(ctx workflow.Context) (turn int, err error) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond}})
	err = workflow.ExecuteChildWorkflow(ctx, Restless, 0).Get(ctx, &turn)
	return
}

func TestAChildOfManyRunsReportsOnce(t *testing.T) {
	p := family(t, Patient, Restless)
	run := p.run(Patient)
	if got := result[int](t, run); got != 2 {
		t.Error(got)
	}
	ends := 0
	for _, event := range history(t, p.c, run).Events {
		switch event.EventType {
		case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
			ends++
		}
	}
	if ends != 1 {
		t.Errorf("it reported %d times", ends)
	}
}

// Tree has children and grandchildren down to a depth.
func Tree(ctx workflow.Context, depth int) (nodes int, err error) {
	nodes = 1
	var branches []workflow.Future
	for range depth {
		branches = append(branches, workflow.ExecuteChildWorkflow(ctx, Tree, depth-1))
	}
	for _, branch := range branches {
		var below int
		if err := branch.Get(ctx, &below); err != nil {
			return 0, err
		}
		nodes += below
	}
	return nodes, nil
}

func TestChildrenHaveChildren(t *testing.T) {
	p := family(t, Tree)
	if got := result[int](t, p.run(Tree, 3)); got != 1+3*(1+2*(1+1)) {
		t.Error(got)
	}
}

// Crowd has many children, of which some are under way at a time.
func Crowd(ctx workflow.Context, count int, atATime int64) (failed int, err error) {
	slots, group := workflow.NewSemaphore(ctx, atATime), workflow.NewWaitGroup(ctx)
	open, most, next := 0, 0, workflow.NewSelector(ctx)
	for i := range count {
		group.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer group.Done()
			if slots.Acquire(ctx, 1) != nil {
				return
			}
			defer slots.Release(1)
			open++
			most = max(most, open)
			var child workflow.ChildWorkflowFuture
			if i%10 == 0 {
				child = workflow.ExecuteChildWorkflow(ctx, Refuses)
			} else {
				child = workflow.ExecuteChildWorkflow(ctx, Echoes, fmt.Sprint(i))
			}
			var text string
			if err := child.Get(ctx, &text); err != nil {
				failed++
			} else if text != fmt.Sprint(i) {
				panic(text)
			}
			open--
		})
	}
	group.Wait(ctx)
	// Selectors take children as they take other futures.
	next.AddFuture(workflow.ExecuteChildWorkflow(ctx, Refuses), func(f workflow.Future) {
		if f.Get(ctx, nil) != nil {
			failed++
		}
	}).Select(ctx)
	if most > int(atATime) {
		return 0, fmt.Errorf("%d at a time", most)
	}
	return failed, nil
}

func TestManyChildrenUnderASemaphore(t *testing.T) {
	p := family(t, Crowd)
	if got := result[int](t, p.run(Crowd, 200, 10)); got != 21 {
		t.Error(got)
	}
}

// Codes speaks to its child and its activities through a converter of its own.
func Codes(ctx workflow.Context) (text string, err error) {
	ctx = workflow.WithDataConverter(ctx, shouting{converter.GetDefaultDataConverter()})
	err = workflow.ExecuteChildWorkflow(ctx, Echoes, "a word").Get(ctx, &text)
	return
}

// shouting writes texts in capitals, and reads them with a mark behind.
type shouting struct{ converter.DataConverter }

func (s shouting) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	loud := slices.Clone(values)
	for i, value := range values {
		if text, ok := value.(string); ok {
			loud[i] = strings.ToUpper(text)
		}
	}
	return s.DataConverter.ToPayloads(loud...)
}

func (s shouting) FromPayload(payload *commonpb.Payload, valuePtr any) error {
	err := s.DataConverter.FromPayload(payload, valuePtr)
	if text, ok := valuePtr.(*string); ok {
		*text += "!"
	}
	return err
}

func TestAContextsConverterIsItsChildrens(t *testing.T) {
	p := family(t, Codes)
	if got := result[string](t, p.run(Codes)); got != "A WORD!" {
		t.Error(got)
	}
}

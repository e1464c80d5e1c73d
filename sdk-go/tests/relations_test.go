package tests

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/workflow"
	enumspb "go.temporal.io/api/enums/v1"
)

func (p *parenting) signal(id, name string, value any) {
	p.t.Helper()
	must(p.t, p.c.SignalWorkflow(within(p.t), id, "", name, value))
}

func (p *parenting) status(id string) enumspb.WorkflowExecutionStatus {
	p.t.Helper()
	described, err := p.c.DescribeWorkflowExecution(within(p.t), id, "")
	must(p.t, err)
	return described.WorkflowExecutionInfo.Status
}

// ended waits until a workflow has ended, however it does, and returns how.
func (p *parenting) ended(id string) enumspb.WorkflowExecutionStatus {
	p.t.Helper()
	_ = p.c.GetWorkflow(within(p.t), id, "").Get(within(p.t), nil)
	return p.status(id)
}

// kinds are the types of a history's events that are about other workflows.
func (p *parenting) kinds(run client.WorkflowRun) (kinds []string) {
	p.t.Helper()
	for _, event := range history(p.t, p.c, run).Events {
		name := event.EventType.String()
		if strings.Contains(name, "Child") || strings.Contains(name, "External") {
			kinds = append(kinds, name)
		}
	}
	return kinds
}

// Lingers says that it has been cancelled, and ends when it may.
func Lingers(ctx workflow.Context, as string) (string, error) {
	if err := workflow.Await(ctx, func() bool { return false }); !temporal.IsCanceledError(err) {
		return "", fmt.Errorf("not cancelled: %w", err)
	}
	apart, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.Sleep(apart, 50*time.Millisecond); err != nil {
		return "", err
	}
	switch as {
	case "cancelled":
		return "", ctx.Err()
	case "failed":
		return "", errors.New("cancelled badly")
	}
	return "ended", nil
}

// Cancels cancels its child: before it has started, or once it has. It tells what came of it, and whether it had to wait.
func Cancels(ctx workflow.Context, wait, early bool, as string) (string, error) {
	options := workflow.ChildWorkflowOptions{WaitForCancellation: wait}
	cancellable, cancel := workflow.WithCancel(workflow.WithChildOptions(ctx, options))
	child := workflow.ExecuteChildWorkflow(cancellable, Lingers, as)
	if early {
		cancel()
	}
	if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return "", err
	}
	begun := workflow.Now(ctx)
	cancel()
	cancel()
	if child.IsReady() {
		return "", errors.New("it didn't wait")
	}
	var text string
	err := child.Get(ctx, &text)
	if waited := workflow.Now(ctx).Sub(begun); waited < 50*time.Millisecond {
		return "", fmt.Errorf("it waited only %v", waited)
	}
	var failed *temporal.ChildWorkflowExecutionError
	switch {
	case err == nil:
		return text, nil
	case temporal.IsCanceledError(err) && errors.As(err, &failed) && failed.StartedEventID() > 0:
		return "cancelled", nil
	case errors.As(err, &failed) && strings.Contains(err.Error(), "cancelled badly"):
		return "failed", nil
	}
	return "", err
}

func TestACancelledChildIsWaitedForWhateverTheOptionSays(t *testing.T) {
	p := family(t, Cancels, Lingers)
	for _, wait := range []bool{false, true} {
		for _, early := range []bool{false, true} {
			for _, as := range []string{"cancelled", "failed", "ended"} {
				run := p.run(Cancels, wait, early, as)
				if got := result[string](t, run); got != as {
					t.Errorf("wait %v, early %v: %s instead of %s", wait, early, got, as)
				}
				if kinds := p.kinds(run); len(kinds) != 5 || kinds[2] != "RequestCancelExternalWorkflowExecutionInitiated" {
					t.Errorf("%q", kinds)
				}
			}
		}
	}
}

// Refrains starts a child in a context that is cancelled already.
func Refrains(ctx workflow.Context) error {
	cancelled, cancel := workflow.WithCancel(ctx)
	cancel()
	child := workflow.ExecuteChildWorkflow(cancelled, Waits)
	for _, future := range []workflow.Future{child, child.GetChildWorkflowExecution(), child.SignalChildWorkflow(ctx, "word", 1)} {
		if err := future.Get(ctx, nil); !errors.Is(err, workflow.ErrCanceled) {
			return fmt.Errorf("not cancelled: %w", err)
		}
	}
	return nil
}

// CancelsInVain cancels children that have ended: nothing is sent.
func CancelsInVain(ctx workflow.Context) error {
	cancellable, cancel := workflow.WithCancel(ctx)
	if err := workflow.ExecuteChildWorkflow(cancellable, Echoes, "x").Get(ctx, nil); err != nil {
		return err
	}
	cancel()
	return workflow.Sleep(ctx, time.Millisecond)
}

func TestNothingIsSentWhereThereIsNothingToCancel(t *testing.T) {
	p := family(t, Refrains, CancelsInVain)
	for function, want := range map[string]int{"Refrains": 0, "CancelsInVain": 3} {
		run := p.run(function)
		must(t, run.Get(within(t), nil))
		if kinds := p.kinds(run); len(kinds) != want {
			t.Errorf("%s: %q", function, kinds)
		}
	}
}

// Protects has a child that is cancelled with it, and one that isn't, since its context is another one.
func Protects(ctx workflow.Context, id string) (string, error) {
	apart, _ := workflow.NewDisconnectedContext(ctx)
	kept := workflow.ExecuteChildWorkflow(workflow.WithWorkflowID(apart, id), Waits)
	err := workflow.ExecuteChildWorkflow(ctx, Lingers, "cancelled").Get(ctx, nil)
	if !temporal.IsCanceledError(err) {
		return "", fmt.Errorf("not cancelled: %w", err)
	}
	if err := kept.SignalChildWorkflow(apart, "word", "kept").Get(apart, nil); err != nil {
		return "", err
	}
	var word string
	if err := kept.Get(apart, &word); err != nil || word != "kept" {
		return "", fmt.Errorf("%q: %w", word, err)
	}
	return "", err
}

func TestACancelledParentCancelsTheChildrenOfItsContext(t *testing.T) {
	p := family(t, Protects, Lingers)
	run := p.run(Protects, "kept")
	p.until(run, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, 2)
	must(t, p.c.CancelWorkflow(within(t), run.GetID(), ""))
	if err := run.Get(within(t), nil); !temporal.IsCanceledError(err) {
		t.Error(err)
	}
	if status := p.status("kept"); status != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		t.Error(status)
	}
}

// Abandons ends in a way while its child goes on.
func Abandons(ctx workflow.Context, id string, policy enumspb.ParentClosePolicy, way string) (string, error) {
	if id == "" {
		return "next", nil
	}
	options := workflow.ChildWorkflowOptions{WorkflowID: id, ParentClosePolicy: policy}
	// Its own cancellation is not its child's: the policy is.
	apart, _ := workflow.NewDisconnectedContext(ctx)
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(apart, options), Waits)
	if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return "", err
	}
	switch way {
	case "completes":
		return "done", nil
	case "fails":
		return "", errors.New("deliberate")
	case "continues":
		return "", workflow.NewContinueAsNewError(ctx, Abandons, "", policy, "")
	}
	return "", workflow.Sleep(ctx, time.Hour)
}

func TestTheParentClosePolicyHoldsHoweverTheParentEnds(t *testing.T) {
	p := family(t, Abandons)
	for policy, want := range map[enumspb.ParentClosePolicy]enumspb.WorkflowExecutionStatus{
		enumspb.PARENT_CLOSE_POLICY_UNSPECIFIED:    enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED,
		enumspb.PARENT_CLOSE_POLICY_TERMINATE:      enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED,
		enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
		enumspb.PARENT_CLOSE_POLICY_ABANDON:        enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
	} {
		for _, way := range []string{"completes", "fails", "continues", "is terminated", "is cancelled"} {
			id := fmt.Sprint(policy, " ", way)
			run := p.run(Abandons, id, policy, way)
			if strings.HasPrefix(way, "is ") {
				p.until(run, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, 1)
				if way == "is cancelled" {
					must(t, p.c.CancelWorkflow(within(t), run.GetID(), ""))
				} else {
					must(t, p.c.TerminateWorkflow(within(t), run.GetID(), "", ""))
				}
			}
			p.ended(run.GetID())
			if want == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
				p.signal(id, "word", "go on")
			}
			if got := p.ended(id); got != want {
				t.Errorf("%s: %v", id, got)
			}
		}
	}
}

// Taken asks for children whose ids are taken: by its other child, by itself, by somebody else, and by one that has ended.
func Taken(ctx workflow.Context, other string) (string, error) {
	tries := func(id string) (workflow.ChildWorkflowFuture, string) {
		child := workflow.ExecuteChildWorkflow(workflow.WithWorkflowID(ctx, id), Echoes, "started")
		first, second := child.GetChildWorkflowExecution().Get(ctx, nil), child.Get(ctx, nil)
		if fmt.Sprint(first) != fmt.Sprint(second) {
			return nil, fmt.Sprintf("%v, but %v", first, second)
		}
		var failed *temporal.ChildWorkflowExecutionError
		var taken *temporal.ChildWorkflowExecutionAlreadyStartedError
		switch {
		case !errors.As(first, &taken) || !temporal.IsWorkflowExecutionAlreadyStartedError(first):
			return child, fmt.Sprint(first)
		case errors.As(first, &failed):
			return child, fmt.Sprintf("%v %s %q %v", failed.WorkflowID() == id, failed.WorkflowType(), failed.RunID(), failed.RetryState())
		}
		return child, "refused here"
	}
	open := workflow.ExecuteChildWorkflow(workflow.WithWorkflowID(ctx, "child"), Waits)
	_, sibling := tries("child")
	_, own := tries(workflow.GetInfo(ctx).WorkflowExecution.ID)
	_, others := tries(other)
	if err := open.SignalChildWorkflow(ctx, "word", "end").Get(ctx, nil); err != nil {
		return "", err
	}
	if err := open.Get(ctx, nil); err != nil {
		return "", err
	}
	_, again := tries("child")
	return strings.Join([]string{sibling, own, others, again}, "; "), nil
}

func TestAnIDThatIsTakenIsAnErrorOfItsOwn(t *testing.T) {
	p := family(t, Taken)
	_, err := p.c.ExecuteWorkflow(within(t), client.StartWorkflowOptions{ID: "other", TaskQueue: queue}, Waits)
	must(t, err)
	const refused = `true Echoes "" NonRetryableFailure`
	got := result[string](t, p.run(Taken, "other"))
	if got != "refused here; "+refused+"; "+refused+"; <nil>" {
		t.Error(got)
	}
}

// Speaks sends words to a workflow: to the open run, or to this one.
func Speaks(ctx workflow.Context, to, runID string, words int) (string, error) {
	var sent []workflow.Future
	for i := range words {
		sent = append(sent, workflow.SignalExternalWorkflow(ctx, to, runID, "word", i))
	}
	for _, future := range sent {
		if err := future.Get(ctx, nil); err != nil {
			var missing *temporal.UnknownExternalWorkflowExecutionError
			return fmt.Sprint(err, " ", errors.As(err, &missing)), nil
		}
	}
	return "delivered", nil
}

func Ends(ctx workflow.Context, other, runID string) (string, error) {
	if err := workflow.RequestCancelExternalWorkflow(ctx, other, runID).Get(ctx, nil); err != nil {
		var missing *temporal.UnknownExternalWorkflowExecutionError
		return fmt.Sprint(err, " ", errors.As(err, &missing)), nil
	}
	return "delivered", nil
}

// Listens collects so many words.
func Listens(ctx workflow.Context, count int) ([]int, error) {
	words, heard := workflow.GetSignalChannel(ctx, "word"), make([]int, count)
	err := workflow.Await(ctx, func() bool { return words.Len() >= count })
	for i := range heard {
		words.ReceiveAsync(&heard[i])
	}
	return heard, err
}

const unknown = "unknown external workflow execution true"

func TestWorkflowsSignalEachOther(t *testing.T) {
	p := family(t, Speaks, Listens)
	for _, withRun := range []bool{false, true} {
		listener, runID := p.run(Listens, 20), ""
		if withRun {
			runID = listener.GetRunID()
		}
		if got := result[string](t, p.run(Speaks, listener.GetID(), runID, 20)); got != "delivered" {
			t.Error(got)
		}
		heard := result[[]int](t, listener)
		slices.Sort(heard)
		for i, word := range heard {
			if i != word {
				t.Fatal(heard)
			}
		}
		if got := result[string](t, p.run(Speaks, listener.GetID(), runID, 1)); got != unknown {
			t.Errorf("to one that has ended: %s", got)
		}
	}
	if got := result[string](t, p.run(Speaks, "nobody", "", 1)); got != unknown {
		t.Error(got)
	}
}

func TestWorkflowsCancelEachOther(t *testing.T) {
	p := family(t, Ends)
	for _, withRun := range []bool{false, true} {
		other, runID := p.run(Waits), ""
		if withRun {
			runID = other.GetRunID()
		}
		if got := result[string](t, p.run(Ends, other.GetID(), runID)); got != "delivered" {
			t.Error(got)
		}
		if err := other.Get(within(t), nil); !temporal.IsCanceledError(err) {
			t.Error(err)
		}
	}
	if got := result[string](t, p.run(Ends, "nobody", "")); got != unknown {
		t.Error(got)
	}
}

// Asks is a query handler that would start a child, signal and cancel.
func Asks(ctx workflow.Context) error {
	for name, f := range map[string]func(){
		"child":  func() { workflow.ExecuteChildWorkflow(ctx, Echoes, "x") },
		"signal": func() { workflow.SignalExternalWorkflow(ctx, "a", "", "word", nil) },
		"cancel": func() { workflow.RequestCancelExternalWorkflow(ctx, "a", "") },
	} {
		if err := workflow.SetQueryHandler(ctx, name, func() (string, error) { f(); return "done", nil }); err != nil {
			return err
		}
	}
	workflow.GetSignalChannel(ctx, "stop").Receive(ctx, nil)
	return nil
}

func TestAQueryHandlerSpeaksToNobody(t *testing.T) {
	p := family(t, Asks)
	run := p.run(Asks)
	for _, name := range []string{"child", "signal", "cancel"} {
		if _, err := p.c.QueryWorkflow(within(t), run.GetID(), "", name); err == nil || !strings.Contains(err.Error(), "only reads") {
			t.Error(err)
		}
	}
	p.signal(run.GetID(), "stop", nil)
	must(t, run.Get(within(t), nil))
	if kinds := p.kinds(run); len(kinds) != 0 {
		t.Error(kinds)
	}
}

// Elsewhere speaks to workflows of a namespace that isn't there, and counts the errors that say so.
func Elsewhere(ctx workflow.Context) (count int, err error) {
	ctx = workflow.WithWorkflowNamespace(ctx, "nowhere")
	for _, future := range []workflow.Future{
		workflow.ExecuteChildWorkflow(ctx, Echoes, "x"), workflow.SignalExternalWorkflow(ctx, "a", "", "word", nil),
		workflow.RequestCancelExternalWorkflow(ctx, "a", ""),
	} {
		var missing *temporal.NamespaceNotFoundError
		if err := future.Get(ctx, nil); !errors.As(err, &missing) {
			return 0, fmt.Errorf("another error: %w", err)
		}
		count++
	}
	return count, nil
}

func TestANamespaceThatIsNotThereIsAnErrorOfItsOwn(t *testing.T) {
	p := family(t, Elsewhere)
	if got := result[int](t, p.run(Elsewhere)); got != 3 {
		t.Error(got)
	}
}

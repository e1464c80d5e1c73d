package tests

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// Counter adds what updates bring, after an activity and a long sleep if they are negative; a signal ends it.
func Counter(ctx workflow.Context) (int, error) {
	total := 0
	add := func(ctx workflow.Context, n int) (int, error) {
		if n < 0 {
			if err := workflow.Sleep(ctx, 72*time.Hour); err != nil {
				return 0, err
			}
		}
		var greeting string
		err := workflow.ExecuteActivity(withActivities(ctx), "Greet").Get(ctx, &greeting)
		total += n
		return total, err
	}
	err := workflow.SetUpdateHandlerWithOptions(ctx, "add", add, workflow.UpdateHandlerOptions{Validator: func(n int) error {
		if n == 0 {
			return temporal.NewApplicationError("nothing to add", "Nothing")
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
	err = workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
	return total, err
}

func counts(w worker.Worker) {
	w.RegisterWorkflow(Counter)
	w.RegisterActivity(&Greeter{"hello"})
}

// sent sends an update and waits for its end.
func sent(t *testing.T, c client.Client, id, name string, args ...any) client.WorkflowUpdateHandle {
	t.Helper()
	handle, err := c.UpdateWorkflow(within(t), client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: name, Args: args, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	must(t, err)
	return handle
}

func added(t *testing.T, handle client.WorkflowUpdateHandle) (total int) {
	t.Helper()
	must(t, handle.Get(within(t), &total))
	return total
}

func TestAnUpdateChangesARunAndAnswers(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, counts)
	run := execute(t, c, Counter)
	if first, second := added(t, sent(t, c, run.GetID(), "add", 1)), added(t, sent(t, c, run.GetID(), "add", 2)); first != 1 || second != 3 {
		t.Error(first, second)
	}
	var refused *temporal.ApplicationError
	if err := sent(t, c, run.GetID(), "add", 0).Get(within(t), nil); !errors.As(err, &refused) || refused.Type() != "Nothing" {
		t.Error(err)
	}
	must(t, c.SignalWorkflow(within(t), run.GetID(), "", "end", nil))
	if total := result[int](t, run); total != 3 {
		t.Error(total)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(Counter)
	must(t, replayer.ReplayWorkflowHistory(quiet{}, history(t, c, run)))
}

func TestTimeSkipsWhileAnUpdateIsAwaited(t *testing.T) {
	c := dialSkipping(t)
	start(t, c, worker.Options{}, counts)
	run := execute(t, c, Counter)
	if total := added(t, sent(t, c, run.GetID(), "add", -1)); total != -1 {
		t.Error(total)
	}
	handle, err := c.UpdateWorkflow(within(t), client.UpdateWorkflowOptions{
		WorkflowID: run.GetID(), UpdateName: "add", Args: []any{-2}, WaitForStage: client.WorkflowUpdateStageAccepted,
	})
	must(t, err)
	if total := added(t, handle); total != -3 {
		t.Error(total)
	}
}

func TestAPanicOfAHandlerIsMendedByOtherCode(t *testing.T) {
	c := dial(t, "embedded:")
	var mended atomic.Bool
	register := func(w worker.Worker) {
		w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
			handler := func(workflow.Context) (string, error) {
				if !mended.Swap(true) {
					panic("oh dear")
				}
				return "mended", nil
			}
			if err := workflow.SetUpdateHandler(ctx, "ask", handler); err != nil {
				return err
			}
			return workflow.Await(ctx, func() bool { return false })
		}, workflow.RegisterOptions{Name: "Panics"})
	}
	start(t, c, worker.Options{}, register)
	run := execute(t, c, "Panics")
	var said string
	must(t, sent(t, c, run.GetID(), "ask").Get(within(t), &said))
	if said != "mended" {
		t.Error(said)
	}
}

func TestWhoStartsWithAnUpdateHearsOfBoth(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, counts)
	options := client.StartWorkflowOptions{ID: "counter", TaskQueue: queue, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL}
	call := func(start client.WithStartWorkflowOperation) (client.WorkflowUpdateHandle, error) {
		return c.UpdateWithStartWorkflow(within(t), client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: start, UpdateOptions: client.UpdateWorkflowOptions{
				UpdateName: "add", Args: []any{5}, WaitForStage: client.WorkflowUpdateStageCompleted,
			},
		})
	}
	first := c.NewWithStartWorkflowOperation(options, Counter)
	soon, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := first.Get(soon); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not executed") {
		t.Error(err)
	}
	handle, err := call(first)
	must(t, err)
	run, err := first.Get(within(t))
	must(t, err)
	if total := added(t, handle); total != 5 || run.GetRunID() != handle.RunID() {
		t.Error(total, run.GetRunID(), handle.RunID())
	}
	if _, err := call(first); err == nil || !strings.Contains(err.Error(), "already executed") {
		t.Error(err)
	}
	// The id is taken: who has made the start hears it too.
	second := c.NewWithStartWorkflowOperation(options, Counter)
	_, refused := call(second)
	_, same := second.Get(within(t))
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if !errors.As(refused, &started) || !errors.As(same, &started) || started.RunId != run.GetRunID() {
		t.Error(refused, same)
	}
}

// The server lets a call wait for some seconds; without a stage to wait for, it answers at once.
func TestACallByTheNameOfTheRPCIsAskedOnce(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, counts)
	run := execute(t, c, Counter)
	handle, err := c.UpdateWorkflow(within(t), client.UpdateWorkflowOptions{
		WorkflowID: run.GetID(), UpdateName: "add", Args: []any{-1}, WaitForStage: client.WorkflowUpdateStageAccepted,
	})
	must(t, err)
	execution := &commonpb.WorkflowExecution{WorkflowId: run.GetID(), RunId: run.GetRunID()}
	answer, err := c.WorkflowService().PollWorkflowExecutionUpdate(within(t), &workflowservice.PollWorkflowExecutionUpdateRequest{
		Namespace: "default", UpdateRef: &updatepb.UpdateRef{WorkflowExecution: execution, UpdateId: handle.UpdateID()},
	})
	must(t, err)
	if stage := answer.Stage; stage != enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED || answer.Outcome != nil {
		t.Error(stage, answer.Outcome)
	}
	var gaveUp *client.WorkflowUpdateServiceTimeoutOrCanceledError
	brief, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := handle.Get(brief, nil); !errors.As(err, &gaveUp) {
		t.Error(err)
	}
	other := c.GetWorkflowUpdateHandle(client.GetWorkflowUpdateHandleOptions{WorkflowID: run.GetID(), UpdateID: handle.UpdateID()})
	cancelled, cancelIt := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancelIt)
	if err := other.Get(cancelled, nil); !errors.As(err, &gaveUp) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

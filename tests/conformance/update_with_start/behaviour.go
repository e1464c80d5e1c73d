// Package update_with_start: one call that updates the run of an id, and starts it first if there is none.
package update_with_start

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	fail      = enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	use       = enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
	terminate = enums.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
)

// Cart collects what is put into it.
func Cart(ctx workflow.Context, owner string) ([]string, error) {
	things, paid := []string{owner}, false
	put := func(_ workflow.Context, thing string) (int, error) {
		things = append(things, thing)
		return len(things) - 1, nil
	}
	putWhenPaid := func(ctx workflow.Context, thing string) (string, error) {
		err := workflow.Await(ctx, func() bool { return paid })
		things = append(things, thing)
		return thing, err
	}
	err := errors.Join(
		workflow.SetUpdateHandlerWithOptions(ctx, "put", put, workflow.UpdateHandlerOptions{Validator: func(thing string) error {
			if thing == "" {
				return temporal.NewApplicationError("nothing to put", "Nothing")
			}
			return nil
		}}),
		workflow.SetUpdateHandler(ctx, "put_when_paid", putWhenPaid),
	)
	if err != nil {
		return nil, err
	}
	workflow.GetSignalChannel(ctx, "pay").Receive(ctx, nil)
	paid = true
	err = workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
	return things, err
}

// shop fills carts.
type shop struct {
	ctx context.Context
	env *harness.Env
}

func (s shop) start(owner, id string, policy enums.WorkflowIdConflictPolicy, change ...func(*client.StartWorkflowOptions)) client.WithStartWorkflowOperation {
	options := client.StartWorkflowOptions{ID: id, TaskQueue: s.env.TaskQueue, WorkflowIDConflictPolicy: policy}
	for _, f := range change {
		f(&options)
	}
	return s.env.Client.NewWithStartWorkflowOperation(options, Cart, owner)
}

func (s shop) try(start client.WithStartWorkflowOperation, update client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	if update.WaitForStage == client.WorkflowUpdateStageUnspecified {
		update.WaitForStage = client.WorkflowUpdateStageCompleted
	}
	return s.env.Client.UpdateWithStartWorkflow(s.ctx, client.UpdateWithStartWorkflowOptions{StartWorkflowOperation: start, UpdateOptions: update})
}

// put puts a thing into a cart that may have to be started, and returns how many are there and the run.
func (s shop) put(start client.WithStartWorkflowOperation, id, thing string) (count int, run client.WorkflowRun) {
	handle, err := s.try(start, client.UpdateWorkflowOptions{UpdateID: id, UpdateName: "put", Args: []any{thing}})
	harness.Must(err)
	harness.Must(handle.Get(s.ctx, &count))
	run, err = start.Get(s.ctx)
	harness.Must(err)
	harness.Assert(handle.WorkflowID() == run.GetID() && run.GetRunID() != "", "%s %s", run.GetID(), run.GetRunID())
	return count, run
}

// expect puts a thing into a cart.
func (s shop) expect(want int, start client.WithStartWorkflowOperation, id, thing string) client.WorkflowRun {
	count, run := s.put(start, id, thing)
	harness.Assert(count == want, "%d instead of %d", count, want)
	return run
}

func (s shop) refused(start client.WithStartWorkflowOperation, thing string) error {
	_, err := s.try(start, client.UpdateWorkflowOptions{UpdateName: "put", Args: []any{thing}})
	harness.Assert(err != nil, "it was not refused")
	return err
}

// pay ends a cart.
func (s shop) pay(run client.WorkflowRun, want ...string) {
	harness.Must(s.env.Client.SignalWorkflow(s.ctx, run.GetID(), run.GetRunID(), "pay", nil))
	got := harness.Result[[]string](s.ctx, run)
	harness.Assert(slices.Equal(got, want), "%v instead of %v", got, want)
	s.env.Also(run)
}

var Behaviour = harness.Behaviour{
	Name: "update_with_start", Workflows: []any{Cart},
	Check: func(ctx context.Context, env *harness.Env) error {
		s := shop{ctx, env}
		s.checkStarts()
		s.checkWhoIsThere()
		s.checkRejection()
		s.checkRefusals()
		return nil
	},
}

// checkStarts: nobody is there. Each policy starts a run, and its first task has the update.
func (s shop) checkStarts() {
	for _, policy := range []enums.WorkflowIdConflictPolicy{fail, use} {
		id := s.env.NewID()
		run := s.expect(1, s.start("Ann", id, policy), "", "milk")
		harness.Assert(run.GetID() == id, "%s instead of %s", run.GetID(), id)
		history, err := harness.History(s.ctx, s.env.Client, id, "")
		harness.Must(err)
		want := []enums.EventType{
			enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enums.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enums.EVENT_TYPE_WORKFLOW_TASK_STARTED,
			enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
			enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED,
		}
		harness.Assert(slices.Equal(harness.Types(history), want), "%v", harness.Types(history))
		s.pay(run, "Ann", "milk")
	}
	// One that is only accepted; its workflow is known by then.
	id := s.env.NewID()
	start := s.start("Bob", id, fail)
	update, err := s.try(start, client.UpdateWorkflowOptions{
		UpdateID: "bread", UpdateName: "put_when_paid", Args: []any{"bread"}, WaitForStage: client.WorkflowUpdateStageAccepted,
	})
	harness.Must(err)
	run, err := start.Get(s.ctx)
	harness.Must(err)
	harness.Assert(update.UpdateID() == "bread" && update.WorkflowID() == id && update.RunID() == run.GetRunID(), "%v", update)
	s.pay(run, "Bob", "bread")
	var thing string
	harness.Must(update.Get(s.ctx, &thing))
	harness.Assert(thing == "bread", "%s", thing)
}

// isTaken tells whether a start was refused because of a run that has the id.
func isTaken(err error, run client.WorkflowRun) {
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	harness.Assert(errors.As(err, &started) && started.RunId == run.GetRunID(), "%v", err)
}

func (s shop) checkWhoIsThere() {
	id := s.env.NewID()
	first := s.expect(1, s.start("Ann", id, use), "milk", "milk")
	second := s.expect(2, s.start("Bob", id, use), "", "bread")
	harness.Assert(first.GetRunID() == second.GetRunID(), "there are two runs")
	// Asked once more by its id: the answer of then.
	s.expect(1, s.start("Bob", id, use), "milk", "something else")
	isTaken(s.refused(s.start("Bob", id, fail), "eggs"), first)
	// But an update that is there already is found by its id.
	s.expect(1, s.start("Bob", id, fail), "milk", "milk")
	s.pay(first, "Ann", "milk", "bread")
	// It is closed: a new run, unless the reuse policy says otherwise.
	isTaken(s.refused(s.start("Bob", id, use, func(o *client.StartWorkflowOptions) {
		o.WorkflowIDReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	}), "eggs"), first)
	newest := s.expect(1, s.start("Bob", id, use), "", "eggs")
	harness.Assert(newest.GetRunID() != first.GetRunID(), "the old run is closed")
	// Ten at once.
	counts := make([]int, 10)
	var all sync.WaitGroup
	for i := range counts {
		all.Go(func() { counts[i], _ = s.put(s.start("Bob", id, use), "", fmt.Sprint("egg ", i)) })
	}
	all.Wait()
	slices.Sort(counts)
	harness.Assert(slices.Equal(counts, []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11}), "%v", counts)
	// One that takes the place of the run that is there.
	last := s.expect(1, s.start("Cid", id, terminate), "", "salt")
	old, err := s.env.Client.DescribeWorkflowExecution(s.ctx, id, newest.GetRunID())
	harness.Must(err)
	status := old.WorkflowExecutionInfo.Status
	harness.Assert(status == enums.WORKFLOW_EXECUTION_STATUS_TERMINATED, "%v", status)
	s.pay(last, "Cid", "salt")
}

// checkRejection: the update is turned away, and the run that was started for it goes on.
func (s shop) checkRejection() {
	start := s.start("Ann", s.env.NewID(), fail)
	update, err := s.try(start, client.UpdateWorkflowOptions{UpdateName: "put", Args: []any{""}})
	harness.Must(err)
	var failed *temporal.ApplicationError
	err = update.Get(s.ctx, nil)
	harness.Assert(errors.As(err, &failed) && failed.Type() == "Nothing", "%v", err)
	run, err := start.Get(s.ctx)
	harness.Must(err)
	s.pay(run, "Ann")
	s.refused(start, "milk") // It was used.
}

// checkRefusals has what the client refuses, and what the server does.
func (s shop) checkRefusals() {
	fresh := func() client.WithStartWorkflowOperation { return s.start("Ann", s.env.NewID(), fail) }
	s.refused(s.start("Ann", s.env.NewID(), enums.WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED), "milk")
	for _, update := range []client.UpdateWorkflowOptions{
		{WaitForStage: client.WorkflowUpdateStageAdmitted}, {RunID: "a run"}, {FirstExecutionRunID: "a run"},
	} {
		update.UpdateName, update.Args = "put", []any{"milk"}
		_, err := s.try(fresh(), update)
		harness.Assert(err != nil, "that can't be asked for: %v", update)
	}
	for _, change := range []func(*client.StartWorkflowOptions){
		func(o *client.StartWorkflowOptions) { o.CronSchedule = "* * * * *" },
		func(o *client.StartWorkflowOptions) { o.StartDelay = time.Second },
	} {
		var invalid *serviceerror.InvalidArgument
		err := s.refused(s.start("Ann", s.env.NewID(), fail, change), "milk")
		harness.Assert(errors.As(err, &invalid), "%v", err)
	}
}

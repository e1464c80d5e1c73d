// Command record runs the programs and writes their histories: `record ADDRESS FOLDER`. Those in tests/replay/histories were
// recorded with the official SDK: by a copy of these two packages whose imports name go.temporal.io/sdk, on a real Temporal
// server.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/tests/histories"
	"durably.dev/sdk/worker"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"
)

const queue = "replay"

type recorder struct {
	client client.Client
	folder string
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// working runs a worker while f runs.
func (r *recorder) working(f func()) {
	w := worker.New(r.client, queue, worker.Options{Identity: "recorder"})
	for _, program := range histories.Programs {
		w.RegisterWorkflow(program)
	}
	for _, activity := range histories.Activities {
		w.RegisterActivity(activity)
	}
	must(w.Start())
	f()
	w.Stop()
}

func (r *recorder) start(name string, program histories.Program, argument int) client.WorkflowRun {
	options := client.StartWorkflowOptions{ID: name, TaskQueue: queue}
	run, err := r.client.ExecuteWorkflow(context.Background(), options, program, argument)
	must(err)
	return run
}

func (r *recorder) signal(run client.WorkflowRun, name string, value any) {
	must(r.client.SignalWorkflow(context.Background(), run.GetID(), "", name, value))
}

func (r *recorder) history(id, runID string) *history.History {
	events := r.client.GetWorkflowHistory(context.Background(), id, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	h := &history.History{}
	for events.HasNext() {
		event, err := events.Next()
		must(err)
		if failed := event.GetActivityTaskFailedEventAttributes().GetFailure(); failed != nil {
			// It names the recording machine's paths, and nothing depends on it.
			failed.StackTrace = ""
		}
		h.Events = append(h.Events, event)
	}
	return h
}

// until waits until the history has so many events of a type.
func (r *recorder) until(run client.WorkflowRun, kind enums.EventType, count int) {
	for {
		found := 0
		for _, event := range r.history(run.GetID(), "").Events {
			if event.EventType == kind {
				found++
			}
		}
		if found >= count {
			return
		}
		// tidy-allow: sleep: a recorder, which looks again until the history has what it waits for
		time.Sleep(10 * time.Millisecond)
	}
}

func (r *recorder) save(name, id, runID string) {
	bytes, err := proto.Marshal(r.history(id, runID))
	must(err)
	must(os.WriteFile(filepath.Join(r.folder, name+".binpb"), bytes, 0o644))
}

// end waits for the end of a run, whatever it is, and saves its history, and those of the runs that went on from it.
func (r *recorder) end(run client.WorkflowRun) {
	ctx, id, first := context.Background(), run.GetID(), run.GetRunID()
	if err := run.Get(ctx, nil); err != nil {
		log.Print(id, ": ", err)
	}
	r.save(id, id, first)
	last, err := r.client.DescribeWorkflowExecution(ctx, id, "")
	must(err)
	if runID := last.WorkflowExecutionInfo.Execution.RunId; runID != first {
		r.save(id+"-last", id, runID)
	}
}

// guardian is a workflow that is cancelled when both of its children have started.
func (r *recorder) guardian() client.WorkflowRun {
	run := r.start("go-guardian", histories.Guardian, 0)
	r.until(run, enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, 2)
	must(r.client.CancelWorkflow(context.Background(), run.GetID(), ""))
	return run
}

// update sends an update and waits until it is accepted or rejected; what becomes of it the history tells.
func (r *recorder) update(run client.WorkflowRun, id, name string, args ...any) {
	_, err := r.client.UpdateWorkflow(context.Background(), client.UpdateWorkflowOptions{
		WorkflowID: run.GetID(), UpdateID: id, UpdateName: name, Args: args, WaitForStage: client.WorkflowUpdateStageAccepted,
	})
	if err != nil {
		log.Print(run.GetID(), ", update ", id, ": ", err)
	}
}

// started starts a workflow together with an update.
func (r *recorder) started(id, update, name string, program histories.Program, argument int, args ...any) client.WorkflowRun {
	options := client.StartWorkflowOptions{ID: id, TaskQueue: queue, WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL}
	start := r.client.NewWithStartWorkflowOperation(options, program, argument)
	_, err := r.client.UpdateWithStartWorkflow(context.Background(), client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start, UpdateOptions: client.UpdateWorkflowOptions{
			UpdateID: update, UpdateName: name, Args: args, WaitForStage: client.WorkflowUpdateStageAccepted,
		},
	})
	must(err)
	run, err := start.Get(context.Background())
	must(err)
	return run
}

// atOnce sends updates side by side while nobody works, so that they come with one task, and has the worker begin then.
func (r *recorder) atOnce(run client.WorkflowRun, name string, argument int) {
	var sent sync.WaitGroup
	for i := range 3 {
		sent.Go(func() { r.update(run, fmt.Sprint("together-", i), name, argument) })
	}
	r.signal(run, "turn", nil)
	r.signal(run, "turn", nil)
	r.working(func() {
		sent.Wait()
		r.signal(run, "turn", nil)
		r.end(run)
	})
}

func (r *recorder) updates() {
	var late client.WorkflowRun
	r.working(func() {
		ledger := r.started("go-ledger", "a", "enter", histories.Ledger, 3, histories.Charged)
		r.update(ledger, "b", "enter", histories.Plain)
		r.update(ledger, "c", "enter", histories.Delayed)
		r.signal(ledger, "turn", nil)
		r.update(ledger, "d", "enter", histories.Delayed)
		r.update(ledger, "e", "enter", histories.Negative)
		r.update(ledger, "f", "enter", histories.Refused)
		r.signal(ledger, "turn", nil)
		r.update(ledger, "g", "enter", histories.Raised)
		r.update(ledger, "h", "enter", histories.Nested)
		r.signal(ledger, "turn", nil)
		r.end(ledger)
		latecomer := r.started("go-latecomer", "a", "second", histories.Latecomer, 0)
		r.update(latecomer, "b", "third")
		r.update(latecomer, "c", "first")
		r.signal(latecomer, "third", nil)
		r.update(latecomer, "d", "third")
		r.update(latecomer, "e", "fourth")
		r.signal(latecomer, "end", nil)
		r.end(latecomer)
		abandons := r.started("go-abandons", "a", "hang", histories.Abandons, 0)
		r.update(abandons, "b", "hang")
		r.end(abandons)
		late = r.start("go-ledger-at-once", histories.Ledger, 3)
		r.until(late, enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, 1)
	})
	r.atOnce(late, "enter", histories.Charged)
}

func main() {
	c, err := client.Dial(client.Options{HostPort: os.Args[1], Identity: "recorder"})
	must(err)
	defer c.Close()
	r := &recorder{c, os.Args[2]}
	r.updates()
	var races [2]client.WorkflowRun
	var flying client.WorkflowRun
	r.working(func() {
		approved := r.start("go-order-approved", histories.Order, 1)
		r.signal(approved, "approve", true)
		refused := r.start("go-order-refused", histories.Order, 2)
		cleans := r.start("go-cleans-up", histories.CleansUp, 1)
		r.until(cleans, enums.EVENT_TYPE_TIMER_STARTED, 1)
		must(c.CancelWorkflow(context.Background(), cleans.GetID(), ""))
		waits := r.start("go-waits", histories.Waits, 1)
		r.until(waits, enums.EVENT_TYPE_TIMER_STARTED, 2)
		r.signal(waits, "count", nil)
		all := []client.WorkflowRun{
			approved, refused, cleans, r.start("go-parallel", histories.Parallel, 4), r.start("go-pool", histories.Pool, 7),
			r.start("go-cancellations", histories.Cancellations, 0), r.start("go-leaves", histories.Leaves, 0),
			r.start("go-turns", histories.Turns, 1),
			r.start("go-children", histories.Children, 5), r.start("go-taken-ids", histories.TakenIDs, 0),
			r.start("go-cancelled-children", histories.CancelledChildren, 0), r.guardian(), r.start("go-speaks", histories.Speaks, 0),
		}
		for _, run := range all {
			r.end(run)
		}
		r.save("go-child", "go-children-0", "")
		for range 3 {
			r.signal(waits, "count", nil)
		}
		r.end(waits)
		for i, name := range []string{"go-races-signal", "go-races-timer"} {
			races[i] = r.start(name, histories.Races, 0)
			r.until(races[i], enums.EVENT_TYPE_TIMER_STARTED, 1)
		}
		flying = r.start("go-in-flight", histories.InFlight, 3)
		r.until(flying, enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, 2)
	})
	// Nobody works: what comes now comes with one task.
	r.save(flying.GetID(), flying.GetID(), flying.GetRunID())
	r.signal(races[0], "go", nil)
	r.until(races[0], enums.EVENT_TYPE_TIMER_FIRED, 1)
	r.until(races[1], enums.EVENT_TYPE_TIMER_FIRED, 1)
	r.signal(races[1], "go", nil)
	r.signal(flying, "finish", "well")
	r.working(func() {
		for _, run := range append(races[:], flying) {
			if run == flying {
				must(run.Get(context.Background(), nil))
				r.save(strings.ReplaceAll(run.GetID(), "flight", "flight-ended"), run.GetID(), run.GetRunID())
				continue
			}
			r.end(run)
		}
	})
}

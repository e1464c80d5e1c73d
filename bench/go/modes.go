package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Queues that no worker polls: what goes there stays pending.
const nobodysQueue = "bench-nobody"

// finished tells the client, which lives in the same process, that the steps of a run of Beside are through. The run
// itself is still open then: closing it would count among the steps what becomes of all that is pending.
var finished sync.Map

// Finished is the activity after the last step.
func Finished(_ context.Context, id string) error {
	if done, ok := finished.Load(id); ok {
		close(done.(chan struct{}))
	}
	return nil
}

// Beside leaves so many activities pending, waits for a signal, and takes its steps beside them.
func Beside(ctx workflow.Context, pending, steps int) error {
	waiting := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: nobodysQueue, ScheduleToCloseTimeout: time.Hour, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	for range pending {
		workflow.ExecuteActivity(waiting, Echo, "x")
	}
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	if _, err := Steps(ctx, steps); err != nil {
		return err
	}
	working := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	if err := workflow.ExecuteActivity(working, Finished, workflow.GetInfo(ctx).WorkflowExecution.ID).Get(ctx, nil); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return false })
}

// beside measures what the steps of one run cost the server while so many of its activities are pending. Runs of the
// mode are what is pending.
func beside(c client.Client, pid int, m mode) (Figures, error) {
	ctx := context.Background()
	id := fmt.Sprintf("beside-%d-%d", os.Getpid(), serial.Add(1))
	done := make(chan struct{})
	finished.Store(id, done)
	defer finished.Delete(id)
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, Beside, m.runs, m.steps)
	if err != nil {
		return Figures{}, err
	}
	if err := allPending(ctx, c, run, m.runs); err != nil {
		return Figures{}, err
	}
	began, server, own := time.Now(), cpu(pid), cpu(os.Getpid())
	if err := c.SignalWorkflow(ctx, id, run.GetRunID(), "go", nil); err != nil {
		return Figures{}, err
	}
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		return Figures{}, errors.New("the steps did not come to an end within two minutes")
	}
	elapsed := time.Since(began)
	figures := Figures{
		Mode: m.name, Runs: m.runs, Concurrent: 1, Steps: m.steps,
		P50:       elapsed.Seconds() * 1000 / float64(m.steps),
		ServerCPU: (cpu(pid) - server) * 1000 / float64(m.steps), WorkerCPU: (cpu(os.Getpid()) - own) * 1000 / float64(m.steps),
		ServerRSS: rss(pid),
	}
	return figures, c.TerminateWorkflow(ctx, id, run.GetRunID(), "measured")
}

// allPending waits until the run's activities are in its history.
func allPending(ctx context.Context, c client.Client, run client.WorkflowRun, pending int) error {
	events := c.GetWorkflowHistory(ctx, run.GetID(), run.GetRunID(), true, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for found := 0; found < pending && events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			return err
		}
		if event.EventType == enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED {
			found++
		}
	}
	return nil
}

// starts measures how long the start of a workflow takes, so many times; with listing, while one client lists all
// that there is with a filter that looks at every row, again and again. Nobody works on what is started.
func starts(c client.Client, pid int, m mode, listing bool) (Figures, error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	listed := make(chan error, 1)
	if listing {
		go func() { listed <- listForever(ctx, c) }()
	} else {
		listed <- nil
	}
	latency := make([]float64, 0, m.runs)
	began, server, own := time.Now(), cpu(pid), cpu(os.Getpid())
	for range m.runs {
		options := client.StartWorkflowOptions{
			ID: fmt.Sprintf("start-%d-%d", os.Getpid(), serial.Add(1)), TaskQueue: nobodysQueue,
		}
		start := time.Now()
		if _, err := c.ExecuteWorkflow(ctx, options, Steps, m.steps); err != nil {
			return Figures{}, err
		}
		latency = append(latency, float64(time.Since(start).Microseconds())/1000)
	}
	elapsed, n := time.Since(began).Seconds(), float64(m.runs)
	figures := Figures{
		Mode: m.name, Runs: m.runs, Concurrent: 1, Steps: m.steps, PerSecond: n / elapsed,
		ServerCPU: (cpu(pid) - server) * 1000 / n, WorkerCPU: (cpu(os.Getpid()) - own) * 1000 / n, ServerRSS: rss(pid),
	}
	slices.Sort(latency)
	figures.P50, figures.P99 = latency[m.runs/2], latency[m.runs*99/100]
	stop()
	return figures, <-listed
}

// listForever goes through a list that matches nothing and has to look at all rows to know it, until it is stopped.
func listForever(ctx context.Context, c client.Client) error {
	terms := make([]string, 40)
	for i := range terms {
		terms[i] = fmt.Sprintf("WorkflowId STARTS_WITH 'nothing-%d'", i)
	}
	request := &workflowservice.ListWorkflowExecutionsRequest{Query: strings.Join(terms, " OR "), PageSize: 1000}
	for ctx.Err() == nil {
		if _, err := c.ListWorkflow(ctx, request); err != nil && ctx.Err() == nil {
			return fmt.Errorf("the listing failed: %w", err)
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
)

// A caller that finds ten updates of the run in flight, or is told to come again, does so after this.
const fullRun = 10 * time.Millisecond

// Updated answers updates until it is told to end.
func Updated(ctx workflow.Context) error {
	err := workflow.SetUpdateHandler(ctx, "step", func(workflow.Context) error { return nil })
	if err != nil {
		return err
	}
	workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
	return nil
}

// updates measures updates of one run, by so many callers at a time; Runs of the mode are updates, and figures are per
// update. The call is the bare one: the SDK's own waits a second before it tries again where ten are in flight.
func updates(c client.Client, pid int, limit time.Duration, m mode) (Figures, error) {
	ctx := context.Background()
	id := fmt.Sprintf("updates-%d-%d", os.Getpid(), serial.Add(1))
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, Updated)
	if err != nil {
		return Figures{}, err
	}
	// The first brings the run to its worker.
	if err := update(ctx, c, run, "first"); err != nil {
		return Figures{}, err
	}
	var (
		next     atomic.Int64
		failed   atomic.Pointer[error]
		mu       sync.Mutex
		latency  []float64
		wg       sync.WaitGroup
		began    = time.Now()
		server   = cpu(pid)
		own      = cpu(os.Getpid())
		crossed  = runtime.NumCgoCall()
		deadline = began.Add(limit)
	)
	for range m.concurrent {
		wg.Go(func() {
			for n := int(next.Add(1)); n <= m.runs && time.Now().Before(deadline) && failed.Load() == nil; n = int(next.Add(1)) {
				start := time.Now()
				if err := update(ctx, c, run, fmt.Sprint(n)); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				took := float64(time.Since(start).Microseconds()) / 1000
				mu.Lock()
				latency = append(latency, took)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return Figures{}, *err
	}
	elapsed, n := time.Since(began).Seconds(), len(latency)
	slices.Sort(latency)
	figures := Figures{
		Mode: m.name, Runs: n, Concurrent: m.concurrent, Steps: m.steps,
		PerSecond: float64(n) / elapsed, P50: latency[n/2], P99: latency[min(n*99/100, n-1)],
		ServerCPU: (cpu(pid) - server) * 1000 / float64(n), WorkerCPU: (cpu(os.Getpid()) - own) * 1000 / float64(n),
		ServerRSS:   rss(pid),
		BridgeCalls: float64(runtime.NumCgoCall()-crossed) / float64(n),
	}
	if err := c.SignalWorkflow(ctx, id, run.GetRunID(), "end", nil); err != nil {
		return Figures{}, err
	}
	return figures, run.Get(ctx, nil)
}

// update asks for one update until it is completed.
func update(ctx context.Context, c client.Client, run client.WorkflowRun, id string) error {
	completed := enums.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
	request := &workflowservice.UpdateWorkflowExecutionRequest{
		Namespace:         "default",
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: run.GetID(), RunId: run.GetRunID()},
		WaitPolicy:        &updatepb.WaitPolicy{LifecycleStage: completed},
		Request: &updatepb.Request{
			Meta:  &updatepb.Meta{UpdateId: id},
			Input: &updatepb.Input{Name: "step"},
		},
	}
	for {
		response, err := c.WorkflowService().UpdateWorkflowExecution(ctx, request)
		var full *serviceerror.ResourceExhausted
		// The real server takes back updates now and then.
		var dropped *serviceerror.Unavailable
		switch {
		case errors.As(err, &full), errors.As(err, &dropped):
			time.Sleep(fullRun)
		case err != nil:
			return err
		case response.GetOutcome().GetFailure() != nil:
			return errors.New(response.GetOutcome().GetFailure().GetMessage())
		case response.GetStage() == completed:
			return nil
		}
	}
}

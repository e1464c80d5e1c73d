// Loads any server that speaks Temporal's gRPC API with the official Go SDK as client and worker, and prints
// one JSON line per mode: throughput, latency from start to result, CPU of the server and of this process.
//
//	load -address 127.0.0.1:7233 -pid 4711 [-seconds 20] mode...
//	load -startup command {port}...
//
// A mode is NAME:RUNS:CONCURRENT:STEPS, with NAME one of activity (STEPS activities in sequence), signal (STEPS signals),
// children (STEPS children at once, each of which ends at once; figures are per parent),
// beside (one run that takes STEPS while RUNS of its activities are pending; figures are per step), start (starts that
// nobody works on), start-listing (the same while a list goes on) and updates (RUNS updates of one run; figures are per
// update). The first three and the last end early when their seconds are up: the figures are those of what is done. A mode
// that fails says so in place of its figures.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const taskQueue = "bench"

// Echo is the least an activity can do.
func Echo(_ context.Context, s string) (string, error) { return s, nil }

// Steps runs activities one after the other.
func Steps(ctx workflow.Context, steps int) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	result := "x"
	for range steps {
		if err := workflow.ExecuteActivity(ctx, Echo, result).Get(ctx, &result); err != nil {
			return "", err
		}
	}
	return result, nil
}

// Signals waits for so many signals.
func Signals(ctx workflow.Context, steps int) (string, error) {
	for range steps {
		workflow.GetSignalChannel(ctx, "step").Receive(ctx, nil)
	}
	return "x", nil
}

// Child is the least that a child can do.
func Child(_ workflow.Context) (string, error) { return "x", nil }

// Children starts so many children at once, and waits for them all.
func Children(ctx workflow.Context, steps int) (string, error) {
	children := make([]workflow.ChildWorkflowFuture, steps)
	for i := range children {
		children[i] = workflow.ExecuteChildWorkflow(ctx, Child)
	}
	for _, child := range children {
		if err := child.Get(ctx, nil); err != nil {
			return "", err
		}
	}
	return "x", nil
}

type mode struct {
	name                    string
	runs, concurrent, steps int
}

// Figures are what one mode came to.
type Figures struct {
	Mode       string  `json:"mode"`
	Runs       int     `json:"runs"`
	Concurrent int     `json:"concurrent"`
	Steps      int     `json:"steps"`
	PerSecond  float64 `json:"workflows_per_s"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	ServerCPU  float64 `json:"server_cpu_ms_per_workflow"`
	WorkerCPU  float64 `json:"worker_cpu_ms_per_workflow"`
	ServerRSS  float64 `json:"server_rss_mb"`
	// Calls of C functions, per workflow task of a mode whose steps take one each; 0 without a core behind the SDK.
	BridgeCalls float64 `json:"bridge_calls_per_workflow_task"`
}

func main() {
	address := flag.String("address", "127.0.0.1:7233", "host:port of the server")
	pid := flag.Int("pid", 0, "process of the server, to read its CPU time from")
	seconds := flag.Int("seconds", 20, "limit of one mode")
	measureStartup := flag.Bool("startup", false, "the arguments are a server's command: measure its start")
	flag.Parse()
	if *measureStartup {
		if err := startup(flag.Args()); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(*address, *pid, time.Duration(*seconds)*time.Second, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(address string, pid int, limit time.Duration, modes []string) error {
	c, err := client.Dial(client.Options{HostPort: address, Logger: quiet{}})
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, taskQueue, worker.Options{MaxConcurrentWorkflowTaskPollers: 8, MaxConcurrentActivityTaskPollers: 8})
	w.RegisterWorkflow(Steps)
	w.RegisterWorkflow(Signals)
	w.RegisterWorkflow(Children)
	w.RegisterWorkflow(Child)
	w.RegisterWorkflow(Beside)
	w.RegisterWorkflow(Updated)
	w.RegisterActivity(Echo)
	w.RegisterActivity(Finished)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	// The first runs open connections and fill caches; they count for nobody.
	if _, err := measure(c, pid, limit, mode{"activity", 50, 10, 1}); err != nil {
		return err
	}
	for _, text := range modes {
		m, err := parse(text)
		if err != nil {
			return err
		}
		// An older server may lack what one mode needs: the others are measured all the same.
		var said any
		if said, err = figuresOf(c, pid, limit, m); err != nil {
			said = map[string]string{"mode": m.name, "failed": err.Error()}
		}
		line, err := json.Marshal(said)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	}
	return nil
}

func parse(text string) (m mode, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 4 {
		return m, fmt.Errorf("mode %q is not NAME:RUNS:CONCURRENT:STEPS", text)
	}
	m.name = parts[0]
	for i, number := range []*int{&m.runs, &m.concurrent, &m.steps} {
		if *number, err = strconv.Atoi(parts[i+1]); err != nil {
			return m, fmt.Errorf("mode %q: %w", text, err)
		}
	}
	return m, nil
}

func figuresOf(c client.Client, pid int, limit time.Duration, m mode) (Figures, error) {
	switch m.name {
	case "activity", "signal", "children":
		return measure(c, pid, limit, m)
	case "beside":
		return beside(c, pid, m)
	case "updates":
		return updates(c, pid, limit, m)
	case "start", "start-listing":
		return starts(c, pid, m, m.name == "start-listing")
	default:
		return Figures{}, errors.New("unknown mode")
	}
}

// measure runs the mode and reads both processes' CPU time before and after it.
func measure(c client.Client, pid int, limit time.Duration, m mode) (Figures, error) {
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
	// What began in time may end; what doesn't by then waits for something that the server can't do.
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(limit))
	defer cancel()
	for range m.concurrent {
		wg.Go(func() {
			for int(next.Add(1)) <= m.runs && time.Now().Before(deadline) && failed.Load() == nil {
				start := time.Now()
				if err := one(ctx, c, m); err != nil {
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
	return Figures{
		Mode: m.name, Runs: n, Concurrent: m.concurrent, Steps: m.steps,
		PerSecond: float64(n) / elapsed, P50: latency[n/2], P99: latency[min(n*99/100, n-1)],
		ServerCPU: (cpu(pid) - server) * 1000 / float64(n), WorkerCPU: (cpu(os.Getpid()) - own) * 1000 / float64(n),
		ServerRSS:   rss(pid),
		BridgeCalls: float64(runtime.NumCgoCall()-crossed) / float64(n*(m.steps+1)),
	}, nil
}

var serial atomic.Int64

func one(ctx context.Context, c client.Client, m mode) error {
	id := fmt.Sprintf("bench-%d-%d", os.Getpid(), serial.Add(1))
	options := client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}
	workflow := any(Steps)
	switch m.name {
	case "signal":
		workflow = Signals
	case "children":
		workflow = Children
	}
	run, err := c.ExecuteWorkflow(ctx, options, workflow, m.steps)
	if err != nil {
		return err
	}
	if m.name == "signal" {
		for range m.steps {
			if err := c.SignalWorkflow(ctx, id, run.GetRunID(), "step", nil); err != nil {
				return err
			}
		}
	}
	var result string
	if err := run.Get(ctx, &result); err != nil {
		return errors.Join(err, c.TerminateWorkflow(context.Background(), id, run.GetRunID(), "not measured"))
	}
	if result != "x" {
		return fmt.Errorf("%s came to %q", id, result)
	}
	return nil
}

// Package worker runs workflows and activities.
package worker

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/internal/connection"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/flow"
	"durably.dev/sdk/workflow"
)

// WorkflowPanicPolicy says what a panic in workflow code does.
type WorkflowPanicPolicy int

const (
	// BlockWorkflow fails the workflow task: the workflow goes on when the code is mended.
	BlockWorkflow WorkflowPanicPolicy = iota
	// FailWorkflow fails the workflow when its code panics, doesn't let go, or disagrees with the history.
	FailWorkflow
)

// Options of a worker. Zero fields have the core's defaults.
type Options struct {
	MaxConcurrentActivityExecutionSize     int
	MaxConcurrentWorkflowTaskExecutionSize int
	MaxConcurrentActivityTaskPollers       int
	MaxConcurrentWorkflowTaskPollers       int
	// WorkerActivitiesPerSecond bounds this worker, TaskQueueActivitiesPerSecond all workers of the task queue.
	WorkerActivitiesPerSecond               float64
	TaskQueueActivitiesPerSecond            float64
	StickyScheduleToStartTimeout            time.Duration
	DisableEagerActivities                  bool
	MaxConcurrentEagerActivityExecutionSize int
	MaxHeartbeatThrottleInterval            time.Duration
	DefaultHeartbeatThrottleInterval        time.Duration
	// WorkerStopTimeout is how long activities may go on after Stop, before they are cancelled.
	WorkerStopTimeout time.Duration
	// Identity defaults to the client's.
	Identity string
	BuildID  string
	// DeadlockDetectionTimeout is how long workflow code may run without waiting; 1 s by default, and half of it where a test
	// waits to be told (client.EmbeddedOptions.FailFast).
	DeadlockDetectionTimeout time.Duration
	WorkflowPanicPolicy      WorkflowPanicPolicy
	EnableLoggingInReplay    bool
	// DisableWorkflowWorker and LocalActivityWorkerOnly leave workflows or activities to other workers.
	DisableWorkflowWorker   bool
	LocalActivityWorkerOnly bool
	// OnFatalError is called when the worker can't go on.
	OnFatalError func(error)
}

// Registry takes workflows and activities.
type Registry interface {
	RegisterWorkflow(w any)
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
	// RegisterActivity takes a function, or a pointer to a struct whose exported methods are activities.
	RegisterActivity(a any)
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Worker runs the workflows and activities of a task queue.
type Worker interface {
	Registry
	Start() error
	// Run is Start, and Stop when the channel has something or is closed.
	Run(interruptCh <-chan any) error
	// Stop ends the worker; activities get WorkerStopTimeout to end.
	Stop()
}

// InterruptCh has something when the process is asked to end.
func InterruptCh() <-chan any {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	interrupted := make(chan any, 1)
	go func() { interrupted <- <-signals }()
	return interrupted
}

// registry adds the methods of Registry to what the runtime has.
type registry struct{ *flow.Registry }

func (r registry) RegisterWorkflow(w any) { r.AddWorkflow(w, "", false) }
func (r registry) RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions) {
	r.AddWorkflow(w, options.Name, options.DisableAlreadyRegisteredCheck)
}
func (r registry) RegisterActivity(a any) { r.AddActivity(a, "", false, false) }
func (r registry) RegisterActivityWithOptions(a any, options activity.RegisterOptions) {
	r.AddActivity(a, options.Name, options.SkipInvalidStructFunctions, options.DisableAlreadyRegisteredCheck)
}

type worker struct {
	registry
	connection *connection.Connection
	taskQueue  string
	options    Options

	mu      sync.Mutex
	loop    *loop
	started bool
}

// New makes a worker, which Start or Run starts.
func New(c client.Client, taskQueue string, options Options) Worker {
	connected, ok := c.(interface {
		Connection() *connection.Connection
	})
	if !ok {
		panic("worker.New needs a client made by this SDK's client.Dial")
	}
	return &worker{registry: registry{flow.NewRegistry()}, connection: connected.Connection(), taskQueue: taskQueue, options: options}
}

func (w *worker) Start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started {
		return errors.New("the worker was started already: make a new one")
	}
	l, err := startLoop(w.connection, w.registry.Registry, w.contractOptions(), w.environment(), w.options.OnFatalError)
	if err != nil {
		return fmt.Errorf("the worker of task queue %q can't start: %w", w.taskQueue, connection.Error(err))
	}
	w.loop, w.started = l, true
	return nil
}

func (w *worker) environment() *flow.Environment {
	return environment(w.connection, w.registry.Registry, w.options)
}

const (
	deadlockTimeout     = time.Second
	testDeadlockTimeout = 500 * time.Millisecond
)

func environment(c *connection.Connection, r *flow.Registry, options Options) *flow.Environment {
	timeout, advice := options.DeadlockDetectionTimeout, ""
	switch {
	case timeout != 0:
	case c.FailFast:
		timeout = testDeadlockTimeout
		advice = fmt.Sprintf(" Outside of tests it may run for %v; worker.Options.DeadlockDetectionTimeout says for how long.", deadlockTimeout)
	default:
		timeout = deadlockTimeout
	}
	// A debugger stops code for as long as it likes.
	if os.Getenv("TEMPORAL_DEBUG") != "" {
		timeout = time.Duration(math.MaxInt64)
	}
	return &flow.Environment{
		Registry: r, DataConverter: c.DataConverter, FailureConverter: c.FailureConverter, Logger: connection.Guarded(c.Logger),
		DeadlockTimeout: timeout, DeadlockAdvice: advice, FailOnPanic: options.WorkflowPanicPolicy == FailWorkflow, LogInReplay: options.EnableLoggingInReplay,
	}
}

func (w *worker) contractOptions() *core.WorkerOptions {
	o := w.options
	workflows, activities := w.Counts()
	options := &core.WorkerOptions{
		TaskQueue: w.taskQueue, Identity: o.Identity, BuildId: o.BuildID, HistoryDialect: core.HistoryDialect_BY_EVENT_ID,
		Workflows: workflows > 0 && !o.DisableWorkflowWorker, Activities: activities > 0 && !o.LocalActivityWorkerOnly,
		StickyQueueScheduleToStartTimeout: flow.Duration(o.StickyScheduleToStartTimeout),
		MaxConcurrentWorkflowTasks:        uint32(o.MaxConcurrentWorkflowTaskExecutionSize),
		MaxConcurrentActivities:           uint32(o.MaxConcurrentActivityExecutionSize),
		MaxConcurrentWorkflowTaskPolls:    uint32(o.MaxConcurrentWorkflowTaskPollers),
		MaxConcurrentActivityTaskPolls:    uint32(o.MaxConcurrentActivityTaskPollers),
		MaxActivitiesPerSecond:            o.WorkerActivitiesPerSecond,
		MaxTaskQueueActivitiesPerSecond:   o.TaskQueueActivitiesPerSecond,
		MaxEagerActivities:                uint32(o.MaxConcurrentEagerActivityExecutionSize),
		DisableEagerActivities:            o.DisableEagerActivities,
		MaxHeartbeatThrottleInterval:      flow.Duration(o.MaxHeartbeatThrottleInterval),
		DefaultHeartbeatThrottleInterval:  flow.Duration(o.DefaultHeartbeatThrottleInterval),
		GracefulShutdownTimeout:           flow.Duration(o.WorkerStopTimeout),
	}
	size := cacheSize.Load()
	options.MaxCachedWorkflows, options.NoWorkflowCache = uint32(size), size == 0
	if o.WorkflowPanicPolicy == FailWorkflow {
		options.NondeterminismAsWorkflowFail, options.NondeterminismFailureMessage = true, flow.FailedByPolicy
	}
	return options
}

func (w *worker) Run(interruptCh <-chan any) error {
	if err := w.Start(); err != nil {
		return err
	}
	select {
	case <-interruptCh:
		w.Stop()
		return w.loop.fatal
	case <-w.loop.over:
		w.Stop()
		return w.loop.fatal
	}
}

func (w *worker) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loop != nil {
		w.loop.stop()
	}
}

// PurgeStickyWorkflowCache forgets all cached runs of the process; their next tasks replay.
func PurgeStickyWorkflowCache() {
	all.Range(func(l, _ any) bool {
		l.(*loop).purge()
		return true
	})
}

// all loops that are running.
var all sync.Map

var cacheSize atomic.Int64

func init() { cacheSize.Store(10_000) }

// SetStickyWorkflowCacheSize bounds the runs that each worker that is started later keeps between their tasks; with 0
// every workflow task replays from the start.
func SetStickyWorkflowCacheSize(size int) { cacheSize.Store(int64(max(size, 0))) }

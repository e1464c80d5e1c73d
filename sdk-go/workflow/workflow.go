// Package workflow is what workflows are written with: deterministic replacements for goroutines, channels, select,
// time and context, and the start of activities.
package workflow

import (
	"time"

	"durably.dev/sdk/internal/flow"
	"durably.dev/sdk/log"
	"durably.dev/sdk/temporal"
)

type (
	// Context carries a workflow's cancellation, options and values.
	Context = flow.Context
	// CancelFunc cancels a context.
	CancelFunc = flow.CancelFunc
	// Future is a value that is there later.
	Future = flow.Future
	// Settable sets the value of a Future.
	Settable = flow.Settable
	// Channel replaces Go's channels.
	Channel = flow.Channel
	// ReceiveChannel is a channel's receiving end.
	ReceiveChannel = flow.ReceiveChannel
	// SendChannel is a channel's sending end.
	SendChannel = flow.SendChannel
	// Selector replaces Go's select.
	Selector = flow.Selector
	// WaitGroup replaces sync.WaitGroup.
	WaitGroup = flow.WaitGroup
	// Mutex replaces sync.Mutex.
	Mutex = flow.Mutex
	// Semaphore lets weights up to a limit in.
	Semaphore = flow.Semaphore
	// Info is what a workflow may know about itself.
	Info = flow.Info
	// Execution names a workflow run.
	Execution = flow.Execution
	// Type names a workflow type.
	Type = flow.Type
	// ActivityOptions say how an activity runs.
	ActivityOptions = flow.ActivityOptions
	// ChildWorkflowFuture is a child's result, and the way to the child.
	ChildWorkflowFuture = flow.ChildWorkflowFuture
	// ChildWorkflowOptions say how a child workflow runs.
	ChildWorkflowOptions = flow.ChildWorkflowOptions
	// TimerOptions are the options of NewTimerWithOptions.
	TimerOptions = flow.TimerOptions
	// ContinueAsNewError ends a run and starts the workflow anew.
	ContinueAsNewError = flow.ContinueAsNewError
	// ContinueAsNewErrorOptions are the options of NewContinueAsNewErrorWithOptions.
	ContinueAsNewErrorOptions = flow.ContinueAsNewErrorOptions
	// RegisterOptions are the options of RegisterWorkflowWithOptions.
	RegisterOptions struct {
		// Name is the workflow's type; the function's own by default.
		Name string
		// DisableAlreadyRegisteredCheck lets a registration replace an earlier one.
		DisableAlreadyRegisteredCheck bool
	}
)

// ErrCanceled is the error of a cancelled context.
var ErrCanceled = flow.ErrCanceled

// WithCancel is parent with a cancellation of its own.
func WithCancel(parent Context) (Context, CancelFunc) { return flow.WithCancel(parent) }

// WithValue is parent with a value.
func WithValue(parent Context, key, value any) Context { return flow.WithValue(parent, key, value) }

// NewDisconnectedContext is parent without its cancellation, for cleaning up after it.
func NewDisconnectedContext(parent Context) (Context, CancelFunc) {
	return flow.NewDisconnectedContext(parent)
}

// Go runs f in a coroutine of its own.
func Go(ctx Context, f func(ctx Context)) { flow.Go(ctx, f) }

// GoNamed is Go with a name that stacks and errors show.
func GoNamed(ctx Context, name string, f func(ctx Context)) { flow.GoNamed(ctx, name, f) }

// Await waits until condition holds. It returns a CanceledError if ctx is cancelled before.
func Await(ctx Context, condition func() bool) error { return flow.Await(ctx, condition) }

// AwaitWithTimeout is Await for at most timeout; ok tells whether the condition held.
func AwaitWithTimeout(ctx Context, timeout time.Duration, condition func() bool) (ok bool, err error) {
	return flow.AwaitWithTimeout(ctx, timeout, condition)
}

// Sleep waits for a duration, as a timer of the server's. It returns a CanceledError if ctx is cancelled.
func Sleep(ctx Context, d time.Duration) error { return flow.Sleep(ctx, d) }

// NewTimer is a future that is ready after a duration. Cancelling the context cancels it.
func NewTimer(ctx Context, d time.Duration) Future { return flow.NewTimer(ctx, d) }

// NewTimerWithOptions is NewTimer with options.
func NewTimerWithOptions(ctx Context, d time.Duration, options TimerOptions) Future {
	return flow.NewTimerWithOptions(ctx, d, options)
}

// Now is the time of the workflow task: it stands still while code runs.
func Now(ctx Context) time.Time { return flow.Now(ctx) }

// NewFuture makes a future that the workflow sets itself.
func NewFuture(ctx Context) (Future, Settable) { return flow.NewFuture(ctx) }

// NewChannel makes a channel without room.
func NewChannel(ctx Context) Channel { return flow.NewChannel(ctx) }

// NewNamedChannel makes a channel without room, with a name.
func NewNamedChannel(ctx Context, name string) Channel { return flow.NewNamedChannel(ctx, name) }

// NewBufferedChannel makes a channel with room for size values.
func NewBufferedChannel(ctx Context, size int) Channel { return flow.NewBufferedChannel(ctx, size) }

// NewNamedBufferedChannel makes a channel with room for size values, with a name.
func NewNamedBufferedChannel(ctx Context, name string, size int) Channel {
	return flow.NewNamedBufferedChannel(ctx, name, size)
}

// NewSelector makes a selector.
func NewSelector(ctx Context) Selector { return flow.NewSelector(ctx) }

// NewNamedSelector makes a selector; the name is for readers.
func NewNamedSelector(ctx Context, _ string) Selector { return flow.NewSelector(ctx) }

// NewWaitGroup makes a WaitGroup.
func NewWaitGroup(ctx Context) WaitGroup { return flow.NewWaitGroup(ctx) }

// NewMutex makes a Mutex.
func NewMutex(ctx Context) Mutex { return flow.NewMutex(ctx) }

// NewSemaphore makes a Semaphore of n.
func NewSemaphore(ctx Context, n int64) Semaphore { return flow.NewSemaphore(ctx, n) }

// ExecuteActivity starts an activity, named by its function or its name. Its options come from WithActivityOptions.
func ExecuteActivity(ctx Context, activity any, args ...any) Future {
	return flow.ExecuteActivity(ctx, activity, args...)
}

// WithActivityOptions sets the options of activities that are started with the context.
func WithActivityOptions(ctx Context, options ActivityOptions) Context {
	return flow.WithActivityOptions(ctx, options)
}

// GetActivityOptions are the options that activities would be started with.
func GetActivityOptions(ctx Context) ActivityOptions { return flow.GetActivityOptions(ctx) }

// WithTaskQueue sets the task queue of activities.
func WithTaskQueue(ctx Context, name string) Context {
	return flow.ChangeActivityOptions(ctx, func(o *ActivityOptions) { o.TaskQueue = name })
}

// WithScheduleToCloseTimeout bounds activities, retries included.
func WithScheduleToCloseTimeout(ctx Context, d time.Duration) Context {
	return flow.ChangeActivityOptions(ctx, func(o *ActivityOptions) { o.ScheduleToCloseTimeout = d })
}

// WithScheduleToStartTimeout bounds how long activities wait for a worker.
func WithScheduleToStartTimeout(ctx Context, d time.Duration) Context {
	return flow.ChangeActivityOptions(ctx, func(o *ActivityOptions) { o.ScheduleToStartTimeout = d })
}

// WithStartToCloseTimeout bounds each attempt of activities.
func WithStartToCloseTimeout(ctx Context, d time.Duration) Context {
	return flow.ChangeActivityOptions(ctx, func(o *ActivityOptions) { o.StartToCloseTimeout = d })
}

// WithHeartbeatTimeout bounds the time between heartbeats.
func WithHeartbeatTimeout(ctx Context, d time.Duration) Context {
	return flow.ChangeActivityOptions(ctx, func(o *ActivityOptions) { o.HeartbeatTimeout = d })
}

// WithRetryPolicy sets the retry policy of activities.
func WithRetryPolicy(ctx Context, policy temporal.RetryPolicy) Context {
	return flow.ChangeActivityOptions(ctx, func(o *ActivityOptions) { o.RetryPolicy = &policy })
}

// WithWaitForCancellation makes cancelled activities' futures wait until they have ended.
func WithWaitForCancellation(ctx Context, wait bool) Context {
	return flow.ChangeActivityOptions(ctx, func(o *ActivityOptions) { o.WaitForCancellation = wait })
}

// NewContinueAsNewError makes the error that ends a run and starts the workflow anew with other arguments.
func NewContinueAsNewError(ctx Context, wfn any, args ...any) error {
	return flow.NewContinueAsNewError(ctx, wfn, args...)
}

// NewContinueAsNewErrorWithOptions is NewContinueAsNewError with options.
func NewContinueAsNewErrorWithOptions(ctx Context, options ContinueAsNewErrorOptions, wfn any, args ...any) error {
	return flow.NewContinueAsNewErrorWithOptions(ctx, options, wfn, args...)
}

// GetInfo is what the workflow may know about itself.
func GetInfo(ctx Context) *Info { return flow.GetInfo(ctx) }

// GetLogger is a logger that is silent while replaying.
func GetLogger(ctx Context) log.Logger { return flow.GetLogger(ctx) }

// IsReplaying tells whether what the code does is in the history already.
func IsReplaying(ctx Context) bool { return flow.IsReplaying(ctx) }

// HasLastCompletionResult tells whether an earlier run of a schedule has left a result.
func HasLastCompletionResult(ctx Context) bool { return flow.HasLastCompletionResult(ctx) }

// GetLastCompletionResult decodes what an earlier run of a schedule has left.
func GetLastCompletionResult(ctx Context, valuePtrs ...any) error {
	return flow.GetLastCompletionResult(ctx, valuePtrs...)
}

// GetLastError is why the run before failed.
func GetLastError(ctx Context) error { return flow.GetLastError(ctx) }

package flow

import (
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	"durably.dev/sdk/log"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
)

// Environment is what all runs of a worker share.
type Environment struct {
	Registry         *Registry
	DataConverter    converter.DataConverter
	FailureConverter converter.FailureConverter
	Logger           log.Logger
	// DeadlockTimeout is how long code may run without waiting.
	DeadlockTimeout time.Duration
	// FailOnPanic fails the workflow when its code panics, instead of the workflow task.
	FailOnPanic bool
	// LogInReplay doesn't silence loggers while replaying.
	LogInReplay bool
}

// Run is a workflow run in the cache: its coroutines, and what waits for what.
type Run struct {
	env    *Environment
	info   *Info
	logger log.Logger

	now       time.Time
	replaying bool
	// reading: a query handler runs.
	reading bool
	// end is the command for what the main function has returned.
	end *core.WorkflowCommand
	// ended: the end is on its way. closed: the run is evicted.
	ended, closed bool
	// failed is why the activation can't be answered as it should; hasPanicked: it is the doing of the workflow's code.
	failed      error
	hasPanicked bool
	// stuck is the coroutine that didn't hand over in time.
	stuck  *coroutine
	broken atomic.Bool

	coroutines []*coroutine
	current    *coroutine
	yielded    chan struct{}
	limit      *time.Timer
	unnamed    int

	commands   []*core.WorkflowCommand
	timers     map[uint32]*pending
	activities map[uint32]*pending
	lastTimer  uint32
	lastAct    uint32

	// available are the flags that the history has; used are those that this activation adds.
	available map[uint32]bool
	used      []uint32

	root    Context
	cancel  CancelFunc
	signals map[string]*channel
	queries map[string]reflect.Value
}

// Flags of the official SDK's, by its numbers: what its code does differently from some version on.
const (
	// flagKeepSignal: a selector that waits keeps the value that it is woken by.
	flagKeepSignal = 5
	// flagCancelAwaitTimer: AwaitWithTimeout makes no timer if there is nothing to wait for, and cancels it afterwards. Where
	// the history doesn't have it, the official SDK doesn't use it either.
	flagCancelAwaitTimer = 6
	// flagKeepLate: only if the selector has a default; otherwise its branch does.
	flagKeepLate = 8
)

// uses tells whether to do as a flag says: new tasks do, and replayed ones if they did when they were new.
func (r *Run) uses(flag uint32) bool {
	if !r.available[flag] && !r.replaying {
		r.available[flag] = true
		r.used = append(r.used, flag)
	}
	return r.available[flag]
}

// pending is a timer or activity that hasn't come to its end.
type pending struct {
	future *future
	hook   *hook
}

type signal struct {
	payloads  *commonpb.Payloads
	converter converter.DataConverter
}

// NewRun makes a run that waits for its first activation.
func NewRun(env *Environment) *Run {
	r := &Run{
		env: env, yielded: make(chan struct{}), logger: env.Logger,
		timers: map[uint32]*pending{}, activities: map[uint32]*pending{},
		signals: map[string]*channel{}, queries: map[string]reflect.Value{}, available: map[uint32]bool{},
	}
	r.root, r.cancel = WithCancel(&rootContext{r})
	return r
}

// fail fails the workflow task; the first reason counts.
func (r *Run) fail(err error) {
	if r.failed == nil {
		r.failed = err
	}
}

// Activate applies an activation, runs the code until it can't go on, and returns the answer.
func (r *Run) Activate(activation *core.WorkflowActivation) *core.WorkflowCompletion {
	r.now = activation.Timestamp.AsTime()
	r.replaying = activation.IsReplaying
	r.commands, r.used = nil, nil
	for _, flag := range activation.AvailableFlags {
		r.available[flag] = true
	}
	r.work(activation)
	return r.complete(activation.RunId)
}

// work does what an activation asks for. Converters are the user's code too: where they panic, the workflow does.
func (r *Run) work(activation *core.WorkflowActivation) {
	defer func() {
		if value := recover(); value != nil {
			r.panicked(failure.Caught(value))
		}
	}()
	for _, job := range activation.Jobs {
		if r.failed != nil && job.GetEvict() == nil {
			// A run that has failed is only waiting to be forgotten.
			if query := job.GetQuery(); query != nil && r.ended {
				r.note(r.refuse(query, r.failed))
			}
			continue
		}
		if err := r.apply(job, activation); err != nil {
			r.fail(err)
		}
	}
	if r.failed == nil && !r.closed && !r.ended {
		r.dispatch()
	}
}

func (r *Run) apply(job *core.WorkflowJob, activation *core.WorkflowActivation) error {
	switch job := job.Job.(type) {
	case *core.WorkflowJob_Initialize:
		return r.initialize(job.Initialize, activation)
	case *core.WorkflowJob_FireTimer:
		settle(r.timers, job.FireTimer.Seq, nil, nil)
	case *core.WorkflowJob_ResolveActivity:
		r.resolve(job.ResolveActivity)
	case *core.WorkflowJob_Signal:
		r.signalChannel(job.Signal.Name).SendAsync(&signal{&commonpb.Payloads{Payloads: job.Signal.Arguments}, r.env.DataConverter})
	case *core.WorkflowJob_Cancel:
		r.cancel()
	case *core.WorkflowJob_Query:
		r.answer(job.Query)
	case *core.WorkflowJob_UpdateRandomSeed:
		// Go's workflows have no generator of their own: they draw numbers in activities.
	case *core.WorkflowJob_Evict:
		r.exit()
	default:
		return fmt.Errorf("the core sent a job that this SDK doesn't know (%T): a newer SDK is needed", job)
	}
	r.follow(activation)
	return nil
}

// follow notes what the activation says about the history.
func (r *Run) follow(activation *core.WorkflowActivation) {
	if r.info != nil {
		r.info.historyLength = int(activation.HistoryLength)
		r.info.historySize = int(activation.HistorySizeBytes)
		r.info.continueSuggested = activation.ContinueAsNewSuggested
	}
}

// settle ends what waits for a number. Numbers that nobody waits for any more are no error.
func settle(of map[uint32]*pending, seq uint32, value any, err error) {
	if p := of[seq]; p != nil {
		delete(of, seq)
		p.hook.drop()
		p.future.Set(value, err)
	}
}

func (r *Run) resolve(job *core.ResolveActivity) {
	var value any
	var err error
	switch status := job.Result.GetStatus().(type) {
	case *core.ActivityResolution_Completed:
		if payload := status.Completed.Result; payload != nil {
			value = &encoded{payload, r.env.DataConverter}
		}
	case *core.ActivityResolution_Failed:
		err = r.toError(status.Failed)
	case *core.ActivityResolution_Cancelled:
		err = r.toError(status.Cancelled)
	}
	settle(r.activities, job.Seq, value, err)
}

func (r *Run) toError(f *failurepb.Failure) error { return r.env.FailureConverter.FailureToError(f) }

func (r *Run) initialize(start *core.InitializeWorkflow, activation *core.WorkflowActivation) error {
	r.info = newInfo(start, activation)
	r.logger = &replayLogger{r, log.With(r.env.Logger, "Namespace", start.Namespace, "TaskQueue", start.TaskQueue,
		"WorkflowType", start.WorkflowType, "WorkflowID", start.WorkflowId, "RunID", activation.RunId, "Attempt", start.Attempt)}
	r.info.lastResult, r.info.lastFailure = start.LastCompletionResult, start.LastFailure
	main, err := r.env.Registry.workflow(start.WorkflowType)
	if err != nil {
		return err
	}
	arguments := &commonpb.Payloads{Payloads: start.Arguments}
	r.spawn("root", func(c *coroutine) { r.main(c, main, arguments) })
	return nil
}

// command notes what the code asks for. After the run was evicted it asks for nothing more.
func (r *Run) command(command *core.WorkflowCommand) {
	r.leaveIfBroken()
	if r.reading {
		panic("a query handler only reads: it can't start activities or timers, or change the workflow's course")
	}
	if !r.closed {
		r.commands = append(r.commands, command)
	}
}

func (r *Run) signalChannel(name string) *channel {
	c := r.signals[name]
	if c == nil {
		// Signals are never refused: there is room for as many as come.
		c = newChannel(r, name, 1<<30)
		r.signals[name] = c
	}
	return c
}

// GetSignalChannel is where the signals of a name arrive.
func GetSignalChannel(ctx Context, name string) ReceiveChannel { return runOf(ctx).signalChannel(name) }

// Now is the time of the workflow task: it stands still while code runs.
func Now(ctx Context) time.Time { return runOf(ctx).now }

// IsReplaying tells whether what the code does is in the history already.
func IsReplaying(ctx Context) bool { return runOf(ctx).replaying }

// GetLogger is a logger that is silent while replaying.
func GetLogger(ctx Context) log.Logger { return runOf(ctx).logger }

// replayLogger keeps a replay's messages to itself.
type replayLogger struct {
	run *Run
	to  log.Logger
}

func (l *replayLogger) speaks() bool { return !l.run.replaying || l.run.env.LogInReplay }
func (l *replayLogger) Debug(msg string, keyvals ...any) {
	if l.speaks() {
		l.to.Debug(msg, keyvals...)
	}
}
func (l *replayLogger) Info(msg string, keyvals ...any) {
	if l.speaks() {
		l.to.Info(msg, keyvals...)
	}
}
func (l *replayLogger) Warn(msg string, keyvals ...any) {
	if l.speaks() {
		l.to.Warn(msg, keyvals...)
	}
}
func (l *replayLogger) Error(msg string, keyvals ...any) {
	if l.speaks() {
		l.to.Error(msg, keyvals...)
	}
}
func (l *replayLogger) With(keyvals ...any) log.Logger {
	return &replayLogger{l.run, log.With(l.to, keyvals...)}
}

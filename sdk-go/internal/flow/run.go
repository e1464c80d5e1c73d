package flow

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
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
	// result is what the main function has returned.
	result *outcome
	// ended: the result is on its way. closed: the run is evicted.
	ended, closed bool
	failed        error
	// stuck is the coroutine that didn't hand over in time.
	stuck  *coroutine
	broken atomic.Bool

	coroutines []*coroutine
	current    *coroutine
	yielded    chan struct{}
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

// outcome is what a workflow's function returned.
type outcome struct {
	value any
	err   error
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
	for _, job := range activation.Jobs {
		if err := r.apply(job, activation); err != nil {
			r.fail(err)
			break
		}
	}
	if r.failed == nil && !r.closed {
		r.dispatch()
	}
	completion := &core.WorkflowCompletion{RunId: activation.RunId}
	if r.failed != nil && !r.closed {
		completion.Status = &core.WorkflowCompletion_Failure{Failure: r.failure()}
	} else {
		completion.Status = &core.WorkflowCompletion_Success{Success: &core.ActivationSuccess{Commands: r.commands, UsedFlags: r.used}}
	}
	return completion
}

func (r *Run) failure() *core.ActivationFailure {
	r.env.Logger.Error("A workflow task failed; the server will retry it.",
		"WorkflowType", r.info.typeName(), "WorkflowID", r.info.id(), "Error", r.failed)
	return &core.ActivationFailure{Failure: r.env.FailureConverter.ErrorToFailure(r.failed)}
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

// main runs the workflow's function and turns what it returns into the run's last command.
func (r *Run) main(c *coroutine, function reflect.Value, arguments *commonpb.Payloads) {
	defer func() {
		value := recover()
		if value == nil || c.leaving || r.broken.Load() {
			return
		}
		panicked := &failure.PanicError{Value: value, Stack: string(debug.Stack())}
		if r.env.FailOnPanic {
			r.result = &outcome{err: panicked}
		} else {
			r.fail(panicked)
		}
	}()
	in, err := decodeArguments(r.env.DataConverter, function.Type(), 1, arguments)
	if err != nil {
		r.fail(fmt.Errorf("workflow %s: %w", r.info.typeName(), err))
		return
	}
	in[0] = reflect.ValueOf(&r.root).Elem()
	result, err := results(function.Call(in))
	if !c.leaving && !r.broken.Load() {
		r.result = &outcome{result, err}
	}
}

func (r *Run) end(result any, err error) {
	var continued *ContinueAsNewError
	var canceled *failure.CanceledError
	switch {
	case err == nil:
		payload, encodeErr := r.encodeResult(result)
		if encodeErr != nil {
			r.fail(fmt.Errorf("the result of workflow %s: %w", r.info.typeName(), encodeErr))
			return
		}
		r.command(&core.WorkflowCommand{Command: &core.WorkflowCommand_CompleteWorkflow{
			CompleteWorkflow: &core.CompleteWorkflow{Result: payload}}})
	case errors.As(err, &continued):
		r.command(&core.WorkflowCommand{Command: &core.WorkflowCommand_ContinueAsNew{ContinueAsNew: continued.command}})
	case errors.As(err, &canceled):
		details := r.env.FailureConverter.ErrorToFailure(canceled).GetCanceledFailureInfo().GetDetails()
		r.command(&core.WorkflowCommand{Command: &core.WorkflowCommand_CancelWorkflow{
			CancelWorkflow: &core.CancelWorkflow{Details: details}}})
	default:
		r.command(&core.WorkflowCommand{Command: &core.WorkflowCommand_FailWorkflow{
			FailWorkflow: &core.FailWorkflow{Failure: r.env.FailureConverter.ErrorToFailure(err)}}})
	}
}

// nothing is the result of a function that returns only an error.
type nothing struct{}

func (r *Run) encodeResult(result any) (*commonpb.Payload, error) {
	if _, ok := result.(nothing); ok {
		return nil, nil
	}
	return r.env.DataConverter.ToPayload(result)
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

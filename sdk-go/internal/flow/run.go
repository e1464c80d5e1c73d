package flow

import (
	"sync/atomic"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	"durably.dev/sdk/log"
)

// Environment is what all runs of a worker share.
type Environment struct {
	Registry         *Registry
	DataConverter    converter.DataConverter
	FailureConverter converter.FailureConverter
	Logger           log.Logger
	// DeadlockTimeout is how long code may run without waiting; DeadlockAdvice ends what is said of code that does.
	DeadlockTimeout time.Duration
	DeadlockAdvice  string
	// FailOnPanic fails the workflow when its code panics, instead of the workflow task.
	FailOnPanic bool
	// LogInReplay doesn't silence loggers while replaying.
	LogInReplay bool
	// Intercept puts links before the last ones of a run's chains; the first one is outermost.
	Intercept []func(ctx Context, next Inbound) Inbound
	// Failed is what the log has been told of runs and activities that fail.
	Failed Repeats
}

// Run is a workflow run in the cache: its coroutines, and what waits for what. handlers.go takes the jobs of an activation,
// update.go has its
// updates, dispatch.go lets the code run, commands.go, child.go and external.go note what it asks for, outcome.go makes the answer.
type Run struct {
	env    *Environment
	info   *Info
	logger log.Logger

	now       time.Time
	replaying bool
	// reading is whose code runs that may only read, such as a query handler's; empty for none.
	reading string
	// end is the command for what the main function has returned.
	end *core.WorkflowCommand
	// ended: the end is on its way. closed: the run is evicted.
	ended, closed bool
	// failed is why the activation can't be answered as it should; hasPanicked: it is the doing of the workflow's code.
	failed      error
	hasPanicked bool
	// stuck is the coroutine that didn't hand over in time. left is closed when it and all others have ended.
	stuck  *coroutine
	left   chan struct{}
	broken atomic.Bool

	coroutines []*coroutine
	// eager are coroutines that come before all that wait for their turn.
	eager   []*coroutine
	current *coroutine
	yielded chan struct{}
	limit   *time.Timer
	unnamed int

	commands   []*core.WorkflowCommand
	timers     map[uint32]*pending
	activities map[uint32]*pending
	children   map[uint32]*child
	// signalling and cancelling are what is on its way to other workflows.
	signalling, cancelling map[uint32]*pending
	lastTimer, lastAct     uint32
	lastChild              uint32
	lastSignal, lastCancel uint32

	// available are the flags that the history has; used are those that this activation adds.
	available map[uint32]bool
	used      []uint32

	root   Context
	cancel CancelFunc
	// in is what jobs go through on their way to the user's code, out what that asks for goes through.
	in      Inbound
	out     Outbound
	signals map[string]*channel
	// awaited are the signals that the code has asked for, and how it describes them.
	awaited map[string]SignalChannelOptions
	queries map[string]queryHandler
	updates updates
	// details are what tools show of the run, until it says otherwise.
	details string
}

// NewRun makes a run that waits for its first activation.
func NewRun(env *Environment) *Run {
	r := &Run{
		env: env, yielded: make(chan struct{}), logger: env.Logger,
		timers: map[uint32]*pending{}, activities: map[uint32]*pending{}, children: map[uint32]*child{},
		signalling: map[uint32]*pending{}, cancelling: map[uint32]*pending{},
		signals: map[string]*channel{}, awaited: map[string]SignalChannelOptions{}, queries: map[string]queryHandler{},
		updates: updates{handlers: map[string]*updateHandler{}}, available: map[uint32]bool{},
	}
	r.out = &outbound{r}
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

// work does what an activation asks for. Links of the inbound chain are the user's code too: where they panic, the workflow does.
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
	r.follow(activation)
	if r.failed == nil && !r.closed && !r.ended {
		r.dispatch()
	}
}

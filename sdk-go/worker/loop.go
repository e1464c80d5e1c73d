package worker

import (
	"context"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"durably.dev/sdk/internal/activities"
	"durably.dev/sdk/internal/bridge"
	"durably.dev/sdk/internal/connection"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	"durably.dev/sdk/internal/flow"
	"durably.dev/sdk/log"
	commonpb "go.temporal.io/api/common/v1"
)

// loop answers a worker's events: activations of runs and activities, each in a goroutine of its own.
type loop struct {
	connection  *connection.Connection
	registry    *flow.Registry
	environment *flow.Environment
	taskQueue   string
	bridge      *bridge.Worker
	onFatal     func(error)

	mu      sync.Mutex
	runs    map[string]*flow.Run
	running map[string]context.CancelCauseFunc
	replays chan *core.ReplayResult

	stopping   chan struct{}
	stopOnce   sync.Once
	over       chan struct{}
	fatal      error
	freeBridge sync.Once
}

// untilDeadline is a context that shows a deadline but doesn't watch it: the core does, and leaves the server the time
// to notice first.
type untilDeadline struct {
	context.Context
	deadline time.Time
}

func (c *untilDeadline) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func (c *untilDeadline) Err() error {
	if c.Context.Err() != nil && context.Cause(c.Context) == context.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

func startLoop(
	c *connection.Connection, r *flow.Registry, options *core.WorkerOptions, environment *flow.Environment,
	onFatal func(error),
) (*loop, error) {
	l := &loop{
		connection: c, registry: r, environment: environment, taskQueue: options.TaskQueue, onFatal: onFatal,
		runs: map[string]*flow.Run{}, running: map[string]context.CancelCauseFunc{}, replays: make(chan *core.ReplayResult, 1),
		stopping: make(chan struct{}), over: make(chan struct{}),
	}
	// Events may come before StartWorker has returned: they are answered by goroutines, which wait for it.
	l.mu.Lock()
	defer l.mu.Unlock()
	worker, err := c.Bridge.StartWorker(options, l.handle)
	if err != nil {
		return nil, err
	}
	l.bridge = worker
	all.Store(l, struct{}{})
	return l, nil
}

// handle is called by the goroutine that takes all of the process's deliveries, so it only passes on.
func (l *loop) handle(event *core.WorkerEvent) {
	switch event := event.Event.(type) {
	case *core.WorkerEvent_Workflow:
		go l.activate(event.Workflow)
	case *core.WorkerEvent_ActivityStart:
		go l.run(event.ActivityStart, l.enter(event.ActivityStart))
	case *core.WorkerEvent_ActivityCancel:
		l.cancel(event.ActivityCancel)
	case *core.WorkerEvent_Replay:
		l.replays <- event.Replay
	case *core.WorkerEvent_ShutDown:
		go l.ended(event.ShutDown)
	}
}

func (l *loop) request(request *core.WorkerRequest) {
	l.mu.Lock()
	worker := l.bridge
	l.mu.Unlock()
	if err := worker.Request(request); err != nil {
		l.environment.Logger.Error("An answer to the core was lost.", "Error", err)
	}
}

// activate applies an activation to its run. Only one is outstanding per run.
func (l *loop) activate(activation *core.WorkflowActivation) {
	l.mu.Lock()
	run := l.runs[activation.RunId]
	if run == nil {
		run = flow.NewRun(l.environment)
		l.runs[activation.RunId] = run
	}
	if isEviction(activation) {
		delete(l.runs, activation.RunId)
	}
	l.mu.Unlock()
	completion := run.Activate(activation)
	l.request(&core.WorkerRequest{Request: &core.WorkerRequest_Workflow{Workflow: completion}})
}

func isEviction(activation *core.WorkflowActivation) bool {
	return len(activation.Jobs) == 1 && activation.Jobs[0].GetEvict() != nil
}

func (l *loop) purge() {
	l.mu.Lock()
	var ids []string
	for id := range l.runs {
		ids = append(ids, id)
	}
	l.mu.Unlock()
	for _, id := range ids {
		l.request(&core.WorkerRequest{Request: &core.WorkerRequest_Evict{Evict: &core.EvictRun{RunId: id}}})
	}
}

func (l *loop) ended(event *core.ShutDown) {
	if fatal := event.Fatal; fatal != nil {
		l.fatal = connection.Error(&bridge.Error{Code: fatal.Code, Message: fatal.Message, Status: fatal.Status})
		l.environment.Logger.Error("The worker can't go on.", "TaskQueue", l.taskQueue, "Error", l.fatal)
	}
	all.Delete(l)
	close(l.over)
	if l.fatal != nil && l.onFatal != nil {
		l.onFatal(l.fatal)
	}
}

// stop ends the worker and waits until everything is answered.
func (l *loop) stop() {
	l.stopOnce.Do(func() {
		close(l.stopping)
		l.request(&core.WorkerRequest{Request: &core.WorkerRequest_Shutdown{Shutdown: &core.InitiateShutdown{}}})
	})
	<-l.over
	l.freeBridge.Do(func() {
		if err := l.bridge.Free(); err != nil {
			l.environment.Logger.Error("The worker can't be freed.", "Error", err)
		}
	})
}

// enter notes an attempt before anything else can come for it.
func (l *loop) enter(start *core.ActivityStart) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	l.mu.Lock()
	l.running[string(start.TaskToken)] = cancel
	l.mu.Unlock()
	return ctx
}

func (l *loop) cancel(event *core.ActivityCancel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// One that has answered already is none to cancel.
	if cancel := l.running[string(event.TaskToken)]; cancel != nil {
		cause := context.Canceled
		if event.Reason == core.ActivityCancel_TIMED_OUT {
			cause = context.DeadlineExceeded
		}
		cancel(cause)
	}
}

func (l *loop) leave(token []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[string(token)](context.Canceled)
	delete(l.running, string(token))
}

// run runs an attempt of an activity and answers with how it ended.
func (l *loop) run(start *core.ActivityStart, ctx context.Context) {
	info := activities.NewInfo(start, l.taskQueue)
	environment := &activities.Environment{
		Info: info, Converter: l.connection.DataConverter, Stop: l.stopping,
		Details: &commonpb.Payloads{Payloads: start.HeartbeatDetails},
		Logger: log.With(l.environment.Logger, "Namespace", start.WorkflowNamespace, "TaskQueue", l.taskQueue,
			"ActivityID", start.ActivityId, "ActivityType", start.ActivityType, "Attempt", start.Attempt,
			"WorkflowType", start.WorkflowType, "WorkflowID", info.WorkflowExecution.ID, "RunID", info.WorkflowExecution.RunID),
		Heartbeat: func(details []*commonpb.Payload) {
			l.request(&core.WorkerRequest{Request: &core.WorkerRequest_Heartbeat{
				Heartbeat: &core.ActivityHeartbeat{TaskToken: start.TaskToken, Details: details}}})
		},
	}
	payload, err := l.call(activities.With(&untilDeadline{ctx, info.Deadline}, environment), start)
	completion := l.completion(start.TaskToken, payload, err, environment.Logger)
	l.request(&core.WorkerRequest{Request: &core.WorkerRequest_Activity{Activity: completion}})
}

func (l *loop) call(ctx context.Context, start *core.ActivityStart) (payload *commonpb.Payload, err error) {
	function, err := l.registry.Activity(start.ActivityType)
	if err != nil {
		return nil, &failure.ApplicationError{Msg: err.Error(), Kind: "ActivityNotRegisteredError"}
	}
	defer func() {
		if value := recover(); value != nil {
			payload, err = nil, &failure.PanicError{Value: value, Stack: string(debug.Stack())}
		}
	}()
	return flow.CallActivity(ctx, function, l.connection.DataConverter, start.Input)
}

func (l *loop) completion(token []byte, payload *commonpb.Payload, err error, logger log.Logger) *core.ActivityCompletion {
	l.leave(token)
	completion := &core.ActivityCompletion{TaskToken: token}
	switch {
	case err == activities.ErrResultPending:
		completion.Status = &core.ActivityCompletion_WillCompleteAsync{WillCompleteAsync: &core.WillCompleteAsync{}}
		return completion
	case err == nil:
		completion.Status = &core.ActivityCompletion_Completed{Completed: &core.ActivitySuccess{Result: payload}}
		return completion
	}
	failed := l.connection.FailureConverter.ErrorToFailure(err)
	if failed.GetCanceledFailureInfo() != nil {
		// If nobody has asked for it, the core makes a failure of it.
		completion.Status = &core.ActivityCompletion_Cancelled{Cancelled: failed}
		return completion
	}
	logger.Warn("Activity error.", "Error", err, "Kind", reflect.TypeOf(err).String())
	completion.Status = &core.ActivityCompletion_Failed{Failed: failed}
	return completion
}

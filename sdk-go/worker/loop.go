package worker

import (
	"context"
	"fmt"
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
	failurepb "go.temporal.io/api/failure/v1"
)

// loop answers a worker's events: activations of runs and activities, each in a goroutine of its own.
type loop struct {
	connection  *connection.Connection
	registry    *flow.Registry
	environment *flow.Environment
	taskQueue   string
	bridge      *bridge.Worker
	onFatal     func(error)

	mu   sync.Mutex
	runs map[string]*flow.Run
	// stuck are runs that were forgotten, but of which a coroutine goes on and on.
	stuck   map[string]*flow.Run
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
		runs: map[string]*flow.Run{}, stuck: map[string]*flow.Run{}, running: map[string]context.CancelCauseFunc{}, replays: make(chan *core.ReplayResult, 1),
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
		l.enter(event.ActivityStart)
	case *core.WorkerEvent_ActivityCancel:
		l.cancel(event.ActivityCancel)
	case *core.WorkerEvent_Replay:
		l.replays <- event.Replay
	case *core.WorkerEvent_Connectivity:
		go l.tell(event.Connectivity)
	case *core.WorkerEvent_ShutDown:
		go l.ended(event.ShutDown)
	}
}

// answer passes an answer to the core. One that can't be, as it holds what no message may hold, is replaced by a failure.
func (l *loop) answer(request *core.WorkerRequest, instead func(*failurepb.Failure) *core.WorkerRequest) {
	if err := l.try(request); err != nil {
		l.environment.Logger.Error("An answer can't be sent; what it answers fails instead.", "Error", err)
		// A converter of the user's may be what put it in.
		l.request(instead(plainFailure(fmt.Errorf("the answer can't be sent: %w", err))))
	}
}

func (l *loop) request(request *core.WorkerRequest) {
	if err := l.try(request); err != nil {
		l.environment.Logger.Error("A message to the core was lost.", "Error", err)
	}
}

func (l *loop) try(request *core.WorkerRequest) error {
	l.mu.Lock()
	worker := l.bridge
	l.mu.Unlock()
	return worker.Request(request)
}

// activate applies an activation to its run. Only one is outstanding per run.
func (l *loop) activate(activation *core.WorkflowActivation) {
	id := activation.RunId
	run := l.find(id)
	completion := failedTask(id, plainFailure(failure.Exited("the goroutine that answers for the workflow")))
	// Also if the user's code, such as an error's text or a logger, ends this goroutine.
	defer func() {
		if isEviction(activation) {
			l.forget(id, run)
		}
		l.answer(completion, func(f *failurepb.Failure) *core.WorkerRequest { return failedTask(id, f) })
	}()
	completion = &core.WorkerRequest{Request: &core.WorkerRequest_Workflow{Workflow: run.Activate(activation)}}
}

func failedTask(runID string, f *failurepb.Failure) *core.WorkerRequest {
	failed := &core.WorkflowCompletion_Failure{Failure: &core.ActivationFailure{Failure: f}}
	return &core.WorkerRequest{Request: &core.WorkerRequest_Workflow{
		Workflow: &core.WorkflowCompletion{RunId: runID, Status: failed}}}
}

// plainFailure is a failure that no code of the user's has part in.
func plainFailure(err error) *failurepb.Failure {
	return failure.NewConverter(nil, false).ErrorToFailure(err)
}

func (l *loop) find(id string) *flow.Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := l.runs[id]
	if run == nil {
		run = flow.NewRun(l.environment)
		if earlier := l.stuck[id]; earlier != nil {
			run.Refuse(earlier)
		}
		l.runs[id] = run
	}
	return run
}

// forget lets go of a run, but for one of which a coroutine is stuck.
func (l *loop) forget(id string, run *flow.Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runs, id)
	if over := run.Stuck(); over != nil {
		l.stuck[id] = run
		go func() {
			<-over
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.stuck[id] == run {
				delete(l.stuck, id)
			}
		}()
	}
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

// tell says that the server is away or back. What it goes to is the user's.
func (l *loop) tell(changed *core.Connectivity) {
	if lost := changed.Lost; lost != nil {
		l.environment.Logger.Warn("The worker can't reach its server, and goes on trying.", "TaskQueue", l.taskQueue, "Error", lost.Message)
		return
	}
	l.environment.Logger.Warn("The worker reaches its server again.", "TaskQueue", l.taskQueue)
}

func (l *loop) ended(event *core.ShutDown) {
	if fatal := event.Fatal; fatal != nil {
		l.fatal = connection.Error(&bridge.Error{Code: fatal.Code, Message: fatal.Message, Status: fatal.Status})
		l.environment.Logger.Error("The worker can't go on.", "TaskQueue", l.taskQueue, "Error", l.fatal)
	}
	all.Delete(l)
	close(l.over)
	if l.fatal != nil && l.onFatal != nil {
		defer func() {
			if value := recover(); value != nil {
				l.environment.Logger.Error("OnFatalError panicked.", "Error", value, "StackTrace", string(debug.Stack()))
			}
		}()
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

// enter notes an attempt before anything else can come for it, and lets it run.
func (l *loop) enter(start *core.ActivityStart) {
	ctx, cancel := context.WithCancelCause(context.Background())
	l.mu.Lock()
	l.running[string(start.TaskToken)] = cancel
	l.mu.Unlock()
	go l.run(start, ctx, cancel)
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

// run runs an attempt of an activity and answers with how it ended, however that was.
func (l *loop) run(start *core.ActivityStart, ctx context.Context, cancel context.CancelCauseFunc) {
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
		Cancel: cancel,
	}
	var payload *commonpb.Payload
	var err error = failure.Exited("the activity's goroutine")
	defer func() {
		if failed := environment.Failed(); failed != nil {
			err = failed
		}
		l.respond(start.TaskToken, payload, err, &attemptLog{environment.Logger, &l.environment.Failed, info.WorkflowExecution.RunID + start.ActivityId})
	}()
	payload, err = l.call(activities.With(&untilDeadline{ctx, info.Deadline}, environment), start)
}

func (l *loop) call(ctx context.Context, start *core.ActivityStart) (payload *commonpb.Payload, err error) {
	function, err := l.registry.Activity(start.ActivityType)
	if err != nil {
		return nil, &failure.ApplicationError{Msg: err.Error(), Kind: "ActivityNotRegisteredError"}
	}
	defer func() {
		if value := recover(); value != nil {
			payload, err = nil, failure.Caught(value)
		}
	}()
	return flow.CallActivity(ctx, function, l.connection.DataConverter, start.Input)
}

// attemptLog tells how an attempt of an activity has failed: in full once, and then how often.
type attemptLog struct {
	logger log.Logger
	failed *flow.Repeats
	key    string
}

func (a *attemptLog) tell(level func(string, ...any), message string, err error, values ...any) {
	what := failure.Text(err)
	if panicked, ok := err.(*failure.PanicError); ok {
		what += failure.UserLine(panicked.Stack)
	}
	count, loud := a.failed.Count(a.key, what)
	switch {
	case !loud:
		a.logger.Debug("The activity failed again, in the same way.", "Error", err, "Times", count)
	case count > 1:
		level("The activity has failed many times, in the same way.", "Error", err, "Times", count)
	default:
		level(message, append([]any{"Error", err}, values...)...)
	}
}

func (l *loop) respond(token []byte, payload *commonpb.Payload, err error, logger *attemptLog) {
	l.leave(token)
	request := func(completion *core.ActivityCompletion) *core.WorkerRequest {
		completion.TaskToken = token
		return &core.WorkerRequest{Request: &core.WorkerRequest_Activity{Activity: completion}}
	}
	failed := func(f *failurepb.Failure) *core.WorkerRequest {
		return request(&core.ActivityCompletion{Status: &core.ActivityCompletion_Failed{Failed: f}})
	}
	answer := failed(plainFailure(failure.Exited("the goroutine that answers for the activity")))
	// Also if the user's code, such as an error's text or a logger, ends this goroutine.
	defer func() { l.answer(answer, failed) }()
	answer = request(l.completion(payload, err, logger))
}

func (l *loop) completion(payload *commonpb.Payload, err error, logger *attemptLog) *core.ActivityCompletion {
	switch {
	case err == activities.ErrResultPending:
		return &core.ActivityCompletion{Status: &core.ActivityCompletion_WillCompleteAsync{WillCompleteAsync: &core.WillCompleteAsync{}}}
	case err == nil:
		return &core.ActivityCompletion{Status: &core.ActivityCompletion_Completed{Completed: &core.ActivitySuccess{Result: payload}}}
	}
	failed, panicked := failure.Convert(l.connection.FailureConverter, err)
	if failed.GetCanceledFailureInfo() != nil {
		// If nobody has asked for it, the core makes a failure of it.
		return &core.ActivityCompletion{Status: &core.ActivityCompletion_Cancelled{Cancelled: failed}}
	}
	if own, ok := err.(*failure.PanicError); ok && panicked == nil {
		panicked = own
	}
	if panicked != nil {
		logger.tell(logger.logger.Error, "Activity panic.", panicked, "StackTrace", panicked.Stack)
	} else {
		logger.tell(logger.logger.Warn, "Activity error.", err, "Kind", reflect.TypeOf(err).String())
	}
	return &core.ActivityCompletion{Status: &core.ActivityCompletion_Failed{Failed: failed}}
}

package flow

import (
	"errors"
	"fmt"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"google.golang.org/protobuf/types/known/durationpb"
)

// RetryPolicy says when what failed is tried again. Zero fields have the server's defaults.
type RetryPolicy struct {
	// InitialInterval before the first retry; 1 s by default.
	InitialInterval time.Duration
	// BackoffCoefficient multiplies the interval each time; 2 by default.
	BackoffCoefficient float64
	// MaximumInterval bounds the interval; 100 times the initial one by default.
	MaximumInterval time.Duration
	// MaximumAttempts bounds the attempts, the first included; 0 doesn't.
	MaximumAttempts int32
	// NonRetryableErrorTypes are not tried again.
	NonRetryableErrorTypes []string
}

// Proto is the policy as a message.
func (p *RetryPolicy) Proto() *commonpb.RetryPolicy {
	if p == nil {
		return nil
	}
	backoff := p.BackoffCoefficient
	if backoff == 0 {
		backoff = 2
	}
	return &commonpb.RetryPolicy{
		InitialInterval: Duration(p.InitialInterval), BackoffCoefficient: backoff, MaximumInterval: Duration(p.MaximumInterval),
		MaximumAttempts: p.MaximumAttempts, NonRetryableErrorTypes: p.NonRetryableErrorTypes,
	}
}

func policyOf(p *commonpb.RetryPolicy) *RetryPolicy {
	if p == nil {
		return nil
	}
	return &RetryPolicy{p.InitialInterval.AsDuration(), p.BackoffCoefficient, p.MaximumInterval.AsDuration(), p.MaximumAttempts,
		p.NonRetryableErrorTypes}
}

// Duration is a duration as a message; absent for none.
func Duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// IsAlreadyStarted tells whether a start was refused because the id is taken.
func IsAlreadyStarted(err error) bool {
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	return errors.As(err, &started)
}

// ActivityOptions say how an activity runs. StartToCloseTimeout or ScheduleToCloseTimeout is required.
type ActivityOptions struct {
	// TaskQueue is the workflow's by default.
	TaskQueue              string
	ScheduleToCloseTimeout time.Duration
	ScheduleToStartTimeout time.Duration
	StartToCloseTimeout    time.Duration
	HeartbeatTimeout       time.Duration
	// WaitForCancellation makes a cancelled activity's future wait until the activity has ended.
	WaitForCancellation bool
	// ActivityID defaults to the id that the event which records the activity is going to have.
	ActivityID string
	// RetryPolicy by default tries again until the time-outs pass.
	RetryPolicy           *RetryPolicy
	DisableEagerExecution bool
	// Summary is a line for tools that show the history.
	Summary string
}

// WithActivityOptions sets the options of activities that are started with the context.
func WithActivityOptions(ctx Context, options ActivityOptions) Context {
	return WithValue(ctx, activityKey, options)
}

// GetActivityOptions are the options that activities would be started with.
func GetActivityOptions(ctx Context) ActivityOptions {
	options, _ := ctx.Value(activityKey).(ActivityOptions)
	return options
}

// ChangeActivityOptions is ctx with changed options.
func ChangeActivityOptions(ctx Context, change func(*ActivityOptions)) Context {
	options := GetActivityOptions(ctx)
	change(&options)
	return WithActivityOptions(ctx, options)
}

// outbound is the last link of a run's outbound chain: what is asked for becomes a command.
type outbound struct{ run *Run }

// command notes what the code asks for. After the run was evicted it asks for nothing more.
func (r *Run) command(command *core.WorkflowCommand) {
	r.leaveIfBroken()
	r.mayChange()
	if !r.closed {
		r.commands = append(r.commands, command)
	}
}

// pending is something asked for that hasn't come to its end.
type pending struct {
	future *future
	hook   *hook
	// converter is for the result, if there can be one.
	converter converter.DataConverter
}

// ExecuteActivity starts an activity, named by its function or its name. Its options come from WithActivityOptions.
func ExecuteActivity(ctx Context, activity any, arguments ...any) Future {
	r := runOf(ctx)
	name, err := r.env.Registry.activityName(activity)
	if err != nil {
		return failed(r, err)
	}
	return r.out.ExecuteActivity(ctx, name, arguments...)
}

func (o *outbound) ExecuteActivity(ctx Context, name string, arguments ...any) Future {
	r := o.run
	options := GetActivityOptions(ctx)
	if options.StartToCloseTimeout == 0 && options.ScheduleToCloseTimeout == 0 {
		return failed(r, fmt.Errorf("activity %s needs StartToCloseTimeout or ScheduleToCloseTimeout: set one by workflow.WithActivityOptions", name))
	}
	with := r.converterOf(ctx)
	payloads, err := with.ToPayloads(arguments...)
	if err != nil {
		return failed(r, fmt.Errorf("the arguments of activity %s: %w", name, err))
	}
	r.lastAct++
	seq := r.lastAct
	command := &core.ScheduleActivity{
		Seq: seq, ActivityId: options.ActivityID, ActivityType: name, TaskQueue: options.TaskQueue, Arguments: payloads.GetPayloads(),
		ScheduleToCloseTimeout: Duration(options.ScheduleToCloseTimeout), ScheduleToStartTimeout: Duration(options.ScheduleToStartTimeout),
		StartToCloseTimeout: Duration(options.StartToCloseTimeout), HeartbeatTimeout: Duration(options.HeartbeatTimeout),
		RetryPolicy: options.RetryPolicy.Proto(), DoNotEagerlyExecute: options.DisableEagerExecution,
	}
	if options.WaitForCancellation {
		command.CancellationType = core.ActivityCancellationType_WAIT_CANCELLATION_COMPLETED
	}
	r.command(&core.WorkflowCommand{Location: r.location(), UserMetadata: r.metadata(options.Summary),
		Command: &core.WorkflowCommand_ScheduleActivity{ScheduleActivity: command}})
	p := &pending{future: &future{run: r}, converter: with}
	r.activities[seq] = p
	p.hook = stopWith(ctx, func() {
		r.command(&core.WorkflowCommand{Command: &core.WorkflowCommand_RequestCancelActivity{
			RequestCancelActivity: &core.RequestCancelActivity{Seq: seq}}})
		if !options.WaitForCancellation {
			settle(r.activities, seq, nil, ErrCanceled)
		}
	})
	return p.future
}

// NewTimer is a future that is ready after a duration. Cancelling the context cancels it.
func NewTimer(ctx Context, d time.Duration) Future { return outboundOf(ctx).NewTimer(ctx, d) }

func (o *outbound) NewTimer(ctx Context, d time.Duration) Future {
	return o.NewTimerWithOptions(ctx, d, TimerOptions{})
}

// TimerOptions are the options of NewTimerWithOptions.
type TimerOptions struct {
	// Summary is a line for tools that show the history.
	Summary string
}

// NewTimerWithOptions is NewTimer with options.
func NewTimerWithOptions(ctx Context, d time.Duration, options TimerOptions) Future {
	return outboundOf(ctx).NewTimerWithOptions(ctx, d, options)
}

func (o *outbound) NewTimerWithOptions(ctx Context, d time.Duration, options TimerOptions) Future {
	r := o.run
	if d <= 0 {
		return &future{run: r, done: true}
	}
	r.lastTimer++
	seq := r.lastTimer
	r.command(&core.WorkflowCommand{Location: r.location(), UserMetadata: r.metadata(options.Summary),
		Command: &core.WorkflowCommand_StartTimer{StartTimer: &core.StartTimer{Seq: seq, StartToFireTimeout: durationpb.New(d)}}})
	p := &pending{future: &future{run: r}}
	r.timers[seq] = p
	p.hook = stopWith(ctx, func() {
		r.command(&core.WorkflowCommand{Command: &core.WorkflowCommand_CancelTimer{CancelTimer: &core.CancelTimer{Seq: seq}}})
		settle(r.timers, seq, nil, &failure.CanceledError{Msg: "TimerCanceled"})
	})
	return p.future
}

// Sleep waits for a duration, as a timer of the server's. It returns a CanceledError if the context is cancelled.
func Sleep(ctx Context, d time.Duration) error { return outboundOf(ctx).Sleep(ctx, d) }

func (o *outbound) Sleep(ctx Context, d time.Duration) error { return NewTimer(ctx, d).Get(ctx, nil) }

// ContinueAsNewError is what a workflow function returns to go on as a new run.
type ContinueAsNewError struct{ command *core.ContinueAsNew }

func (e *ContinueAsNewError) Error() string { return "continue as new" }

// NewContinueAsNewError makes the error that ends a run and starts the workflow anew with other arguments.
func NewContinueAsNewError(ctx Context, workflow any, arguments ...any) error {
	return outboundOf(ctx).NewContinueAsNewError(ctx, workflow, arguments...)
}

// ContinueAsNewErrorOptions are the options of NewContinueAsNewErrorWithOptions.
type ContinueAsNewErrorOptions struct {
	// RetryPolicy replaces the run's.
	RetryPolicy *RetryPolicy
}

// NewContinueAsNewErrorWithOptions is NewContinueAsNewError with options.
func NewContinueAsNewErrorWithOptions(ctx Context, o ContinueAsNewErrorOptions, workflow any, arguments ...any) error {
	err := NewContinueAsNewError(ctx, workflow, arguments...)
	if continued, ok := err.(*ContinueAsNewError); ok {
		continued.command.RetryPolicy = o.RetryPolicy.Proto()
	}
	return err
}

func (o *outbound) NewContinueAsNewError(ctx Context, workflow any, arguments ...any) error {
	env := o.run.env
	name, err := env.Registry.WorkflowName(workflow)
	if err != nil {
		return err
	}
	payloads, err := o.run.converterOf(ctx).ToPayloads(arguments...)
	if err != nil {
		return fmt.Errorf("the arguments of workflow %s: %w", name, err)
	}
	// Without them everything is as in this run.
	options, _ := ctx.Value(childKey).(ChildWorkflowOptions)
	return &ContinueAsNewError{command: &core.ContinueAsNew{
		WorkflowType: name, TaskQueue: options.TaskQueue, Arguments: payloads.GetPayloads(),
		RunTimeout: Duration(options.WorkflowRunTimeout), TaskTimeout: Duration(options.WorkflowTaskTimeout),
	}}
}

package flow

import (
	"reflect"
	"time"

	"durably.dev/sdk/log"
	commonpb "go.temporal.io/api/common/v1"
)

// Everything that reaches the user's code goes through a run's inbound chain, and everything that it asks for through the
// outbound one. The links that are there always are the last ones: inbound in handlers.go and update.go, outbound
// in commands.go, child.go and external.go. Names and signatures are the official SDK's.

// ExecuteWorkflowInput is the input of Inbound.ExecuteWorkflow.
type ExecuteWorkflowInput struct{ Args []any }

// HandleSignalInput is the input of Inbound.HandleSignal; Arg is what goes into the signal's channel.
type HandleSignalInput struct {
	SignalName string
	Arg        *commonpb.Payloads
}

// HandleQueryInput is the input of Inbound.HandleQuery.
type HandleQueryInput struct {
	QueryType string
	Args      []any
}

// UpdateInput is the input of Inbound.ValidateUpdate and Inbound.ExecuteUpdate.
type UpdateInput struct {
	Name string
	Args []any
}

// Inbound is a link of what comes to the user's code.
type Inbound interface {
	// Init is called first, with the outbound chain so far; it passes its own link, if it has one, to the next Init.
	Init(out Outbound) error
	ExecuteWorkflow(ctx Context, in *ExecuteWorkflowInput) (any, error)
	HandleSignal(ctx Context, in *HandleSignalInput) error
	HandleQuery(ctx Context, in *HandleQueryInput) (any, error)
	// ValidateUpdate comes first for each update, whether or not its handler has a validator, but in replays. It only reads.
	ValidateUpdate(ctx Context, in *UpdateInput) error
	// ExecuteUpdate comes for those that are accepted.
	ExecuteUpdate(ctx Context, in *UpdateInput) (any, error)
}

// Outbound is a link of what the user's code asks for.
type Outbound interface {
	Go(ctx Context, name string, f func(Context)) Context
	Await(ctx Context, condition func() bool) error
	AwaitWithTimeout(ctx Context, timeout time.Duration, condition func() bool) (bool, error)
	ExecuteActivity(ctx Context, activityType string, args ...any) Future
	ExecuteChildWorkflow(ctx Context, childWorkflowType string, args ...any) ChildWorkflowFuture
	SignalChildWorkflow(ctx Context, workflowID, signalName string, arg any) Future
	SignalExternalWorkflow(ctx Context, workflowID, runID, signalName string, arg any) Future
	RequestCancelExternalWorkflow(ctx Context, workflowID, runID string) Future
	NewTimer(ctx Context, d time.Duration) Future
	NewTimerWithOptions(ctx Context, d time.Duration, options TimerOptions) Future
	Sleep(ctx Context, d time.Duration) error
	Now(ctx Context) time.Time
	GetInfo(ctx Context) *Info
	GetLogger(ctx Context) log.Logger
	GetSignalChannel(ctx Context, name string) ReceiveChannel
	GetSignalChannelWithOptions(ctx Context, name string, options SignalChannelOptions) ReceiveChannel
	SetQueryHandler(ctx Context, name string, handler any) error
	SetQueryHandlerWithOptions(ctx Context, name string, handler any, options QueryHandlerOptions) error
	SetUpdateHandler(ctx Context, name string, handler any, options UpdateHandlerOptions) error
	GetCurrentUpdateInfo(ctx Context) *UpdateInfo
	IsReplaying(ctx Context) bool
	HasLastCompletionResult(ctx Context) bool
	GetLastCompletionResult(ctx Context, valuePtrs ...any) error
	GetLastError(ctx Context) error
	NewContinueAsNewError(ctx Context, workflow any, arguments ...any) error
}

// intercept makes the chains of a run.
func (r *Run) intercept(main reflect.Value) error {
	r.in = &inbound{r, main}
	for i := len(r.env.Intercept) - 1; i >= 0; i-- {
		r.in = r.env.Intercept[i](r.root, r.in)
	}
	return r.in.Init(&outbound{r})
}

func outboundOf(ctx Context) Outbound { return runOf(ctx).out }

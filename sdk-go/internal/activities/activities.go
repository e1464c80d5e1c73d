// Package activities is what an activity has around it. Package activity shows it to users.
package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	"durably.dev/sdk/internal/flow"
	"durably.dev/sdk/log"
	commonpb "go.temporal.io/api/common/v1"
)

// ErrResultPending is what an activity returns that will be completed from elsewhere.
var ErrResultPending = errors.New("not error: do not autocomplete, using Client.CompleteActivity() to complete")

// Info is what an activity may know about itself.
type Info struct {
	TaskToken              []byte
	WorkflowType           *flow.Type
	WorkflowNamespace      string
	WorkflowExecution      flow.Execution
	ActivityID             string
	ActivityType           flow.Type
	TaskQueue              string
	HeartbeatTimeout       time.Duration
	ScheduleToCloseTimeout time.Duration
	StartToCloseTimeout    time.Duration
	ScheduledTime          time.Time
	StartedTime            time.Time
	// Deadline of this attempt.
	Deadline time.Time
	// Attempt starts at 1.
	Attempt int32
	// IsLocalActivity is false: there are no local activities yet.
	IsLocalActivity bool
	RetryPolicy     *commonpb.RetryPolicy
	Priority        *commonpb.Priority
}

// Environment is what an attempt has around it.
type Environment struct {
	Info      Info
	Logger    log.Logger
	Converter converter.DataConverter
	// Details of the last heartbeat of an earlier attempt.
	Details *commonpb.Payloads
	// Heartbeat passes details on.
	Heartbeat func(details []*commonpb.Payload)
	// Cancel cancels the activity's context.
	Cancel func(cause error)
	// Stop is closed when the worker shuts down.
	Stop <-chan struct{}

	mu     sync.Mutex
	failed error
}

type key struct{}

// With is ctx with an environment.
func With(ctx context.Context, environment *Environment) context.Context {
	return context.WithValue(ctx, key{}, environment)
}

// Of is the environment of an activity's context.
func Of(ctx context.Context) *Environment {
	environment := Find(ctx)
	if environment == nil {
		panic("this context is not an activity's: pass on the one that the activity function got")
	}
	return environment
}

// Find is the environment of a context; nil if it isn't an activity's.
func Find(ctx context.Context) *Environment {
	environment, _ := ctx.Value(key{}).(*Environment)
	return environment
}

// NewInfo is the Info of a start.
func NewInfo(start *core.ActivityStart, taskQueue string) Info {
	info := Info{
		TaskToken: start.TaskToken, WorkflowType: &flow.Type{Name: start.WorkflowType}, WorkflowNamespace: start.WorkflowNamespace,
		WorkflowExecution: flow.Execution{ID: start.WorkflowExecution.GetWorkflowId(), RunID: start.WorkflowExecution.GetRunId()},
		ActivityID:        start.ActivityId, ActivityType: flow.Type{Name: start.ActivityType}, TaskQueue: taskQueue,
		HeartbeatTimeout: start.HeartbeatTimeout.AsDuration(), ScheduleToCloseTimeout: start.ScheduleToCloseTimeout.AsDuration(),
		StartToCloseTimeout: start.StartToCloseTimeout.AsDuration(), ScheduledTime: start.ScheduledTime.AsTime(),
		StartedTime: start.StartedTime.AsTime(), Attempt: start.Attempt,
		RetryPolicy: start.RetryPolicy, Priority: start.Priority,
	}
	if d := info.StartToCloseTimeout; d > 0 {
		info.Deadline = info.StartedTime.Add(d)
	}
	if d := info.ScheduleToCloseTimeout; d > 0 {
		if end := info.ScheduledTime.Add(d); info.Deadline.IsZero() || end.Before(info.Deadline) {
			info.Deadline = end
		}
	}
	return info
}

// HasDetails tells whether an earlier attempt has left details.
func (e *Environment) HasDetails() bool { return len(e.Details.GetPayloads()) > 0 }

// DecodeDetails decodes what an earlier attempt has left.
func (e *Environment) DecodeDetails(valuePtrs ...any) error {
	if !e.HasDetails() {
		return failure.ErrNoData
	}
	return e.Converter.FromPayloads(e.Details, valuePtrs...)
}

// Record sends a heartbeat with details. If they can't be encoded the attempt fails, as it does if its function panics; but the
// panic itself is not passed on, because whoever records may be a goroutine whose panic ends the process.
func (e *Environment) Record(details []any) {
	payloads, err := e.encode(details)
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.failed == nil {
			e.failed = err
			e.Cancel(err)
		}
		return
	}
	e.Heartbeat(payloads.GetPayloads())
}

func (e *Environment) encode(details []any) (payloads *commonpb.Payloads, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = failure.Caught(value)
		}
	}()
	// A heartbeat with nil has nothing to tell.
	if len(details) == 1 && details[0] == nil {
		return nil, nil
	}
	payloads, err = e.Converter.ToPayloads(details...)
	if err != nil {
		err = failure.Caught(fmt.Sprintf("the heartbeat's details can't be encoded: %v", err))
	}
	return payloads, err
}

// Failed is why the attempt fails whatever its function returns; nil if it doesn't.
func (e *Environment) Failed() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

// Package failure holds the SDK's error types and turns errors into failures and back. Package temporal shows them to
// users.
package failure

import (
	"errors"
	"fmt"
	"time"

	"durably.dev/sdk/converter"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
)

// ErrNoData is what asking for details fails with when there are none.
var ErrNoData = errors.New("no data available")

// Category of an application error, for logs and metrics.
type Category = enumspb.ApplicationErrorCategory

// received is what an error that came over the wire keeps, so that it goes on as it came.
type received struct{ failure *failurepb.Failure }

func (r *received) original() *failurepb.Failure { return r.failure }

// values are details, still encoded or not yet.
type values struct {
	payloads  *commonpb.Payloads
	local     []any
	converter converter.DataConverter
}

func (v *values) HasValues() bool {
	return v != nil && (len(v.local) > 0 || len(v.payloads.GetPayloads()) > 0)
}

func (v *values) Get(valuePtrs ...any) error {
	if !v.HasValues() {
		return ErrNoData
	}
	payloads, err := v.encode(v.converter)
	if err != nil {
		return err
	}
	return v.converter.FromPayloads(payloads, valuePtrs...)
}

func (v *values) encode(with converter.DataConverter) (*commonpb.Payloads, error) {
	if v == nil || len(v.local) == 0 {
		if v == nil {
			return nil, nil
		}
		return v.payloads, nil
	}
	return with.ToPayloads(v.local...)
}

// encodeOrDrop encodes details of which none are better than that they hide the failure they belong to.
func (v *values) encodeOrDrop(with converter.DataConverter) (encoded *commonpb.Payloads) {
	defer func() {
		if recover() != nil {
			encoded = nil
		}
	}()
	encoded, err := v.encode(with)
	if err != nil {
		return nil
	}
	return encoded
}

// Values wraps details of a new error.
func Values(details []any) *values {
	return &values{local: details, converter: converter.GetDefaultDataConverter()}
}

// NewEncodedValues wraps payloads.
func NewEncodedValues(payloads *commonpb.Payloads, with converter.DataConverter) converter.EncodedValues {
	return &values{payloads: payloads, converter: with}
}

// ApplicationError is a failure of the user's own code.
type ApplicationError struct {
	received
	Msg       string
	Kind      string
	Final     bool
	Cause     error
	Values    *values
	NextDelay time.Duration
	Class     Category
}

func withCause(message string, cause error) string {
	if cause == nil {
		return message
	}
	return fmt.Sprintf("%s: %v", message, cause)
}

func (e *ApplicationError) Error() string {
	message := e.Msg
	if e.Kind != "" {
		message = fmt.Sprintf("%s (type: %s, retryable: %v)", e.Msg, e.Kind, !e.Final)
	}
	return withCause(message, e.Cause)
}

// Message is the error's own message, without cause.
func (e *ApplicationError) Message() string { return e.Msg }

// Type is what retry policies and other languages tell the error by.
func (e *ApplicationError) Type() string { return e.Kind }

// HasDetails tells whether there are details.
func (e *ApplicationError) HasDetails() bool { return e.Values.HasValues() }

// Details decodes the details into pointers.
func (e *ApplicationError) Details(valuePtrs ...any) error { return e.Values.Get(valuePtrs...) }

// NonRetryable tells whether retrying is pointless.
func (e *ApplicationError) NonRetryable() bool { return e.Final }

// NextRetryDelay overrides the retry policy's delay; 0 doesn't.
func (e *ApplicationError) NextRetryDelay() time.Duration { return e.NextDelay }

// Category is the error's category.
func (e *ApplicationError) Category() Category { return e.Class }

// Unwrap is the cause.
func (e *ApplicationError) Unwrap() error { return e.Cause }

// CanceledError says that what was waited for was cancelled.
type CanceledError struct {
	received
	Values *values
	Msg    string
}

func (e *CanceledError) Error() string {
	if e.Msg == "" {
		return "canceled"
	}
	return e.Msg
}

// HasDetails tells whether there are details.
func (e *CanceledError) HasDetails() bool { return e.Values.HasValues() }

// Details decodes the details into pointers.
func (e *CanceledError) Details(valuePtrs ...any) error { return e.Values.Get(valuePtrs...) }

// TimeoutError says that a time-out passed.
type TimeoutError struct {
	received
	Msg    string
	Which  enumspb.TimeoutType
	Values *values
	Cause  error
}

func (e *TimeoutError) Error() string {
	return withCause(fmt.Sprintf("%s (type: %s)", e.Message(), e.Which), e.Cause)
}

// Message is the error's own message.
func (e *TimeoutError) Message() string {
	if e.Msg == "" {
		return "timeout"
	}
	return e.Msg
}

// TimeoutType tells which time-out it was.
func (e *TimeoutError) TimeoutType() enumspb.TimeoutType { return e.Which }

// HasLastHeartbeatDetails tells whether the activity has left details with a heartbeat.
func (e *TimeoutError) HasLastHeartbeatDetails() bool { return e.Values.HasValues() }

// LastHeartbeatDetails decodes the last heartbeat's details into pointers.
func (e *TimeoutError) LastHeartbeatDetails(valuePtrs ...any) error {
	return e.Values.Get(valuePtrs...)
}

// Unwrap is the cause.
func (e *TimeoutError) Unwrap() error { return e.Cause }

// TerminatedError says that a workflow was terminated.
type TerminatedError struct{ received }

func (*TerminatedError) Error() string { return "terminated" }

// ServerError is a failure of the server's making.
type ServerError struct {
	received
	Msg   string
	Final bool
	Cause error
}

func (e *ServerError) Error() string { return withCause(e.Msg, e.Cause) }

// Message is the error's own message.
func (e *ServerError) Message() string { return e.Msg }

// Unwrap is the cause.
func (e *ServerError) Unwrap() error { return e.Cause }

// PanicError is a panic of the user's code.
type PanicError struct {
	received
	Value any
	Stack string
	// Final: retrying is pointless, as in a workflow.
	Final bool
}

func (e *PanicError) Error() string { return fmt.Sprintf("%v", e.Value) }

// StackTrace is where it happened.
func (e *PanicError) StackTrace() string { return e.Stack }

// ActivityError wraps what went wrong in an activity, as the workflow sees it.
type ActivityError struct {
	received
	Info  *failurepb.ActivityFailureInfo
	Cause error
}

func (e *ActivityError) Error() string {
	message := fmt.Sprintf("activity error (type: %s, scheduledEventID: %d, startedEventID: %d, identity: %s)",
		e.Info.GetActivityType().GetName(), e.Info.GetScheduledEventId(), e.Info.GetStartedEventId(), e.Info.GetIdentity())
	return withCause(message, e.Cause)
}

// Unwrap is the cause.
func (e *ActivityError) Unwrap() error { return e.Cause }

// ScheduledEventID is the event that scheduled the activity.
func (e *ActivityError) ScheduledEventID() int64 { return e.Info.GetScheduledEventId() }

// StartedEventID is the event that started the last attempt.
func (e *ActivityError) StartedEventID() int64 { return e.Info.GetStartedEventId() }

// Identity is the worker of the last attempt.
func (e *ActivityError) Identity() string { return e.Info.GetIdentity() }

// ActivityType is the activity's type.
func (e *ActivityError) ActivityType() *commonpb.ActivityType { return e.Info.GetActivityType() }

// ActivityID is the activity's id.
func (e *ActivityError) ActivityID() string { return e.Info.GetActivityId() }

// RetryState tells why there was no further attempt.
func (e *ActivityError) RetryState() enumspb.RetryState { return e.Info.GetRetryState() }

// WorkflowExecutionError wraps why a workflow ended otherwise than by a result, as the client sees it.
type WorkflowExecutionError struct {
	WorkflowID, RunID, WorkflowType string
	Cause                           error
}

func (e *WorkflowExecutionError) Error() string {
	message := fmt.Sprintf("workflow execution error (type: %s, workflowID: %s, runID: %s)", e.WorkflowType, e.WorkflowID, e.RunID)
	return withCause(message, e.Cause)
}

// Unwrap is the cause.
func (e *WorkflowExecutionError) Unwrap() error { return e.Cause }

// NewCanceled is the error of a workflow that was cancelled, with details.
func NewCanceled(details *commonpb.Payloads, with converter.DataConverter) error {
	return &CanceledError{Values: &values{payloads: details, converter: with}}
}

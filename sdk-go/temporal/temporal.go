// Package temporal holds what workflows, activities and clients share: errors and retry policies.
package temporal

import (
	"errors"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/failure"
	"durably.dev/sdk/internal/flow"
	enumspb "go.temporal.io/api/enums/v1"
)

type (
	// ApplicationError is a failure of the user's own code.
	ApplicationError = failure.ApplicationError
	// ApplicationErrorCategory tells benign errors from others.
	ApplicationErrorCategory = failure.Category
	// ActivityError wraps what went wrong in an activity, as the workflow sees it.
	ActivityError = failure.ActivityError
	// CanceledError says that what was waited for was cancelled.
	CanceledError = failure.CanceledError
	// ChildWorkflowExecutionError wraps what went wrong in a child workflow.
	ChildWorkflowExecutionError = failure.ChildWorkflowExecutionError
	// ChildWorkflowExecutionAlreadyStartedError says that a child's workflow id is taken; it is the cause of a
	// ChildWorkflowExecutionError.
	ChildWorkflowExecutionAlreadyStartedError = failure.ChildWorkflowExecutionAlreadyStartedError
	// NamespaceNotFoundError says that there is no namespace of the name that was given.
	NamespaceNotFoundError = failure.NamespaceNotFoundError
	// PanicError is a panic of the user's code.
	PanicError = failure.PanicError
	// ServerError is a failure of the server's making.
	ServerError = failure.ServerError
	// TerminatedError says that a workflow was terminated.
	TerminatedError = failure.TerminatedError
	// TimeoutError says that a time-out passed.
	TimeoutError = failure.TimeoutError
	// UnknownExternalWorkflowExecutionError says that there is no open workflow to signal or to cancel.
	UnknownExternalWorkflowExecutionError = failure.UnknownExternalWorkflowExecutionError
	// WorkflowExecutionError wraps why a workflow ended otherwise than by a result, as the client sees it.
	WorkflowExecutionError = failure.WorkflowExecutionError
	// RetryPolicy says when what failed is tried again.
	RetryPolicy = flow.RetryPolicy
)

// Categories of application errors.
const (
	ApplicationErrorCategoryUnspecified = enumspb.APPLICATION_ERROR_CATEGORY_UNSPECIFIED
	ApplicationErrorCategoryBenign      = enumspb.APPLICATION_ERROR_CATEGORY_BENIGN
)

// ErrNoData is what asking for details fails with when there are none.
var ErrNoData = failure.ErrNoData

// ApplicationErrorOptions are the optional parts of an application error.
type ApplicationErrorOptions struct {
	// NonRetryable errors are not tried again.
	NonRetryable bool
	Cause        error
	Details      []any
	// NextRetryDelay overrides the retry policy's delay.
	NextRetryDelay time.Duration
	Category       ApplicationErrorCategory
}

// NewApplicationError makes a retryable error with a type that retry policies can name.
func NewApplicationError(msg, errType string, details ...any) error {
	return NewApplicationErrorWithOptions(msg, errType, ApplicationErrorOptions{Details: details})
}

// NewApplicationErrorWithCause makes a retryable error with a cause.
func NewApplicationErrorWithCause(msg, errType string, cause error, details ...any) error {
	return NewApplicationErrorWithOptions(msg, errType, ApplicationErrorOptions{Cause: cause, Details: details})
}

// NewNonRetryableApplicationError makes an error that isn't tried again.
func NewNonRetryableApplicationError(msg, errType string, cause error, details ...any) error {
	return NewApplicationErrorWithOptions(msg, errType, ApplicationErrorOptions{NonRetryable: true, Cause: cause, Details: details})
}

// NewApplicationErrorWithOptions makes an application error.
func NewApplicationErrorWithOptions(msg, errType string, options ApplicationErrorOptions) error {
	return &failure.ApplicationError{
		Msg: msg, Kind: errType, Final: options.NonRetryable, Cause: options.Cause, Values: failure.Values(options.Details),
		NextDelay: options.NextRetryDelay, Class: options.Category,
	}
}

// NewCanceledError makes the error of something that was cancelled.
func NewCanceledError(details ...any) error {
	return &failure.CanceledError{Values: failure.Values(details)}
}

// NewTimeoutError makes a time-out error, for tests.
func NewTimeoutError(timeoutType enumspb.TimeoutType, lastErr error, details ...any) error {
	return &failure.TimeoutError{Which: timeoutType, Cause: lastErr, Values: failure.Values(details)}
}

// NewHeartbeatTimeoutError makes a heartbeat time-out error, for tests.
func NewHeartbeatTimeoutError(details ...any) error {
	return NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil, details...)
}

func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// IsApplicationError tells whether err is or wraps an ApplicationError.
func IsApplicationError(err error) bool { return is[*ApplicationError](err) }

// IsCanceledError tells whether err is or wraps a CanceledError.
func IsCanceledError(err error) bool { return is[*CanceledError](err) }

// IsTimeoutError tells whether err is or wraps a TimeoutError.
func IsTimeoutError(err error) bool { return is[*TimeoutError](err) }

// IsTerminatedError tells whether err is or wraps a TerminatedError.
func IsTerminatedError(err error) bool { return is[*TerminatedError](err) }

// IsPanicError tells whether err is or wraps a PanicError.
func IsPanicError(err error) bool { return is[*PanicError](err) }

// IsWorkflowExecutionAlreadyStartedError tells whether a start, of a workflow or of a child, was refused because the id is
// taken.
func IsWorkflowExecutionAlreadyStartedError(err error) bool {
	return flow.IsAlreadyStarted(err) || is[*ChildWorkflowExecutionAlreadyStartedError](err)
}

// DefaultFailureConverterOptions are the options of NewDefaultFailureConverter.
type DefaultFailureConverterOptions struct {
	DataConverter converter.DataConverter
	// EncodeCommonAttributes moves message and stack trace into a payload, so that a codec hides them.
	EncodeCommonAttributes bool
}

// NewDefaultFailureConverter makes the failure converter of Temporal's SDKs.
func NewDefaultFailureConverter(options DefaultFailureConverterOptions) converter.FailureConverter {
	return failure.NewConverter(options.DataConverter, options.EncodeCommonAttributes)
}

// GetDefaultFailureConverter is the converter that is used unless told otherwise.
func GetDefaultFailureConverter() converter.FailureConverter { return failure.NewConverter(nil, false) }

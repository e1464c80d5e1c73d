package failure

import (
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
)

// ChildWorkflowExecutionError wraps what went wrong in a child workflow, or with its start, as its parent sees it.
type ChildWorkflowExecutionError struct {
	received
	Info  *failurepb.ChildWorkflowExecutionFailureInfo
	Cause error
}

func (e *ChildWorkflowExecutionError) Error() string {
	message := fmt.Sprintf("child workflow execution error (type: %s, workflowID: %s, runID: %s, initiatedEventID: %d, startedEventID: %d)",
		e.WorkflowType(), e.WorkflowID(), e.RunID(), e.InitiatedEventID(), e.StartedEventID())
	return withCause(message, e.Cause)
}

// Unwrap is the cause.
func (e *ChildWorkflowExecutionError) Unwrap() error { return e.Cause }

// Namespace is the child's namespace.
func (e *ChildWorkflowExecutionError) Namespace() string { return e.Info.GetNamespace() }

// WorkflowID is the child's workflow id.
func (e *ChildWorkflowExecutionError) WorkflowID() string {
	return e.Info.GetWorkflowExecution().GetWorkflowId()
}

// RunID is the child's run; empty if it never started.
func (e *ChildWorkflowExecutionError) RunID() string { return e.Info.GetWorkflowExecution().GetRunId() }

// WorkflowType is the child's type.
func (e *ChildWorkflowExecutionError) WorkflowType() string {
	return e.Info.GetWorkflowType().GetName()
}

// InitiatedEventID is the event that records that the start was asked for.
func (e *ChildWorkflowExecutionError) InitiatedEventID() int64 { return e.Info.GetInitiatedEventId() }

// StartedEventID is the event that records that the child has started; 0 if it never did.
func (e *ChildWorkflowExecutionError) StartedEventID() int64 { return e.Info.GetStartedEventId() }

// RetryState tells why there was no further attempt.
func (e *ChildWorkflowExecutionError) RetryState() enumspb.RetryState { return e.Info.GetRetryState() }

// ChildWorkflowExecutionAlreadyStartedError says that a child's workflow id is taken.
type ChildWorkflowExecutionAlreadyStartedError struct{}

func (*ChildWorkflowExecutionAlreadyStartedError) Error() string {
	return "child workflow execution already started"
}

// NamespaceNotFoundError says that there is no namespace of the name that was given.
type NamespaceNotFoundError struct{}

func (*NamespaceNotFoundError) Error() string { return "namespace not found" }

// UnknownExternalWorkflowExecutionError says that there is no open workflow of the id that was given, or no open run.
type UnknownExternalWorkflowExecutionError struct{}

func (*UnknownExternalWorkflowExecutionError) Error() string {
	return "unknown external workflow execution"
}

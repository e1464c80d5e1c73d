"""The message classes of the contract that the SDK's runtime uses, gathered in one place.

The runtime speaks to the core in the messages of `durably.core.v1` and `temporal.api.*`. This module is the only one
that knows where their classes live. Attribute semantics: an unset message field is None, a repeated field a list, a
map a dict, a scalar its default.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any


from durably.api.common.v1 import (
    ActivityType,
    Header,
    Memo,
    Payload,
    Payloads,
    Priority,
    RetryPolicy,
    SearchAttributes,
    WorkflowExecution,
    WorkflowType,
)
from durably.api.time import as_timedelta
from durably.api.failure.v1 import (
    ActivityFailureInfo,
    ApplicationFailureInfo,
    CanceledFailureInfo,
    ChildWorkflowExecutionFailureInfo,
    Failure,
    ResetWorkflowFailureInfo,
    ServerFailureInfo,
    TerminatedFailureInfo,
    TimeoutFailureInfo,
)
from durably.api.sdk.v1 import (
    UserMetadata,
)
from durably.api.core.v1 import (
    ActivationFailure,
    ActivationSuccess,
    ActivityResolution,
    ActivitySuccess,
    CancelChildWorkflow,
    CancelReceived,
    CancelSignalExternalWorkflow,
    CancelTimer,
    CancelWorkflow,
    ChildWorkflowResolution,
    ChildWorkflowStarted,
    ChildWorkflowStartFailed,
    ChildWorkflowSuccess,
    CompleteWorkflow,
    ContinueAsNew,
    Evict,
    ExternalWorkflow,
    FailWorkflow,
    FireTimer,
    InitializeWorkflow,
    QueryAnswer,
    QueryReceived,
    RequestCancelActivity,
    RequestCancelExternalWorkflow,
    ResolveActivity,
    ResolveChildWorkflow,
    ResolveChildWorkflowStart,
    ResolveRequestCancelExternalWorkflow,
    ResolveSignalExternalWorkflow,
    ScheduleActivity,
    SignalExternalWorkflow,
    SignalReceived,
    StartChildWorkflow,
    StartTimer,
    UpdateAccepted,
    UpdateAnswer,
    UpdateRandomSeed,
    UpdateReceived,
    WorkflowActivation,
    WorkflowCommand,
    WorkflowCompletion,
    WorkflowJob,
)
from durably.api.google.protobuf import (
    Duration,
    Timestamp,
)

__all__ = [
    "ActivationFailure",
    "ActivationSuccess",
    "ActivityFailureInfo",
    "ActivityResolution",
    "ActivitySuccess",
    "ActivityType",
    "ApplicationFailureInfo",
    "CancelChildWorkflow",
    "CanceledFailureInfo",
    "CancelReceived",
    "CancelSignalExternalWorkflow",
    "CancelTimer",
    "CancelWorkflow",
    "ChildWorkflowExecutionFailureInfo",
    "ChildWorkflowResolution",
    "ChildWorkflowStarted",
    "ChildWorkflowStartFailed",
    "ChildWorkflowSuccess",
    "CompleteWorkflow",
    "ContinueAsNew",
    "Duration",
    "Evict",
    "ExternalWorkflow",
    "Failure",
    "FailWorkflow",
    "FireTimer",
    "from_duration",
    "from_timestamp",
    "Header",
    "InitializeWorkflow",
    "Memo",
    "Payload",
    "Payloads",
    "Priority",
    "QueryAnswer",
    "QueryReceived",
    "RequestCancelActivity",
    "RequestCancelExternalWorkflow",
    "ResetWorkflowFailureInfo",
    "ResolveActivity",
    "ResolveChildWorkflow",
    "ResolveChildWorkflowStart",
    "ResolveRequestCancelExternalWorkflow",
    "ResolveSignalExternalWorkflow",
    "RetryPolicy",
    "ScheduleActivity",
    "SearchAttributes",
    "ServerFailureInfo",
    "SignalExternalWorkflow",
    "SignalReceived",
    "StartChildWorkflow",
    "StartTimer",
    "TerminatedFailureInfo",
    "TimeoutFailureInfo",
    "Timestamp",
    "to_duration",
    "UpdateAccepted",
    "UpdateAnswer",
    "UpdateRandomSeed",
    "UpdateReceived",
    "UserMetadata",
    "WorkflowActivation",
    "WorkflowCommand",
    "WorkflowCompletion",
    "WorkflowExecution",
    "WorkflowJob",
    "WorkflowType",
]


def to_duration(value: timedelta | float | None) -> Any:
    """A Duration message of `value`, exact to the microsecond; a number is seconds, None stays None."""
    if value is None:
        return None
    value = as_timedelta(value)
    seconds = value.days * 86400 + value.seconds
    nanos = value.microseconds * 1000
    if seconds < 0 and nanos:
        # Both parts carry the same sign in protobuf.
        seconds, nanos = seconds + 1, nanos - 1_000_000_000
    return Duration(seconds=seconds, nanos=nanos)


def from_duration(value: Any) -> timedelta | None:
    """The timedelta of a Duration message; None stays None."""
    if value is None:
        return None
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def from_timestamp(value: Any) -> datetime | None:
    """The aware UTC datetime of a Timestamp message; None stays None."""
    if value is None:
        return None
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

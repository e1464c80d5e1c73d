"""The message classes of the contract that the SDK's runtime uses, gathered in one place.

The runtime speaks to the core in the messages of `durably.core.v1` and `temporal.api.*`. This module is the only one
that knows where their classes live. Attribute semantics: an unset message field is None, a repeated field a list, a
map a dict, a scalar its default.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any


class _Message:
    """A plain record: keyword arguments in, attributes out."""

    __slots__ = ()
    _defaults: dict[str, Any] = {}

    def __init__(self, **fields: Any) -> None:
        for name, default in self._defaults.items():
            if name in fields:
                value = fields.pop(name)
            else:
                value = default() if callable(default) else default
            setattr(self, name, value)
        if fields:
            raise TypeError(f"{type(self).__name__} has no field {next(iter(fields))!r}")

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults.items()
            if getattr(self, name) != (default() if callable(default) else default)
        )
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, n) == getattr(other, n) for n in self._defaults)

    __hash__ = None  # type: ignore[assignment]


def _define(name: str, /, **defaults: Any) -> Any:
    return type(name, (_Message,), {"__slots__": tuple(defaults), "_defaults": defaults})


# google.protobuf
Duration = _define("Duration", seconds=0, nanos=0)
Timestamp = _define("Timestamp", seconds=0, nanos=0)

# temporal.api.common.v1
Payload = _define("Payload", metadata=dict, data=b"", external_payloads=list)
Payloads = _define("Payloads", payloads=list)
WorkflowExecution = _define("WorkflowExecution", workflow_id="", run_id="")
WorkflowType = _define("WorkflowType", name="")
ActivityType = _define("ActivityType", name="")
Memo = _define("Memo", fields=dict)
Header = _define("Header", fields=dict)
SearchAttributes = _define("SearchAttributes", indexed_fields=dict)
Priority = _define("Priority", priority_key=0, fairness_key="", fairness_weight=0.0)
RetryPolicy = _define(
    "RetryPolicy",
    initial_interval=None,
    backoff_coefficient=0.0,
    maximum_interval=None,
    maximum_attempts=0,
    non_retryable_error_types=list,
)

# temporal.api.sdk.v1
UserMetadata = _define("UserMetadata", summary=None, details=None)

# temporal.api.failure.v1
ApplicationFailureInfo = _define(
    "ApplicationFailureInfo", type="", non_retryable=False, details=None, next_retry_delay=None, category=0
)
TimeoutFailureInfo = _define("TimeoutFailureInfo", timeout_type=0, last_heartbeat_details=None)
CanceledFailureInfo = _define("CanceledFailureInfo", details=None, identity="")
TerminatedFailureInfo = _define("TerminatedFailureInfo", identity="")
ServerFailureInfo = _define("ServerFailureInfo", non_retryable=False)
ResetWorkflowFailureInfo = _define("ResetWorkflowFailureInfo", last_heartbeat_details=None)
ActivityFailureInfo = _define(
    "ActivityFailureInfo",
    scheduled_event_id=0,
    started_event_id=0,
    identity="",
    activity_type=None,
    activity_id="",
    retry_state=0,
)
ChildWorkflowExecutionFailureInfo = _define(
    "ChildWorkflowExecutionFailureInfo",
    namespace="",
    workflow_execution=None,
    workflow_type=None,
    initiated_event_id=0,
    started_event_id=0,
    retry_state=0,
)
Failure = _define(
    "Failure",
    message="",
    source="",
    stack_trace="",
    encoded_attributes=None,
    cause=None,
    application_failure_info=None,
    timeout_failure_info=None,
    canceled_failure_info=None,
    terminated_failure_info=None,
    server_failure_info=None,
    reset_workflow_failure_info=None,
    activity_failure_info=None,
    child_workflow_execution_failure_info=None,
)

# durably.core.v1: activations
WorkflowActivation = _define(
    "WorkflowActivation",
    run_id="",
    timestamp=None,
    is_replaying=False,
    history_length=0,
    history_size_bytes=0,
    continue_as_new_suggested=False,
    jobs=list,
    available_flags=list,
)
WorkflowJob = _define(
    "WorkflowJob",
    initialize=None,
    fire_timer=None,
    resolve_activity=None,
    signal=None,
    query=None,
    cancel=None,
    update_random_seed=None,
    evict=None,
)
InitializeWorkflow = _define(
    "InitializeWorkflow",
    workflow_type="",
    workflow_id="",
    arguments=list,
    randomness_seed=0,
    headers=dict,
    identity="",
    task_queue="",
    namespace="",
    first_execution_run_id="",
    continued_from_execution_run_id="",
    parent=None,
    parent_namespace="",
    root=None,
    attempt=1,
    execution_timeout=None,
    run_timeout=None,
    task_timeout=None,
    retry_policy=None,
    cron_schedule="",
    memo=None,
    search_attributes=None,
    start_time=None,
    last_completion_result=None,
    last_failure=None,
    priority=None,
    continued_initiator=0,
)
FireTimer = _define("FireTimer", seq=0)
ResolveActivity = _define("ResolveActivity", seq=0, result=None)
ActivityResolution = _define("ActivityResolution", completed=None, failed=None, cancelled=None)
ActivitySuccess = _define("ActivitySuccess", result=None)
SignalReceived = _define("SignalReceived", name="", arguments=list, identity="", headers=dict)
QueryReceived = _define("QueryReceived", id="", name="", arguments=list, headers=dict)
CancelReceived = _define("CancelReceived", reason="")
UpdateRandomSeed = _define("UpdateRandomSeed", randomness_seed=0)
Evict = _define("Evict", reason=0, message="")

# durably.core.v1: completions
WorkflowCompletion = _define("WorkflowCompletion", run_id="", success=None, failure=None)
ActivationSuccess = _define("ActivationSuccess", commands=list, used_flags=list, cache_bytes=0)
ActivationFailure = _define("ActivationFailure", failure=None, nondeterminism=False)
WorkflowCommand = _define(
    "WorkflowCommand",
    user_metadata=None,
    location="",
    start_timer=None,
    cancel_timer=None,
    schedule_activity=None,
    request_cancel_activity=None,
    complete_workflow=None,
    fail_workflow=None,
    cancel_workflow=None,
    continue_as_new=None,
    query_answer=None,
)
StartTimer = _define("StartTimer", seq=0, start_to_fire_timeout=None)
CancelTimer = _define("CancelTimer", seq=0)
ScheduleActivity = _define(
    "ScheduleActivity",
    seq=0,
    activity_id="",
    activity_type="",
    task_queue="",
    arguments=list,
    headers=dict,
    schedule_to_close_timeout=None,
    schedule_to_start_timeout=None,
    start_to_close_timeout=None,
    heartbeat_timeout=None,
    retry_policy=None,
    cancellation_type=0,
    do_not_eagerly_execute=False,
    priority=None,
)
RequestCancelActivity = _define("RequestCancelActivity", seq=0)
CompleteWorkflow = _define("CompleteWorkflow", result=None)
FailWorkflow = _define("FailWorkflow", failure=None)
CancelWorkflow = _define("CancelWorkflow", details=None)
ContinueAsNew = _define(
    "ContinueAsNew",
    workflow_type="",
    task_queue="",
    arguments=list,
    run_timeout=None,
    task_timeout=None,
    memo=None,
    headers=dict,
    search_attributes=None,
    retry_policy=None,
)
QueryAnswer = _define("QueryAnswer", id="", succeeded=None, failed=None)


def to_duration(value: timedelta | None) -> Any:
    """A Duration message of `value`, exact to the microsecond; None stays None."""
    if value is None:
        return None
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

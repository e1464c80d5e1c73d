"""Failures of workflows and activities, as they are raised in user code.

Every class but `TemporalError` has its counterpart in `temporal.api.failure.v1`; `durably.converter` maps both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any

__all__ = [
    "ActivityError",
    "ApplicationError",
    "ApplicationErrorCategory",
    "CancelledError",
    "ChildWorkflowError",
    "FailureError",
    "RetryState",
    "ServerError",
    "TemporalError",
    "TerminatedError",
    "TimeoutError",
    "TimeoutType",
    "WorkflowAlreadyStartedError",
    "is_cancelled_exception",
]


class TemporalError(Exception):
    """Base of every error that this package raises."""

    @property
    def cause(self) -> BaseException | None:
        """The failure that led to this one (`__cause__`)."""
        return self.__cause__


class FailureError(TemporalError):
    """Base of the errors that have a form on the wire.

    Raised from a workflow, it fails the workflow. Any other exception fails the workflow *task*, which is retried
    until a corrected worker picks it up.
    """

    def __init__(self, message: str, *, failure: Any = None, exc_args: tuple[Any, ...] | None = None) -> None:
        super().__init__(*((message,) if exc_args is None else exc_args))
        self._message = message
        self._failure = failure

    @property
    def message(self) -> str:
        """What went wrong."""
        return self._message

    @property
    def failure(self) -> Any:
        """The `temporal.api.failure.v1.Failure` message that this error was made from, or None."""
        return self._failure

    def __str__(self) -> str:
        return self._message


class WorkflowAlreadyStartedError(FailureError):
    """The workflow id is taken, and the id policies don't allow a start."""

    def __init__(
        self, workflow_id: str, workflow_type: str, *, run_id: str | None = None, first_run_id: str | None = None
    ) -> None:
        super().__init__(f"Workflow execution already started: the workflow id {workflow_id} is taken")
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id
        """The run that holds the id, if known."""
        self.first_run_id = first_run_id
        """The first run of its chain, if known."""


class ApplicationErrorCategory(IntEnum):
    """How much attention an error deserves. Benign ones are logged at debug level and not counted."""

    UNSPECIFIED = 0
    BENIGN = 1


class ApplicationError(FailureError):
    """An error of the application itself, raised in workflow or activity code.

    Args:
        message: What went wrong.
        details: Values for whoever handles the error, converted to payloads.
        type: Name for `RetryPolicy.non_retryable_error_types` and for handlers in other languages.
        non_retryable: Whether to fail at once, whatever the retry policy says.
        next_retry_delay: Wait before the next attempt, instead of the retry policy's. Activities only.
        category: How much attention it deserves.
    """

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | None = None,
        non_retryable: bool = False,
        next_retry_delay: timedelta | float | None = None,
        category: ApplicationErrorCategory = ApplicationErrorCategory.UNSPECIFIED,
    ) -> None:
        # args as the user would expect from `raise SomeType(message)`.
        super().__init__(message, exc_args=(message if not type else f"{type}: {message}",))
        self._details = details
        self._type = type
        self._non_retryable = non_retryable
        self._next_retry_delay = next_retry_delay
        self._category = category

    def __str__(self) -> str:
        return f"{self._type}: {self._message}" if self._type else self._message

    @property
    def details(self) -> Sequence[Any]:
        """Values given by the raiser."""
        return self._details

    @property
    def type(self) -> str | None:
        """Name of the error type; for a plain Python exception, its class name."""
        return self._type

    @property
    def non_retryable(self) -> bool:
        """Whether retries were ruled out by the raiser."""
        return self._non_retryable

    @property
    def next_retry_delay(self) -> timedelta | float | None:
        """Wait before the next attempt, if the raiser gave one."""
        return self._next_retry_delay

    @property
    def category(self) -> ApplicationErrorCategory:
        """How much attention the error deserves."""
        return self._category


class CancelledError(FailureError):
    """Cancellation, as a failure. Inside running code, cancellation is `asyncio.CancelledError`."""

    def __init__(self, message: str = "Cancelled", *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """Values given with the cancellation."""
        return self._details


class TerminatedError(FailureError):
    """The workflow was terminated."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """Values given with the termination."""
        return self._details


class TimeoutType(IntEnum):
    """Which time-out of an activity or a workflow has passed."""

    START_TO_CLOSE = 1
    SCHEDULE_TO_START = 2
    SCHEDULE_TO_CLOSE = 3
    HEARTBEAT = 4


class TimeoutError(FailureError):
    """A time-out of an activity or a workflow has passed.

    Not `asyncio.TimeoutError`, which `wait_condition` and `asyncio.wait_for` raise.
    """

    def __init__(self, message: str, *, type: TimeoutType | None, last_heartbeat_details: Sequence[Any]) -> None:
        super().__init__(message)
        self._type = type
        self._last_heartbeat_details = last_heartbeat_details

    @property
    def type(self) -> TimeoutType | None:
        """Which time-out it was."""
        return self._type

    @property
    def last_heartbeat_details(self) -> Sequence[Any]:
        """What the activity last reported."""
        return self._last_heartbeat_details


class ServerError(FailureError):
    """A failure that came from the server itself."""

    def __init__(self, message: str, *, non_retryable: bool = False) -> None:
        super().__init__(message)
        self._non_retryable = non_retryable

    @property
    def non_retryable(self) -> bool:
        """Whether the server ruled out retries."""
        return self._non_retryable


class RetryState(IntEnum):
    """Why there was no further attempt."""

    IN_PROGRESS = 1
    NON_RETRYABLE_FAILURE = 2
    TIMEOUT = 3
    MAXIMUM_ATTEMPTS_REACHED = 4
    RETRY_POLICY_NOT_SET = 5
    INTERNAL_SERVER_ERROR = 6
    CANCEL_REQUESTED = 7


class ActivityError(FailureError):
    """An activity failed for good. `cause` says how: an `ApplicationError`, `TimeoutError` or `CancelledError`."""

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        started_event_id: int,
        identity: str,
        activity_type: str,
        activity_id: str,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self._scheduled_event_id = scheduled_event_id
        self._started_event_id = started_event_id
        self._identity = identity
        self._activity_type = activity_type
        self._activity_id = activity_id
        self._retry_state = retry_state

    @property
    def scheduled_event_id(self) -> int:
        """Event id of the scheduling."""
        return self._scheduled_event_id

    @property
    def started_event_id(self) -> int:
        """Event id of the last attempt's start."""
        return self._started_event_id

    @property
    def identity(self) -> str:
        """The worker that ran the last attempt."""
        return self._identity

    @property
    def activity_type(self) -> str:
        """Name of the activity type."""
        return self._activity_type

    @property
    def activity_id(self) -> str:
        """Id of the activity within its workflow."""
        return self._activity_id

    @property
    def retry_state(self) -> RetryState | None:
        """Why there was no further attempt."""
        return self._retry_state


class ChildWorkflowError(FailureError):
    """A child workflow failed. `cause` says how."""

    def __init__(
        self,
        message: str,
        *,
        namespace: str,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        initiated_event_id: int,
        started_event_id: int,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self._namespace = namespace
        self._workflow_id = workflow_id
        self._run_id = run_id
        self._workflow_type = workflow_type
        self._initiated_event_id = initiated_event_id
        self._started_event_id = started_event_id
        self._retry_state = retry_state

    @property
    def namespace(self) -> str:
        """The child's namespace."""
        return self._namespace

    @property
    def workflow_id(self) -> str:
        """The child's workflow id."""
        return self._workflow_id

    @property
    def run_id(self) -> str:
        """The child's run id."""
        return self._run_id

    @property
    def workflow_type(self) -> str:
        """The child's workflow type."""
        return self._workflow_type

    @property
    def initiated_event_id(self) -> int:
        """Event id of the initiation."""
        return self._initiated_event_id

    @property
    def started_event_id(self) -> int:
        """Event id of the start."""
        return self._started_event_id

    @property
    def retry_state(self) -> RetryState | None:
        """Why there was no further attempt."""
        return self._retry_state


def is_cancelled_exception(exception: BaseException) -> bool:
    """Whether the exception means cancellation: asyncio's, ours, or an activity or child that was cancelled."""
    return isinstance(exception, (asyncio.CancelledError, CancelledError)) or (
        isinstance(exception, (ActivityError, ChildWorkflowError)) and isinstance(exception.cause, CancelledError)
    )

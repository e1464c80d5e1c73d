"""Failure converters: exceptions to failure messages and back."""

from __future__ import annotations

import logging
import traceback
from abc import ABC, abstractmethod
from contextvars import ContextVar
from typing import Any, ClassVar

from durably import _messages as msg
from durably import exceptions as ex
from durably.converter._payload import PayloadConverter

logger = logging.getLogger("durably.converter")

_ENCODED_MESSAGE = "Encoded failure"


_MAX_FAILURES = 60
"""Failures of a chain that are sent; a server keeps 64, with those that it puts around them."""

_depth: ContextVar[int] = ContextVar("durably_failure_depth", default=1)
"""How many failures of a chain there are with the one that is being converted."""


def _note_cut(exception: BaseException, failure: Any) -> None:
    """Fill `failure` with what stands for the exception and its causes, of which there are too many."""
    seen = {id(exception)}
    innermost = exception
    while innermost.__cause__ is not None and id(innermost.__cause__) not in seen:
        innermost = innermost.__cause__
        seen.add(id(innermost))
    failure.message = (
        f"{len(seen)} more causes were cut off here: at most {_MAX_FAILURES} failures are kept of a chain. "
        f"The innermost said: {text_of(innermost)[:200]}"
    )
    failure.application_failure_info = msg.ApplicationFailureInfo(type="CausesCut")


def text_of(value: object) -> str:
    """The value's text as a message may hold it. `__str__` is the user's code: it may raise anything, and give anything."""
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except BaseException as err:
        return f"<str() of {type(value).__name__} raised {type(err).__name__}>"


def unconverted(error: BaseException, why: BaseException) -> Any:
    """The `Failure` message of an error at which the failure converter failed; it calls nothing of the user's but `__str__`.

    The type stays, and whether a retry makes sense, since retry policies go by them.
    """
    own = isinstance(error, ex.ApplicationError)
    return msg.Failure(
        message=f"{text_of(error)} (and the failure converter failed: {text_of(why)})",
        application_failure_info=msg.ApplicationFailureInfo(
            type=text_of(getattr(error, "_type", None) or "") if own else type(error).__name__,
            non_retryable=own and getattr(error, "_non_retryable", False) is True,
        ),
    )


class FailureConverter(ABC):
    """Converts exceptions to `temporal.api.failure.v1.Failure` messages and back."""

    default: ClassVar[FailureConverter]
    """The converter that is used unless told otherwise."""

    @abstractmethod
    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Any) -> None:
        """Fill `failure` from the exception and its causes (`__cause__`)."""
        raise NotImplementedError

    @abstractmethod
    def from_failure(self, failure: Any, payload_converter: PayloadConverter) -> BaseException:
        """The exception of a failure, with its causes."""
        raise NotImplementedError


class DefaultFailureConverter(FailureConverter):
    """The failure converter of Temporal's SDKs.

    Args:
        encode_common_attributes: Whether to move message and stack trace into a payload, so that a codec hides them.
    """

    def __init__(self, *, encode_common_attributes: bool = False) -> None:
        self._encode_common_attributes = encode_common_attributes

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Any) -> None:
        if isinstance(exception, ex.FailureError):
            _fill_failure_error(exception, payload_converter, failure)
        else:
            failure.message = text_of(exception)
            failure.application_failure_info = msg.ApplicationFailureInfo(type=type(exception).__name__)
        failure.message = text_of(failure.message)
        received = exception.failure if isinstance(exception, ex.FailureError) else None
        if received is None:
            if exception.__traceback__ is not None:
                failure.stack_trace = text_of("\n".join(traceback.format_tb(exception.__traceback__)))
        else:
            # An error that came over the wire goes on as it came, with the stack of where it happened.
            failure.stack_trace = received.stack_trace
            failure.source = received.source
        if exception.__cause__ is not None:
            failure.cause = msg.Failure()
            depth = _depth.get()
            if depth < _MAX_FAILURES:
                token = _depth.set(depth + 1)
                try:
                    self.to_failure(exception.__cause__, payload_converter, failure.cause)
                finally:
                    _depth.reset(token)
            else:
                _note_cut(exception.__cause__, failure.cause)
        if self._encode_common_attributes:
            attributes = {"message": failure.message, "stack_trace": failure.stack_trace}
            failure.encoded_attributes = payload_converter.to_payload(attributes)
            failure.message = _ENCODED_MESSAGE
            failure.stack_trace = ""

    def from_failure(self, failure: Any, payload_converter: PayloadConverter) -> BaseException:
        if failure.encoded_attributes is not None:
            self._restore_attributes(failure, payload_converter)
        error = _error_of(failure, payload_converter)
        error._failure = failure
        if failure.cause is not None:
            error.__cause__ = self.from_failure(failure.cause, payload_converter)
        return error

    @staticmethod
    def _restore_attributes(failure: Any, payload_converter: PayloadConverter) -> None:
        # A missing codec must not hide that something failed: keep the message that came.
        try:
            attributes = payload_converter.from_payload(failure.encoded_attributes)
        except Exception:
            return
        if isinstance(attributes, dict):
            message, stack_trace = attributes.get("message"), attributes.get("stack_trace")
            failure.message = message if isinstance(message, str) else failure.message
            failure.stack_trace = stack_trace if isinstance(stack_trace, str) else failure.stack_trace


class DefaultFailureConverterWithEncodedAttributes(DefaultFailureConverter):
    """`DefaultFailureConverter` that hides message and stack trace in a payload."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def _fill_failure_error(error: ex.FailureError, payloads: PayloadConverter, failure: Any) -> None:
    def wrap(details: Any) -> Any:
        try:
            return payloads.to_payloads_wrapper(details) if details else None
        except Exception:
            # What failed, and whether to try again, counts for more than the details.
            logger.warning("The details of a %s can't be encoded; it is sent without them", type(error).__name__, exc_info=True)
            return None

    failure.message = error.message
    if isinstance(error, ex.ApplicationError):
        failure.application_failure_info = msg.ApplicationFailureInfo(
            type=text_of(error.type or ""),
            non_retryable=error.non_retryable,
            details=wrap(error.details),
            next_retry_delay=msg.to_duration(error.next_retry_delay),
            category=int(error.category),
        )
    elif isinstance(error, ex.TimeoutError):
        failure.timeout_failure_info = msg.TimeoutFailureInfo(
            timeout_type=int(error.type or 0), last_heartbeat_details=wrap(error.last_heartbeat_details)
        )
    elif isinstance(error, ex.CancelledError):
        failure.canceled_failure_info = msg.CanceledFailureInfo(details=wrap(error.details))
    elif isinstance(error, ex.TerminatedError):
        failure.terminated_failure_info = msg.TerminatedFailureInfo()
    elif isinstance(error, ex.ServerError):
        failure.server_failure_info = msg.ServerFailureInfo(non_retryable=error.non_retryable)
    elif isinstance(error, ex.ActivityError):
        failure.activity_failure_info = msg.ActivityFailureInfo(
            scheduled_event_id=error.scheduled_event_id,
            started_event_id=error.started_event_id,
            identity=error.identity,
            activity_type=msg.ActivityType(name=error.activity_type),
            activity_id=error.activity_id,
            retry_state=int(error.retry_state or 0),
        )
    elif isinstance(error, ex.ChildWorkflowError):
        failure.child_workflow_execution_failure_info = msg.ChildWorkflowExecutionFailureInfo(
            namespace=error.namespace,
            workflow_execution=msg.WorkflowExecution(workflow_id=error.workflow_id, run_id=error.run_id),
            workflow_type=msg.WorkflowType(name=error.workflow_type),
            initiated_event_id=error.initiated_event_id,
            started_event_id=error.started_event_id,
            retry_state=int(error.retry_state or 0),
        )
    elif error.failure is not None:
        _copy_info(error.failure, failure)


def _copy_info(source: Any, target: Any) -> None:
    """Keep the kind of a failure that has no class of its own here."""
    target.reset_workflow_failure_info = source.reset_workflow_failure_info


def _error_of(failure: Any, payloads: PayloadConverter) -> ex.FailureError:
    """The exception of one failure, without its causes."""
    unwrap = payloads.from_payloads_wrapper
    if (app := failure.application_failure_info) is not None:
        return ex.ApplicationError(
            failure.message or "Application error",
            *unwrap(app.details),
            type=app.type or None,
            non_retryable=app.non_retryable,
            next_retry_delay=msg.from_duration(app.next_retry_delay),
            category=_member(ex.ApplicationErrorCategory, app.category, ex.ApplicationErrorCategory.UNSPECIFIED),
        )
    if (timeout := failure.timeout_failure_info) is not None:
        return ex.TimeoutError(
            failure.message or "Timeout",
            type=_member(ex.TimeoutType, timeout.timeout_type, None),
            last_heartbeat_details=unwrap(timeout.last_heartbeat_details),
        )
    if (cancelled := failure.canceled_failure_info) is not None:
        return ex.CancelledError(failure.message or "Cancelled", *unwrap(cancelled.details))
    if failure.terminated_failure_info is not None:
        return ex.TerminatedError(failure.message or "Terminated")
    if (server := failure.server_failure_info) is not None:
        return ex.ServerError(failure.message or "Server error", non_retryable=server.non_retryable)
    if (activity := failure.activity_failure_info) is not None:
        return ex.ActivityError(
            failure.message or "Activity error",
            scheduled_event_id=activity.scheduled_event_id,
            started_event_id=activity.started_event_id,
            identity=activity.identity,
            activity_type=activity.activity_type.name if activity.activity_type is not None else "",
            activity_id=activity.activity_id,
            retry_state=_member(ex.RetryState, activity.retry_state, None),
        )
    if (child := failure.child_workflow_execution_failure_info) is not None:
        execution = child.workflow_execution or msg.WorkflowExecution()
        return ex.ChildWorkflowError(
            failure.message or "Child workflow error",
            namespace=child.namespace,
            workflow_id=execution.workflow_id,
            run_id=execution.run_id,
            workflow_type=child.workflow_type.name if child.workflow_type is not None else "",
            initiated_event_id=child.initiated_event_id,
            started_event_id=child.started_event_id,
            retry_state=_member(ex.RetryState, child.retry_state, None),
        )
    return ex.FailureError(failure.message or "Failure error")


def _member(kind: Any, number: int, default: Any) -> Any:
    """The enum's member, or the default for 0 and for numbers of later versions."""
    try:
        return kind(number)
    except ValueError:
        return default


FailureConverter.default = DefaultFailureConverter()

"""Activities: the code that talks to the world, and what is available to it while it runs.

Define one with `@activity.defn` on an `async def` function, on a plain function (it runs in a thread), or on a class
with `__call__`. Everything else in this module works only inside a running activity.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast, overload

from durably import _absent, common, converter
from durably._signature import Signature, keyword_only_without_default, signature_of
from durably.api.time import as_timedelta

if TYPE_CHECKING:
    from durably.client import Client

__all__ = [
    "ActivityCancellationDetails",
    "Info",
    "LoggerAdapter",
    "cancellation_details",
    "client",
    "defn",
    "heartbeat",
    "in_activity",
    "info",
    "is_cancelled",
    "is_worker_shutdown",
    "logger",
    "payload_converter",
    "raise_complete_async",
    "shield_thread_cancel_exception",
    "wait_for_cancelled",
    "wait_for_cancelled_sync",
    "wait_for_worker_shutdown",
    "wait_for_worker_shutdown_sync",
]

CallableType = TypeVar("CallableType", bound=Callable[..., Any])


@overload
def defn(fn: CallableType) -> CallableType: ...


@overload
def defn(
    *, name: str | None = None, no_thread_cancel_exception: bool = False, dynamic: bool = False
) -> Callable[[CallableType], CallableType]: ...


def defn(
    fn: CallableType | None = None,
    *,
    name: str | None = None,
    no_thread_cancel_exception: bool = False,
    dynamic: bool = False,
) -> Any:
    """Mark a function, method or callable class as an activity.

    Args:
        fn: The function, when used without parentheses.
        name: Name of the activity type. Default: the function's `__name__`.
        no_thread_cancel_exception: Don't raise `exceptions.CancelledError` inside a threaded activity when it is
            cancelled; it has to look at `is_cancelled` itself.
        dynamic: Run it for every activity type that has no activity of its own. It takes one
            `Sequence[common.RawValue]`.
    """

    def decorate(fn: CallableType) -> CallableType:
        _Definition._apply_to_callable(
            fn,
            name=None if dynamic else name or fn.__name__,
            no_thread_cancel_exception=no_thread_cancel_exception,
        )
        return fn

    if name is not None and dynamic:
        raise RuntimeError("Cannot provide name and dynamic boolean")
    return decorate if fn is None else decorate(fn)


@dataclass(frozen=True)
class Info:
    """What is known about the running attempt."""

    activity_id: str
    activity_type: str
    attempt: int
    """Starts at 1."""
    current_attempt_scheduled_time: datetime
    heartbeat_details: Sequence[Any]
    """What the last heartbeat of an earlier attempt carried."""
    heartbeat_timeout: timedelta | None
    is_local: bool
    namespace: str
    schedule_to_close_timeout: timedelta | None
    scheduled_time: datetime
    start_to_close_timeout: timedelta | None
    started_time: datetime
    task_queue: str
    task_token: bytes
    workflow_id: str | None
    workflow_namespace: str | None
    workflow_run_id: str | None
    workflow_type: str | None
    priority: common.Priority
    retry_policy: common.RetryPolicy | None
    """The policy that the server uses, which may differ from the one given."""
    activity_run_id: str | None = None
    """Of an activity without a workflow; None otherwise."""

    @property
    def in_workflow(self) -> bool:
        """Whether a workflow started this activity."""
        return self.workflow_id is not None

    def _logger_details(self) -> Mapping[str, Any]:
        return {
            "activity_id": self.activity_id,
            "activity_type": self.activity_type,
            "attempt": self.attempt,
            "namespace": self.namespace,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_run_id": self.workflow_run_id,
            "workflow_type": self.workflow_type,
        }


@dataclass(frozen=True)
class ActivityCancellationDetails:
    """Why the activity was cancelled."""

    not_found: bool = False
    """The server no longer knows the task: the workflow has ended, for example."""
    cancel_requested: bool = False
    """The workflow asked for it."""
    paused: bool = False
    reset: bool = False
    timed_out: bool = False
    worker_shutdown: bool = False


class _CompositeEvent:
    """An event that can be awaited in the worker's asyncio loop and waited for in a thread.

    `set` must be called in the loop's thread when there is an `async_event`.
    """

    __slots__ = ("_async_event", "_thread_event")

    def __init__(self, *, with_async: bool) -> None:
        self._thread_event = threading.Event()
        self._async_event = asyncio.Event() if with_async else None

    def set(self) -> None:
        self._thread_event.set()
        if self._async_event is not None:
            self._async_event.set()

    def is_set(self) -> bool:
        return self._thread_event.is_set()

    async def wait(self) -> None:
        if self._async_event is None:
            raise RuntimeError("Only an `async def` activity can await this; use the function ending in _sync")
        await self._async_event.wait()

    def wait_sync(self, timeout: float | None = None) -> None:
        self._thread_event.wait(timeout)


class _Context:
    """What one attempt can reach. The worker's dispatcher makes it and sets `_current_context`."""

    __slots__ = (
        "cancellation_details",
        "cancelled_event",
        "client",
        "heartbeat",
        "info",
        "payload_converter",
        "shield",
        "worker_shutdown_event",
    )

    def __init__(
        self,
        *,
        info: Info,
        heartbeat: Callable[..., None],
        cancelled_event: _CompositeEvent,
        worker_shutdown_event: _CompositeEvent,
        payload_converter: converter.PayloadConverter,
        client: Client | None = None,
        shield: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.info = info
        self.heartbeat = heartbeat
        """Called with the details, from the activity's thread."""
        self.cancelled_event = cancelled_event
        self.worker_shutdown_event = worker_shutdown_event
        self.payload_converter = payload_converter
        self.client = client
        self.shield = shield
        """For threaded activities: holds back the cancellation exception while its context is open."""
        self.cancellation_details: ActivityCancellationDetails | None = None
        """Set before `cancelled_event`."""

    @staticmethod
    def current() -> _Context:
        context = _current_context.get(None)
        if context is None:
            raise RuntimeError("Not in activity context; this function works only inside a running activity")
        return context


_current_context: contextvars.ContextVar[_Context] = contextvars.ContextVar("durably_activity")


def in_activity() -> bool:
    """Whether the caller is a running activity."""
    return _current_context.get(None) is not None


def info() -> Info:
    """What is known about the running attempt."""
    return _Context.current().info


def client() -> Client:
    """The worker's client. Only in `async def` activities.

    Raises:
        RuntimeError: Called in a threaded activity, whose thread is not the client's.
    """
    found = _Context.current().client
    if found is None:
        raise RuntimeError("No client available. In a threaded activity, make one of your own; in tests, pass one.")
    return found


def heartbeat(*details: Any) -> None:
    """Report progress to the server, at the throttled pace of the heartbeat time-out.

    Args:
        details: What the next attempt finds in `info().heartbeat_details` if this one fails.
    """
    _Context.current().heartbeat(*details)


def cancellation_details() -> ActivityCancellationDetails | None:
    """Why the activity was cancelled, or None if it wasn't."""
    return _Context.current().cancellation_details


def is_cancelled() -> bool:
    """Whether cancellation of this activity was requested."""
    return _Context.current().cancelled_event.is_set()


async def wait_for_cancelled() -> None:
    """Wait until cancellation is requested. Only in `async def` activities."""
    await _Context.current().cancelled_event.wait()


def wait_for_cancelled_sync(timeout: timedelta | float | None = None) -> None:
    """Block until cancellation is requested or the time-out (seconds or timedelta) has passed."""
    _Context.current().cancelled_event.wait_sync(_seconds(timeout))


def is_worker_shutdown() -> bool:
    """Whether the worker is shutting down."""
    return _Context.current().worker_shutdown_event.is_set()


async def wait_for_worker_shutdown() -> None:
    """Wait until the worker is shutting down. Only in `async def` activities."""
    await _Context.current().worker_shutdown_event.wait()


def wait_for_worker_shutdown_sync(timeout: timedelta | float | None = None) -> None:
    """Block until the worker is shutting down or the time-out (seconds or timedelta) has passed."""
    _Context.current().worker_shutdown_event.wait_sync(_seconds(timeout))


def _seconds(timeout: timedelta | float | None) -> float | None:
    return None if timeout is None else as_timedelta(timeout).total_seconds()


class _CompleteAsyncError(BaseException):
    """Leaves the activity open, to be completed from elsewhere."""


def raise_complete_async() -> NoReturn:
    """End the function but not the activity: it is completed later, by its task token or ids."""
    raise _CompleteAsyncError


@contextmanager
def shield_thread_cancel_exception() -> Iterator[None]:
    """Hold back the cancellation exception of a threaded activity while this context is open.

    A cancellation that came meanwhile is raised when the outermost shield closes. No effect elsewhere.
    """
    shield = _Context.current().shield
    if shield is None:
        yield None
        return
    with shield():
        yield None


def payload_converter() -> converter.PayloadConverter:
    """The worker's payload converter."""
    return _Context.current().payload_converter


class LoggerAdapter(logging.LoggerAdapter):  # type: ignore[type-arg]  # generic only from Python 3.11 on
    """Adds the activity's identity to log records.

    Attributes:
        activity_info_on_message: Append it to the message. Default True.
        activity_info_on_extra: Put it into the record's `temporal_activity` field. Default True.
        full_activity_info_on_extra: Put the whole `Info` into the field `activity_info`. Default False.
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.activity_info_on_message = True
        self.activity_info_on_extra = True
        self.full_activity_info_on_extra = False

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Called by `logging` for each message."""
        context = _current_context.get(None)
        if context is not None:
            details = context.info._logger_details()
            if self.activity_info_on_message:
                msg = f"{msg} ({dict(details)})"
            extra = dict(kwargs.get("extra") or {})
            if self.activity_info_on_extra:
                extra["temporal_activity"] = details
            if self.full_activity_info_on_extra:
                extra["activity_info"] = context.info
            kwargs["extra"] = extra
        return msg, kwargs

    @property
    def base_logger(self) -> logging.Logger:
        """The logger underneath."""
        return cast(logging.Logger, self.logger)


logger = LoggerAdapter(logging.getLogger(__name__), None)
"""Logs with the activity's identity."""


@dataclass(frozen=True)
class _Definition:
    """An activity as the worker and `workflow.execute_activity` see it."""

    name: str | None
    """None: dynamic."""
    fn: Callable[..., Any]
    is_async: bool
    no_thread_cancel_exception: bool
    signature: Signature

    @property
    def arg_types(self) -> list[Any]:
        return list(self.signature.arg_types)

    @property
    def ret_type(self) -> Any:
        return self.signature.ret_type

    @staticmethod
    def from_callable(fn: Callable[..., Any]) -> _Definition | None:
        """The definition of a decorated callable; a bound method's `fn` is the bound one."""
        definition = getattr(fn, _ATTRIBUTE, None)
        if not isinstance(definition, _Definition):
            return None
        return definition if definition.fn is fn else _rebound(definition, fn)

    @staticmethod
    def must_from_callable(fn: Callable[..., Any]) -> _Definition:
        """As `from_callable`, with an error that says what is missing."""
        definition = _Definition.from_callable(fn)
        if definition is not None:
            return definition
        name = getattr(fn, "__name__", None) or type(fn).__name__
        raise TypeError(
            f"Activity {name} missing attributes, was it decorated with @activity.defn?"
            if callable(fn)
            else f"Activity {fn!r} is not callable"
        )

    @staticmethod
    def _apply_to_callable(fn: Callable[..., Any], *, name: str | None, no_thread_cancel_exception: bool) -> None:
        if hasattr(fn, _ATTRIBUTE) and _ATTRIBUTE in vars(fn):
            raise ValueError("Function already contains activity definition")
        if not callable(fn):
            raise TypeError("Activity is not callable")
        called: Any = fn.__call__ if isinstance(fn, type) else fn
        if isinstance(fn, type):
            called = vars(fn).get("__call__") or called
        keyword = keyword_only_without_default(called)
        if keyword is not None:
            raise TypeError(f"Activity cannot have keyword-only arguments, has {keyword!r}")
        signature = signature_of(called, bound=False if isinstance(fn, type) else None)
        if name is None:
            _check_dynamic(signature)
        definition = _Definition(
            name=name,
            fn=fn,
            is_async=inspect.iscoroutinefunction(called),
            no_thread_cancel_exception=no_thread_cancel_exception,
            signature=signature,
        )
        setattr(fn, _ATTRIBUTE, definition)


_ATTRIBUTE = "__durably_activity_definition"


def _rebound(definition: _Definition, fn: Callable[..., Any]) -> _Definition:
    return _Definition(
        name=definition.name,
        fn=fn,
        is_async=definition.is_async,
        no_thread_cancel_exception=definition.no_thread_cancel_exception,
        signature=definition.signature,
    )


def _check_dynamic(signature: Signature) -> None:
    if signature.arg_types != (Sequence[common.RawValue],):
        raise TypeError("Dynamic activity must accept a single Sequence[durably.common.RawValue]")


if not TYPE_CHECKING:
    __getattr__ = _absent.getter("activity", _absent.ACTIVITY)

"""Runs an activity function without a server or worker."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from durably import activity, common, converter
from durably.types import MultiParamSpec
from durably.worker._threads import ThreadCanceller

_Return = TypeVar("_Return")

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DEFAULT_INFO = activity.Info(
    activity_id="test",
    activity_type="unknown",
    attempt=1,
    current_attempt_scheduled_time=_EPOCH,
    heartbeat_details=[],
    heartbeat_timeout=None,
    is_local=False,
    namespace="default",
    schedule_to_close_timeout=timedelta(seconds=1),
    scheduled_time=_EPOCH,
    start_to_close_timeout=timedelta(seconds=1),
    started_time=_EPOCH,
    task_queue="test",
    task_token=b"test",
    workflow_id="test",
    workflow_namespace="default",
    workflow_run_id="test-run",
    workflow_type="test",
    priority=common.Priority.default,
    retry_policy=None,
)


class ActivityEnvironment:
    """What an activity sees while a test runs it. For one activity at a time.

    Attributes:
        info: What `activity.info()` returns. Replace it before `run`.
        on_heartbeat: Called with the details of each heartbeat. Replace it before `run`.
        payload_converter: What `activity.payload_converter()` returns.
    """

    def __init__(self, client: Any = None) -> None:
        self.info = _DEFAULT_INFO
        self.on_heartbeat: Callable[..., None] = lambda *details: None
        self.payload_converter = converter.PayloadConverter.default
        self._client = client
        self._cancelled = False
        self._cancellation_details: activity.ActivityCancellationDetails | None = None
        self._shutdown = False
        self._running: list[_Running] = []

    @staticmethod
    def default_info() -> activity.Info:
        """The info that a new environment has."""
        return _DEFAULT_INFO

    def cancel(
        self,
        cancellation_details: activity.ActivityCancellationDetails = activity.ActivityCancellationDetails(
            cancel_requested=True
        ),
    ) -> None:
        """Cancels the running activity, and those that run later. The second time nothing happens."""
        if self._cancelled:
            return
        self._cancelled = True
        self._cancellation_details = cancellation_details
        for running in self._running:
            running.cancel(cancellation_details)

    def worker_shutdown(self) -> None:
        """Lets the running activity, and those that run later, see that the worker is shutting down."""
        self._shutdown = True
        for running in self._running:
            running.context.worker_shutdown_event.set()

    def run(self, fn: Callable[MultiParamSpec, _Return], *args: Any, **kwargs: Any) -> _Return:
        """Runs an activity: a plain one here and now, an `async def` one when the result is awaited."""
        definition = activity._Definition.must_from_callable(fn)
        running = _Running(self, definition)
        if definition.is_async:
            return running.run_async(fn, args, kwargs)  # type: ignore[return-value]  # a coroutine, as fn returns one
        result: _Return = running.run_sync(fn, args, kwargs)
        return result


class _Running:
    def __init__(self, environment: ActivityEnvironment, definition: activity._Definition) -> None:
        self._environment = environment
        self._task: asyncio.Task[Any] | None = None
        self._thread: ThreadCanceller | None = None
        if not definition.is_async:
            self._thread = ThreadCanceller(raise_in_thread=not definition.no_thread_cancel_exception)
        shield: Callable[[], AbstractContextManager[None]] | None = self._thread.shield if self._thread else None
        self.context = activity._Context(
            info=environment.info,
            heartbeat=lambda *details: environment.on_heartbeat(*details),
            cancelled_event=activity._CompositeEvent(with_async=definition.is_async),
            worker_shutdown_event=activity._CompositeEvent(with_async=definition.is_async),
            payload_converter=environment.payload_converter,
            client=environment._client,
            shield=shield,
        )

    def cancel(self, details: activity.ActivityCancellationDetails) -> None:
        self.context.cancellation_details = details
        self.context.cancelled_event.set()
        if self._thread is not None:
            self._thread.cancel()
        elif self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        environment = self._environment
        environment._running.append(self)
        if environment._shutdown:
            self.context.worker_shutdown_event.set()
        if environment._cancelled and environment._cancellation_details is not None:
            self.cancel(environment._cancellation_details)

    def run_sync(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert self._thread is not None
        context = contextvars.copy_context()
        context.run(activity._current_context.set, self.context)
        self._begin()
        try:
            return context.run(self._thread.call, lambda *args: fn(*args, **kwargs), args)
        finally:
            self._environment._running.remove(self)

    async def run_async(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = contextvars.copy_context()
        context.run(activity._current_context.set, self.context)
        # A task of its own, so that cancellation reaches the activity and not the test.
        self._task = context.run(asyncio.ensure_future, fn(*args, **kwargs))
        self._begin()
        try:
            return await self._task
        finally:
            self._environment._running.remove(self)

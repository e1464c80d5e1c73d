"""The worker: runs workflows and activities of one task queue."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from durably import _bridge, _core, activity
from durably.api.core.v1 import InitiateShutdown, WorkerOptions, WorkerRequest
from durably.api.time import to_duration
from durably.client import Client
from durably.service import RPCError, RPCStatusCode
from durably.worker._activities import Activities
from durably.worker._workflows import Workflows

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger("durably.worker")


class UnsandboxedWorkflowRunner:
    """Accepted for compatibility: workflows always run in this process without re-importing their modules."""


class Worker:
    """Polls one task queue and runs its activities in the event loop in which it is started, its workflows in a thread of
    its own.

    Run it with `await worker.run()`, or for the length of a block with `async with worker:`.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        activities: Sequence[Callable[..., Any]] = (),
        workflows: Sequence[type[Any]] = (),
        activity_executor: concurrent.futures.Executor | None = None,
        workflow_runner: Any = None,
        interceptors: Sequence[Any] = (),
        build_id: str | None = None,
        identity: str | None = None,
        max_cached_workflows: int = 10_000,
        max_cached_bytes: int = 256 * 1024 * 1024,
        max_concurrent_workflow_tasks: int | None = None,
        max_concurrent_activities: int | None = None,
        max_concurrent_local_activities: int | None = None,
        max_concurrent_workflow_task_polls: int | None = None,
        nonsticky_to_sticky_poll_ratio: float = 0.2,
        max_concurrent_activity_task_polls: int | None = None,
        no_remote_activities: bool = False,
        sticky_queue_schedule_to_start_timeout: timedelta | float = timedelta(seconds=10),
        max_heartbeat_throttle_interval: timedelta | float = timedelta(seconds=60),
        default_heartbeat_throttle_interval: timedelta | float = timedelta(seconds=30),
        max_activities_per_second: float | None = None,
        max_task_queue_activities_per_second: float | None = None,
        max_eager_activity_reservations_per_workflow_task: int | None = None,
        graceful_shutdown_timeout: timedelta | float = timedelta(),
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        debug_mode: bool = False,
        disable_eager_activity_execution: bool = False,
        on_fatal_error: Callable[[BaseException], Awaitable[None]] | None = None,
    ) -> None:
        """A worker that is not running yet.

        Args:
            client: Its namespace and data converter are the worker's.
            task_queue: The queue to poll.
            activities: Functions, methods or objects defined with `@activity.defn`.
            workflows: Classes defined with `@workflow.defn`.
            activity_executor: Where plain (not `async def`) activities run: a `ThreadPoolExecutor`. Default: one of
                the worker's own, with a thread per concurrent activity.
            workflow_runner: Accepted for compatibility; there is no sandbox.
            interceptors: Reserved; must be empty in this release.
            build_id: Identifies the code of this worker in histories.
            identity: Shown in histories. Default: the client's.
            max_cached_workflows: Runs kept in memory; 0 replays every workflow task from its history.
            max_cached_bytes: Memory for them, as far as it can be estimated.
            max_concurrent_workflow_tasks: Default 100.
            max_concurrent_activities: Default 100.
            max_concurrent_local_activities: Reserved.
            max_concurrent_workflow_task_polls: Default 5.
            nonsticky_to_sticky_poll_ratio: Share of polls on the normal queue while runs are cached.
            max_concurrent_activity_task_polls: Default 5.
            no_remote_activities: Don't poll for activities.
            sticky_queue_schedule_to_start_timeout: After this time a workflow task goes to any worker.
            max_heartbeat_throttle_interval: Heartbeats are sent at least this often.
            default_heartbeat_throttle_interval: The same for activities without a heartbeat time-out.
            max_activities_per_second: Limit of this worker.
            max_task_queue_activities_per_second: Limit of the whole task queue, kept by the server.
            max_eager_activity_reservations_per_workflow_task: Activities that the server may hand out at once with a
                workflow task's response. Default 3.
            graceful_shutdown_timeout: How long activities may go on after shutdown began, before they are cancelled.
            workflow_failure_exception_types: Exceptions that fail a workflow rather than its task; among them
                `workflow.NondeterminismError`, for code that disagrees with its history.
            debug_mode: Run workflow code in the thread of the worker's event loop, and never cut it off, so that it can
                stand at a breakpoint.
            disable_eager_activity_execution: Always dispatch activities through the server.
            on_fatal_error: Awaited with the error when the worker fails, before `run` raises it.

        Raises:
            ValueError: An option is wrong, or two workflows or activities have the same name.
            TypeError: Something is not decorated.
        """
        if not activities and not workflows:
            raise ValueError("At least one activity or workflow must be specified")
        if not task_queue:
            raise ValueError("Worker: task_queue must not be empty")
        if interceptors:
            raise ValueError("Worker: interceptors are not supported in this release")
        del workflow_runner
        self._client = client
        self._task_queue = task_queue
        self._debug_mode = debug_mode
        self._on_fatal_error = on_fatal_error
        self._bridge: _bridge.Worker | None = None
        self._mailbox: _core.Mailbox | None = None
        self._handler = 0
        self._finished: asyncio.Future[None] | None = None
        self._fatal: BaseException | None = None
        self._body: asyncio.Task[Any] | None = None
        self._shutting_down = False
        self._activities = Activities(
            client,
            task_queue,
            [activity._Definition.must_from_callable(fn) for fn in activities],
            activity_executor,
            max_concurrent_activities or 100,
        )
        self._workflows = Workflows(
            workflows,
            client.data_converter,
            failure_exception_types=tuple(workflow_failure_exception_types),
            build_id=build_id or "",
            disable_eager_activity_execution=disable_eager_activity_execution,
            debug_mode=debug_mode,
            tells_tests=client.service_client.config.embedded_fail_fast,
        )
        self._options = WorkerOptions(
            task_queue=task_queue,
            namespace=client.namespace,
            identity=identity or "",
            build_id=build_id or "",
            workflows=bool(workflows),
            activities=bool(activities) and not no_remote_activities,
            **self._workflows.nondeterminism_policy(),
            max_cached_bytes=_positive("max_cached_bytes", max_cached_bytes),
            max_cached_workflows=_positive("max_cached_workflows", max_cached_workflows),
            no_workflow_cache=max_cached_workflows == 0,
            sticky_queue_schedule_to_start_timeout=to_duration(sticky_queue_schedule_to_start_timeout),
            max_concurrent_workflow_tasks=_positive("max_concurrent_workflow_tasks", max_concurrent_workflow_tasks),
            max_concurrent_activities=_positive("max_concurrent_activities", max_concurrent_activities),
            max_concurrent_local_activities=_positive(
                "max_concurrent_local_activities", max_concurrent_local_activities
            ),
            max_concurrent_workflow_task_polls=_positive(
                "max_concurrent_workflow_task_polls", max_concurrent_workflow_task_polls
            ),
            max_concurrent_activity_task_polls=_positive(
                "max_concurrent_activity_task_polls", max_concurrent_activity_task_polls
            ),
            nonsticky_to_sticky_poll_ratio=float(nonsticky_to_sticky_poll_ratio),
            max_activities_per_second=float(max_activities_per_second or 0),
            max_task_queue_activities_per_second=float(max_task_queue_activities_per_second or 0),
            max_eager_activities=_positive(
                "max_eager_activity_reservations_per_workflow_task", max_eager_activity_reservations_per_workflow_task
            ),
            disable_eager_activities=disable_eager_activity_execution,
            max_heartbeat_throttle_interval=to_duration(max_heartbeat_throttle_interval),
            default_heartbeat_throttle_interval=to_duration(default_heartbeat_throttle_interval),
            graceful_shutdown_timeout=to_duration(graceful_shutdown_timeout) if graceful_shutdown_timeout else None,
        )

    @property
    def client(self) -> Client:
        """The client given."""
        return self._client

    @property
    def task_queue(self) -> str:
        """The queue polled."""
        return self._task_queue

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not finished shutting down."""
        return self._bridge is not None and self._finished is not None and not self._finished.done()

    @property
    def is_shutdown(self) -> bool:
        """Whether it has finished."""
        return self._finished is not None and self._finished.done()

    async def run(self) -> None:
        """Runs until `shutdown` is called from elsewhere or this is cancelled; both let running work end within the
        graceful shutdown time-out.

        Raises:
            RPCError: The worker can't go on: an unknown namespace, permission denied.
            RuntimeError: It was started before.
        """
        finished = self._start()
        try:
            await asyncio.shield(finished)
        except asyncio.CancelledError:
            if finished.done():
                raise
            self._initiate_shutdown()
            await _uninterrupted(finished)
            raise
        finally:
            self._close()
        if self._fatal is not None:
            if self._on_fatal_error is not None:
                await self._on_fatal_error(self._fatal)
            raise self._fatal

    async def shutdown(self) -> None:
        """Stops polling, lets running work end, and returns when everything is answered. Callable more than once."""
        if self._finished is None:
            raise RuntimeError("Cannot shut down: the worker was never started")
        self._initiate_shutdown()
        await asyncio.shield(self._finished)

    async def __aenter__(self) -> Self:
        self._start()
        self._body = asyncio.current_task()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._finished is not None
        self._body = None
        try:
            self._initiate_shutdown()
            await _uninterrupted(self._finished)
        finally:
            self._close()
        if self._fatal is not None:
            if self._on_fatal_error is not None:
                await self._on_fatal_error(self._fatal)
            # The block was cancelled because of this error.
            raise self._fatal

    def _start(self) -> asyncio.Future[None]:
        if self._bridge is not None:
            raise RuntimeError("Worker already started; make another one to start again")
        loop = asyncio.get_running_loop()
        self._finished = loop.create_future()
        self._mailbox = _core.Mailbox.current()
        # Activities and the codec see the context variables of whoever starts the worker, not of who made the mailbox.
        context = contextvars.copy_context()
        self._handler = self._mailbox.handle(lambda event: context.run(self._on_event, event))
        try:
            bridge = _bridge.Worker(
                self._client.service_client.bridge,
                self._mailbox.bridge,
                self._handler,
                self._options,
                self._workflows.mailbox,
            )
        except RuntimeError as error:
            self._mailbox.forget(self._handler)
            if len(error.args) != 2:
                raise
            code, message = error.args
            if code == RPCStatusCode.INVALID_ARGUMENT:
                raise ValueError(message) from None
            raise RPCError(message, RPCStatusCode(code), b"") from None
        self._bridge = bridge
        self._activities.start(bridge.request)
        self._workflows.start(bridge.request)
        return self._finished

    def _initiate_shutdown(self) -> None:
        if self._bridge is None or self._shutting_down:
            return
        self._shutting_down = True
        self._activities.on_shutdown()
        self._workflows.on_shutdown()
        self._bridge.request(WorkerRequest(shutdown=InitiateShutdown()))

    def _on_event(self, event: Any) -> None:
        if (activation := event.workflow) is not None:
            self._workflows.handle(activation)
        elif (start := event.activity_start) is not None:
            self._activities.handle_start(start)
        elif (cancel := event.activity_cancel) is not None:
            self._activities.handle_cancel(cancel)
        elif (end := event.shut_down) is not None:
            self._on_end(end.fatal)
        elif (replayed := event.replay) is not None:
            self._on_replayed(replayed)
        elif (changed := event.connectivity) is not None:
            self._on_connectivity(changed.lost)

    def _on_connectivity(self, lost: Any) -> None:
        if lost is not None:
            logger.warning(
                "The worker of task queue %s can't reach its server, and goes on trying: %s", self._task_queue, lost.message
            )
        else:
            # As loud as the loss: who reads of that waits for this.
            logger.warning("The worker of task queue %s reaches its server again", self._task_queue)

    def _on_replayed(self, result: Any) -> None:
        logger.error("a worker that polls got a replay result of run %s", result.run_id)

    def _on_end(self, fatal: Any) -> None:
        if fatal is not None:
            self._fatal = RPCError._from_bridge(_core.BridgeError(fatal.code, fatal.message, fatal.status))
            self._activities.on_shutdown()
            if self._body is not None:
                self._body.cancel("the worker failed")
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def _close(self) -> None:
        if self._mailbox is not None:
            self._mailbox.forget(self._handler)
        self._workflows.close()
        self._activities.close()


def _positive(name: str, value: int | None) -> int:
    if value is not None and value < 0:
        raise ValueError(f"Worker: {name} cannot be negative")
    return value or 0


async def _uninterrupted(future: asyncio.Future[None]) -> None:
    """Waits for the future, however often the waiting task is cancelled; a cancellation is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled

"""Activity tasks: runs them as tasks or in threads, cancels them, passes heartbeats on, answers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
from collections.abc import Callable, Sequence
from typing import Any

from durably import activity, common, converter
from durably import exceptions as ex
from durably._signature import decode_arguments
from durably.api.core.v1 import (
    ActivityCancel,
    ActivityCompletion,
    ActivityHeartbeat,
    ActivitySuccess,
    WillCompleteAsync,
    WorkerRequest,
)
from durably.api.failure.v1 import Failure
from durably.api.time import to_datetime, to_timedelta
from durably.client import Client
from durably.converter._failure import text_of, unconverted
from durably.worker._task_failures import Repetitions, exc_info_of, level_of, place_of
from durably.worker._threads import ThreadCanceller

logger = logging.getLogger("durably.worker")

_REASON = ActivityCancel.Reason


class Running:
    """One attempt under way."""

    def __init__(self, start: Any) -> None:
        self.start = start
        self.task: asyncio.Task[None] | None = None
        self.context: activity._Context | None = None
        self.thread: ThreadCanceller | None = None
        self.cancel_reason: int | None = None
        #: Heartbeats on their way through a payload codec; the completion waits for the last.
        self.heartbeat: asyncio.Future[Any] | None = None
        #: A task that is cancelled before its first step never takes it, and nobody would answer.
        self.has_begun = False
        self.done = False

    def cancel(self, reason: int) -> None:
        """Tells the activity to stop."""
        if self.cancel_reason is not None or self.done:
            return
        self.cancel_reason = reason
        context = self.context
        if context is None:
            # Its arguments are still being decoded, or it looks itself when it begins.
            if self.task is not None and self.has_begun:
                self.task.cancel()
            return
        context.cancellation_details = _details(reason)
        context.cancelled_event.set()
        if self.thread is not None:
            self.thread.cancel()
        elif self.task is not None:
            self.task.cancel()


def _is_benign(error: BaseException) -> bool:
    return isinstance(error, ex.ApplicationError) and error.category is ex.ApplicationErrorCategory.BENIGN


def _details(reason: int) -> activity.ActivityCancellationDetails:
    return activity.ActivityCancellationDetails(
        not_found=reason == _REASON.NOT_FOUND,
        cancel_requested=reason == _REASON.CANCELLED,
        paused=reason == _REASON.PAUSED,
        reset=reason == _REASON.RESET,
        timed_out=reason == _REASON.TIMED_OUT,
        worker_shutdown=reason == _REASON.WORKER_SHUTDOWN,
    )


class Activities:
    """The activity side of a worker."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        definitions: Sequence[activity._Definition],
        executor: concurrent.futures.Executor | None,
        max_concurrent: int,
    ) -> None:
        self._definitions: dict[str | None, activity._Definition] = {}
        for definition in definitions:
            if definition.name in self._definitions:
                shown = f"named {definition.name}" if definition.name else "that is dynamic"
                raise ValueError(f"More than one activity {shown}")
            self._definitions[definition.name] = definition
        if isinstance(executor, concurrent.futures.ProcessPoolExecutor):
            raise ValueError(
                "Worker: activity_executor must be a ThreadPoolExecutor, not a pool of processes: heartbeats, cancellation "
                "and context variables don't reach those. For more processors start more worker processes, or let an "
                "activity give its computation to a pool of its own"
            )
        self._client = client
        self._data_converter = client.data_converter
        self._task_queue = task_queue
        self._executor = executor
        self._own_executor: concurrent.futures.Executor | None = None
        self._max_concurrent = max_concurrent
        self._running: dict[bytes, Running] = {}
        self._request: Callable[[Any], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shutdown_event: activity._CompositeEvent | None = None
        self._repetitions = Repetitions()

    def start(self, request: Callable[[Any], None]) -> None:
        """Gives the way to the core; called in the worker's loop."""
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._shutdown_event = activity._CompositeEvent(with_async=True)

    def on_shutdown(self) -> None:
        """Lets activities know that the worker is shutting down."""
        if self._shutdown_event is not None:
            self._shutdown_event.set()

    def close(self) -> None:
        """The worker has ended."""
        if self._own_executor is not None:
            self._own_executor.shutdown(wait=False)

    def handle_start(self, start: Any) -> None:
        """Begins an attempt."""
        running = Running(start)
        self._running[start.task_token] = running
        assert self._loop is not None
        running.task = self._loop.create_task(self._run(running), name=f"activity {start.activity_type}")

    def handle_cancel(self, cancel: Any) -> None:
        """Passes the wish to stop on to the attempt, if it is still running."""
        running = self._running.get(cancel.task_token)
        if running is not None:
            running.cancel(cancel.reason)

    async def _run(self, running: Running) -> None:
        start = running.start
        completion = ActivityCompletion(task_token=start.task_token)
        interrupt: KeyboardInterrupt | None = None
        try:
            payload = await self._execute(running)
            completion.completed = ActivitySuccess(result=payload)
        except BaseException as error:
            # Also SystemExit and the like: they are the activity's, and end neither the worker nor the program.
            await self._fail(running, error, completion)
            if isinstance(error, KeyboardInterrupt) and running.thread is None:
                # Python raises it in the main thread, wherever that is, when somebody wants the program to end.
                interrupt = error
        running.done = True
        if running.heartbeat is not None:
            await running.heartbeat
        self._running.pop(start.task_token, None)
        self._answer(completion)
        if interrupt is not None:
            raise interrupt

    def _answer(self, completion: Any) -> None:
        assert self._request is not None
        try:
            self._request(WorkerRequest(activity=completion))
        except (TypeError, ValueError, OverflowError) as error:
            logger.warning("The result of an activity can't be encoded", exc_info=True)
            failure = Failure(message=f"the result can't be encoded: {error}")
            self._request(
                WorkerRequest(activity=ActivityCompletion(task_token=completion.task_token, failed=failure))
            )

    async def _execute(self, running: Running) -> Any:
        running.has_begun = True
        if running.cancel_reason is not None:
            raise asyncio.CancelledError
        start = running.start
        definition = self._definitions.get(start.activity_type) or self._definitions.get(None)
        if definition is None:
            known = ", ".join(sorted(name for name in self._definitions if name)) or "none"
            raise ex.ApplicationError(
                f"Activity function {start.activity_type} for workflow {_workflow_id(start)} is not registered on this "
                f"worker, available activities: {known}",
                type="NotFoundError",
            )
        args = await self._arguments(definition, start)
        running.context = await self._context(running, definition)
        # This task has a context of its own, which ends with it.
        activity._current_context.set(running.context)
        if definition.is_async:
            result = await definition.fn(*args)
        else:
            result = await self._in_thread(running, definition, args)
        return (await self._data_converter.encode([result]))[0]

    async def _arguments(self, definition: activity._Definition, start: Any) -> list[Any]:
        payloads = start.input
        if definition.name is None:
            if self._data_converter.payload_codec is not None:
                payloads = await self._data_converter.payload_codec.decode(payloads)
            return [[common.RawValue(payload) for payload in payloads]]
        try:
            if self._data_converter.payload_codec is not None:
                payloads = await self._data_converter.payload_codec.decode(payloads)
            args = decode_arguments(self._data_converter.payload_converter, payloads, definition.signature)
        except Exception as error:
            raise ex.ApplicationError(f"Failed decoding arguments: {text_of(error)}", non_retryable=False) from error
        problem = definition.signature.mismatch(len(args))
        if problem is not None:
            raise ex.ApplicationError(f"Activity {start.activity_type} {problem}", type="TypeError")
        return args

    async def _context(self, running: Running, definition: activity._Definition) -> activity._Context:
        start = running.start
        assert self._shutdown_event is not None
        details: Sequence[Any] = []
        if start.heartbeat_details:
            details = await self._data_converter.decode(start.heartbeat_details)
        if not definition.is_async:
            running.thread = ThreadCanceller(raise_in_thread=not definition.no_thread_cancel_exception)
        context = activity._Context(
            info=_info(start, self._task_queue, self._client.namespace, details),
            heartbeat=lambda *details: self._heartbeat(running, details),
            cancelled_event=activity._CompositeEvent(with_async=definition.is_async),
            worker_shutdown_event=self._shutdown_event,
            payload_converter=self._data_converter.payload_converter,
            client=self._client if definition.is_async else None,
            shield=running.thread.shield if running.thread is not None else None,
        )
        return context

    async def _in_thread(self, running: Running, definition: activity._Definition, args: Sequence[Any]) -> Any:
        canceller = running.thread
        assert canceller is not None
        executor = self._executor or self._threads()
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(executor, run, canceller.call, definition.fn, args)

    def _threads(self) -> concurrent.futures.Executor:
        if self._own_executor is None:
            logger.debug("Making a ThreadPoolExecutor of %d threads for plain activities", self._max_concurrent)
            self._own_executor = concurrent.futures.ThreadPoolExecutor(
                self._max_concurrent, thread_name_prefix="durably-activity"
            )
        return self._own_executor

    def _heartbeat(self, running: Running, details: Sequence[Any]) -> None:
        """Called in the activity's thread."""
        if running.done:
            return
        assert self._request is not None and self._loop is not None
        payloads = self._data_converter.payload_converter.to_payloads(details)
        heartbeat = ActivityHeartbeat(task_token=running.start.task_token, details=payloads)
        codec = self._data_converter.payload_codec
        if codec is None or not payloads:
            self._request(WorkerRequest(heartbeat=heartbeat))
            return
        self._loop.call_soon_threadsafe(self._heartbeat_through_codec, running, heartbeat, codec)

    def _heartbeat_through_codec(self, running: Running, heartbeat: Any, codec: converter.PayloadCodec) -> None:
        before = running.heartbeat

        async def send() -> None:
            if before is not None:
                await before
            try:
                heartbeat.details = list(await codec.encode(heartbeat.details))
            except Exception:
                logger.warning("A heartbeat's details can't be encoded; it is sent without them", exc_info=True)
                heartbeat.details = []
            if self._request is not None and running.start.task_token in self._running:
                self._request(WorkerRequest(heartbeat=heartbeat))

        running.heartbeat = asyncio.ensure_future(send())

    async def _fail(self, running: Running, error: BaseException, completion: Any) -> None:
        """Fills the completion from what ended the activity."""
        if isinstance(error, activity._CompleteAsyncError):
            completion.will_complete_async = WillCompleteAsync()
            return
        start, reason = running.start, running.cancel_reason
        kind = "failed"
        if isinstance(error, (asyncio.CancelledError, ex.CancelledError)):
            if reason == _REASON.PAUSED:
                error = ex.ApplicationError("Activity paused", type="ActivityPause")
            elif reason == _REASON.RESET:
                error = ex.ApplicationError("Activity reset", type="ActivityReset")
            elif reason == _REASON.WORKER_SHUTDOWN:
                # Nobody asked the activity to be cancelled: another worker runs it again.
                error = ex.ApplicationError("The worker was shut down", type="WorkerShutdown")
            elif reason is not None:
                kind = "cancelled"
                if not isinstance(error, ex.CancelledError):
                    error = ex.CancelledError("Cancelled")
        if kind == "failed":
            self._log_failure(start, error)
        failure = Failure()
        try:
            await self._data_converter.encode_failure(error, failure)
        except BaseException as inner:
            logger.exception("The failure of activity %s can't be converted", start.activity_type)
            failure = unconverted(error, inner)
        setattr(completion, kind, failure)

    def _log_failure(self, start: Any, error: BaseException) -> None:
        place = place_of(error)
        what = f"{type(error).__name__}: {text_of(error)}" + (f" ({place})" if place else "")
        run_id = start.workflow_execution.run_id if start.workflow_execution is not None else ""
        count = self._repetitions.count((run_id, start.activity_id, start.activity_type), what)
        activity_of = f"{start.activity_type} of workflow {_workflow_id(start)} (run {run_id})"
        if count == 1:
            level = logging.DEBUG if _is_benign(error) else logging.WARNING
            message = "Activity %s failed in attempt %d: %s"
            logger.log(level, message, activity_of, start.attempt, what, exc_info=exc_info_of(error))
            return
        level = logging.DEBUG if _is_benign(error) else level_of(count)
        logger.log(level, "Activity %s has failed %d times in the same way: %s", activity_of, count, what)


def _workflow_id(start: Any) -> str:
    return start.workflow_execution.workflow_id if start.workflow_execution is not None else ""


def _info(start: Any, task_queue: str, namespace: str, heartbeat_details: Sequence[Any]) -> activity.Info:
    execution = start.workflow_execution
    scheduled: Any = to_datetime(start.scheduled_time)
    return activity.Info(
        activity_id=start.activity_id,
        activity_type=start.activity_type,
        attempt=start.attempt,
        current_attempt_scheduled_time=to_datetime(start.current_attempt_scheduled_time) or scheduled,
        heartbeat_details=heartbeat_details,
        heartbeat_timeout=to_timedelta(start.heartbeat_timeout) or None,
        is_local=False,  # there are no local activities yet
        namespace=start.workflow_namespace or namespace,
        schedule_to_close_timeout=to_timedelta(start.schedule_to_close_timeout) or None,
        scheduled_time=scheduled,
        start_to_close_timeout=to_timedelta(start.start_to_close_timeout) or None,
        started_time=to_datetime(start.started_time),  # type: ignore[arg-type]  # every attempt has one
        task_queue=task_queue,
        task_token=start.task_token,
        workflow_id=execution.workflow_id if execution is not None else None,
        workflow_namespace=start.workflow_namespace or None,
        workflow_run_id=execution.run_id if execution is not None else None,
        workflow_type=start.workflow_type or None,
        priority=common.Priority._from_proto(start.priority),
        retry_policy=common.RetryPolicy.from_proto(start.retry_policy) if start.retry_policy is not None else None,
    )

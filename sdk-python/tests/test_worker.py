"""The worker: its life, what it refuses, and activities from start to failure, heartbeat and cancellation."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from durably import activity, workflow
from durably.api.core.v1 import ActivityCancel
from durably.client import AsyncActivityCancelledError, Client, RPCError, RPCStatusCode, WorkflowFailureError
from durably.common import RawValue, RetryPolicy
from durably.converter import DataConverter, PayloadCodec
from durably.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutError, TimeoutType
from durably.worker import Worker
from durably.worker._activities import Activities

NO_RETRY = RetryPolicy(maximum_attempts=1)


@dataclass
class Call:
    """One activity call, as the workflow below makes it."""

    name: str
    args: list[Any]
    start_to_close: float = 10
    heartbeat: float | None = None
    attempts: int = 1
    wait_cancelled: bool = False


@workflow.defn
class Caller:
    """Calls one activity and returns what it returned, as untyped JSON. Cancels it on signal."""

    def __init__(self) -> None:
        self.stop = False

    @workflow.run
    async def run(self, call: Call) -> Any:
        kind = workflow.ActivityCancellationType
        handle = workflow.start_activity(
            call.name,
            args=call.args,
            start_to_close_timeout=timedelta(seconds=call.start_to_close),
            heartbeat_timeout=timedelta(seconds=call.heartbeat) if call.heartbeat else None,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=call.attempts),
            cancellation_type=kind.WAIT_CANCELLATION_COMPLETED if call.wait_cancelled else kind.TRY_CANCEL,
        )
        stopper = asyncio.create_task(self._stopper(handle))
        try:
            return await handle
        finally:
            stopper.cancel()

    async def _stopper(self, handle: Any) -> None:
        await workflow.wait_condition(lambda: self.stop)
        handle.cancel()

    @workflow.signal
    def cancel_it(self) -> None:
        self.stop = True


async def call(client: Client, queue: str, name: str, *args: Any, **options: Any) -> Any:
    return await client.execute_workflow(
        Caller.run, Call(name, list(args), **options), id=f"{queue}-{name}", task_queue=queue
    )


async def cause_of(client: Client, queue: str, name: str, *args: Any, **options: Any) -> BaseException:
    with pytest.raises(WorkflowFailureError) as failed:
        await call(client, queue, name, *args, **options)
    error = failed.value.cause
    assert isinstance(error, ActivityError) and error.activity_type == name
    assert error.cause is not None
    return error.cause


def worker(client: Client, queue: str, *activities: Callable[..., Any], **options: Any) -> Worker:
    return Worker(client, task_queue=queue, workflows=[Caller], activities=activities, **options)


# -- Life


async def test_run_and_shutdown(client: Client, queue: str) -> None:
    @activity.defn
    async def hello(name: str) -> str:
        return f"hello {name}"

    running = worker(client, queue, hello)
    assert not running.is_running
    with pytest.raises(RuntimeError, match="never started"):
        await running.shutdown()
    task = asyncio.create_task(running.run())
    assert await call(client, queue, "hello", "you") == "hello you"
    assert running.is_running
    await running.shutdown()
    await task
    await running.shutdown()
    assert running.is_shutdown and not running.is_running
    with pytest.raises(RuntimeError, match="already started"):
        await running.run()


async def test_cancelling_run_shuts_down(client: Client, queue: str) -> None:
    running = worker(client, queue)
    task = asyncio.create_task(running.run())
    while not running.is_running:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running.is_shutdown


async def test_a_fatal_error_ends_the_worker_and_the_block(queue: str) -> None:
    client = await Client.connect("embedded:", namespace="nope")
    seen = []

    async def on_fatal_error(error: BaseException) -> None:
        seen.append(error)

    with pytest.raises(RPCError) as raised:
        async with worker(client, queue, on_fatal_error=on_fatal_error):
            await asyncio.Event().wait()
    assert raised.value.status is RPCStatusCode.NOT_FOUND and seen == [raised.value]
    with pytest.raises(RPCError):
        await worker(client, queue).run()
    await client.close()


async def test_what_a_worker_refuses(client: Client) -> None:
    @activity.defn(name="same")
    async def one() -> None: ...

    @activity.defn(name="same")
    async def other() -> None: ...

    async def undecorated() -> None: ...

    class Plain: ...

    def make(**options: Any) -> Worker:
        return Worker(client, **{"task_queue": "q", **options})

    with pytest.raises(ValueError, match="At least one activity or workflow"):
        make()
    with pytest.raises(ValueError, match="task_queue must not be empty"):
        make(task_queue="", workflows=[Caller])
    with pytest.raises(ValueError, match="More than one activity named same"):
        make(activities=[one, other])
    with pytest.raises(ValueError, match="More than one workflow named Caller"):
        make(workflows=[Caller, Caller])
    with pytest.raises(TypeError, match="decorated with @activity.defn"):
        make(activities=[undecorated])
    with pytest.raises(ValueError, match="decorated with @workflow.defn"):
        make(workflows=[Plain])
    with pytest.raises(ValueError, match="cannot be negative"):
        make(workflows=[Caller], max_concurrent_activities=-1)
    with pytest.raises(ValueError, match="ThreadPoolExecutor"):
        with concurrent.futures.ProcessPoolExecutor(1) as processes:
            make(activities=[one], activity_executor=processes)


async def test_unknown_types_are_named_and_retried(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with worker(client, queue):
        handle = await client.start_workflow("Missing", id=queue, task_queue=queue)
        async for event in handle.fetch_history_events(wait_new_event=True):
            if (failed := event.workflow_task_failed_event_attributes) is not None:
                break
        assert "Missing is not registered on this worker, available workflows: Caller" in failed.failure.message
        await handle.terminate()


async def test_no_cache_replays_each_task(client: Client, queue: str) -> None:
    @activity.defn
    async def add(a: int, b: int) -> int:
        return a + b

    async with worker(client, queue, add, max_cached_workflows=0):
        assert await call(client, queue, "add", 1, 2) == 3


# -- Activities


async def test_async_and_threaded_activities_see_their_context(client: Client, queue: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def facts() -> list[Any]:
        info = activity.info()
        variable.set("leaked")
        return [info.activity_type, info.attempt, info.workflow_type, info.task_queue == queue, info.namespace]

    @activity.defn
    async def asynchronous() -> list[Any]:
        assert variable.get() == "unset" and activity.client() is client
        return facts()

    @activity.defn
    def threaded() -> list[Any]:
        assert variable.get() == "unset" and threading.current_thread() is not threading.main_thread()
        with pytest.raises(RuntimeError, match="No client available"):
            activity.client()
        return facts()

    async with worker(client, queue, asynchronous, threaded):
        for name in ("asynchronous", "threaded"):
            assert await call(client, queue, name) == [name, 1, "Caller", True, "default"]
    assert variable.get() == "unset" and not activity.in_activity()


async def test_an_executor_of_the_user_is_used(client: Client, queue: str) -> None:
    @activity.defn
    def where() -> str:
        return threading.current_thread().name

    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        async with worker(client, queue, where, activity_executor=executor):
            assert (await call(client, queue, "where")).startswith("mine")


async def test_methods_objects_and_dynamic_activities(client: Client, queue: str) -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @activity.defn
        async def buy(self, what: str) -> str:
            return f"{what} from {self.name}"

    @activity.defn(dynamic=True)
    async def anything(args: Sequence[RawValue]) -> str:
        first = activity.payload_converter().from_payload(args[0].payload, str)
        return f"{activity.info().activity_type}({first})"

    async with worker(client, queue, Shop("here").buy, anything):
        assert await call(client, queue, "buy", "bread") == "bread from here"
        assert await call(client, queue, "whatever", "x") == "whatever(x)"


async def test_failures_reach_the_workflow_with_type_details_and_cause(client: Client, queue: str) -> None:
    @activity.defn
    async def fails() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ApplicationError("outer", {"n": 1}, type="Mine") from error

    @activity.defn
    def plain_failure() -> None:
        raise ValueError("plain")

    @activity.defn
    async def two(a: int, b: int) -> None: ...

    @activity.defn
    async def unconvertible() -> Any:
        return object()

    async with worker(client, queue, fails, plain_failure, two, unconvertible):
        cause = await cause_of(client, queue, "fails")
        assert isinstance(cause, ApplicationError) and (cause.type, list(cause.details)) == ("Mine", [{"n": 1}])
        assert isinstance(cause.cause, ApplicationError) and cause.cause.type == "KeyError"
        cause = await cause_of(client, queue, "plain_failure")
        assert isinstance(cause, ApplicationError) and (cause.type, cause.message) == ("ValueError", "plain")
        assert "takes 2 arguments, got 1" in str(await cause_of(client, queue, "two", 1))
        assert "Failed decoding arguments" in str(await cause_of(client, queue, "two", "x", 1))
        assert isinstance(await cause_of(client, queue, "unconvertible"), ApplicationError)
        assert "is not registered on this worker, available activities: fails" in str(
            await cause_of(client, queue, "missing")
        )


async def test_the_last_heartbeat_reaches_the_next_attempt(client: Client, queue: str) -> None:
    @activity.defn
    def counts() -> list[Any]:
        info = activity.info()
        if info.attempt < 3:
            activity.heartbeat("at", info.attempt)
            raise RuntimeError("again")
        return list(info.heartbeat_details)

    async with worker(client, queue, counts):
        assert await call(client, queue, "counts", attempts=3, heartbeat=5.0) == ["at", 2]


async def test_cancellation_of_async_activities(client: Client, queue: str) -> None:
    started = asyncio.Event()
    details: list[activity.ActivityCancellationDetails | None] = []

    @activity.defn
    async def sleeper() -> None:
        started.set()
        try:
            await _heartbeat_for_ever()
        except asyncio.CancelledError:
            details.append(activity.cancellation_details())
            assert activity.is_cancelled()
            raise

    @activity.defn
    async def stubborn() -> str:
        started.set()
        try:
            await _heartbeat_for_ever()
        except asyncio.CancelledError:
            pass
        return "stayed"

    async with worker(client, queue, sleeper, stubborn, max_heartbeat_throttle_interval=timedelta(seconds=0.1)):
        for name in ("sleeper", "stubborn"):
            started.clear()
            handle = await client.start_workflow(
                Caller.run,
                Call(name, [], heartbeat=1.0, wait_cancelled=True),
                id=f"{queue}-{name}",
                task_queue=queue,
            )
            await started.wait()
            await handle.signal(Caller.cancel_it)
            if name == "stubborn":
                assert await handle.result() == "stayed"
                continue
            with pytest.raises(WorkflowFailureError) as failed:
                await handle.result()
            assert isinstance(failed.value.cause, ActivityError)
            assert isinstance(failed.value.cause.cause, CancelledError)
            assert details == [activity.ActivityCancellationDetails(cancel_requested=True)]


async def _heartbeat_for_ever() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.05)


async def test_cancellation_of_threaded_activities(client: Client, queue: str) -> None:
    loop = asyncio.get_running_loop()
    started = asyncio.Event()

    @activity.defn
    def interrupted() -> str:
        loop.call_soon_threadsafe(started.set)
        try:
            while True:
                activity.heartbeat()
                time.sleep(0.02)
        except CancelledError:
            return "interrupted"

    @activity.defn
    def shielded() -> str:
        loop.call_soon_threadsafe(started.set)
        try:
            with activity.shield_thread_cancel_exception():
                while not activity.is_cancelled():
                    activity.heartbeat()
                    activity.wait_for_cancelled_sync(0.02)
                finished = "finished"
        except CancelledError:
            return f"{finished}, then interrupted"
        return "not interrupted"

    @activity.defn(no_thread_cancel_exception=True)
    def asks() -> str:
        loop.call_soon_threadsafe(started.set)
        while not activity.is_cancelled():
            activity.heartbeat()
            activity.wait_for_cancelled_sync(0.02)
        return "asked"

    expected = {"interrupted": "interrupted", "shielded": "finished, then interrupted", "asks": "asked"}
    functions = (interrupted, shielded, asks)
    async with worker(client, queue, *functions, max_heartbeat_throttle_interval=timedelta(seconds=0.1)):
        for name, result in expected.items():
            started.clear()
            call = Call(name, [], heartbeat=1.0, wait_cancelled=True)
            handle = await client.start_workflow(Caller.run, call, id=f"{queue}-{name}", task_queue=queue)
            await started.wait()
            await handle.signal(Caller.cancel_it)
            assert await handle.result() == result


async def test_time_outs(client: Client, queue: str) -> None:
    @activity.defn
    async def silent() -> None:
        await asyncio.Event().wait()

    async with worker(client, queue, silent):
        cause = await cause_of(client, queue, "silent", start_to_close=0.3)
        assert isinstance(cause, TimeoutError) and cause.type is TimeoutType.START_TO_CLOSE
        cause = await cause_of(client, queue, "silent", heartbeat=0.3)
        assert isinstance(cause, TimeoutError) and cause.type is TimeoutType.HEARTBEAT


async def test_completion_from_elsewhere(client: Client, queue: str) -> None:
    tokens: asyncio.Queue[activity.Info] = asyncio.Queue()

    @activity.defn
    async def later() -> str:
        tokens.put_nowait(activity.info())
        activity.raise_complete_async()

    async def begin(name: str, **options: Any) -> tuple[Any, activity.Info]:
        call = Call("later", [], **options)
        handle = await client.start_workflow(Caller.run, call, id=f"{queue}-{name}", task_queue=queue)
        return handle, await tokens.get()

    async with worker(client, queue, later):
        handle, info = await begin("token")
        elsewhere = client.get_async_activity_handle(task_token=info.task_token)
        await elsewhere.heartbeat("here")
        await elsewhere.complete("done")
        assert await handle.result() == "done"

        handle, info = await begin("ids")
        assert info.workflow_id is not None
        elsewhere = client.get_async_activity_handle(
            workflow_id=info.workflow_id, run_id=info.workflow_run_id, activity_id=info.activity_id
        )
        await elsewhere.fail(ApplicationError("no", type="Elsewhere"))
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert failed.value.cause.__cause__ is not None and "no" in str(failed.value.cause.__cause__)

        handle, info = await begin("cancel", wait_cancelled=True)
        elsewhere = client.get_async_activity_handle(task_token=info.task_token)
        await handle.signal(Caller.cancel_it)
        with pytest.raises(AsyncActivityCancelledError):
            while True:
                await elsewhere.heartbeat()
        await elsewhere.report_cancellation("bye")
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause.__cause__, CancelledError)
        with pytest.raises(RPCError) as gone:
            await elsewhere.complete()
        assert gone.value.status is RPCStatusCode.NOT_FOUND


async def test_shutdown_gives_activities_their_time(client: Client, queue: str) -> None:
    started = asyncio.Event()

    @activity.defn
    async def waits() -> str:
        started.set()
        await activity.wait_for_worker_shutdown()
        return "saw it"

    async with worker(client, queue, waits, graceful_shutdown_timeout=timedelta(seconds=20)):
        handle = await client.start_workflow(Caller.run, Call("waits", []), id=queue, task_queue=queue)
        await started.wait()
    async with worker(client, queue, waits):
        assert await handle.result() == "saw it"


async def test_shutdown_cancels_activities_and_another_worker_runs_them_again(client: Client, queue: str) -> None:
    started: asyncio.Queue[int] = asyncio.Queue()

    @activity.defn
    async def attempt() -> int:
        number = activity.info().attempt
        started.put_nowait(number)
        if number == 1:
            await asyncio.Event().wait()
        return number

    async with worker(client, queue, attempt):
        call = Call("attempt", [], attempts=5)
        handle = await client.start_workflow(Caller.run, call, id=queue, task_queue=queue)
        assert await started.get() == 1
    async with worker(client, queue, attempt):
        assert await handle.result() == 2


async def test_an_attempt_that_is_cancelled_as_it_comes_is_answered(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy loop takes the start and the cancellation of an attempt in one go."""
    handle_start = Activities.handle_start

    def start_and_cancel(activities: Activities, start: Any) -> None:
        handle_start(activities, start)
        if start.attempt == 1:
            cancel = ActivityCancel(task_token=start.task_token, reason=ActivityCancel.Reason.WORKER_SHUTDOWN)
            activities.handle_cancel(cancel)

    @activity.defn
    async def attempt() -> int:
        return activity.info().attempt

    monkeypatch.setattr(Activities, "handle_start", start_and_cancel)
    async with worker(client, queue, attempt):
        assert await call(client, queue, "attempt", attempts=2) == 2


# -- Payload codecs, slow workflows


class Reverse(PayloadCodec):
    """Reverses payloads; counts."""

    def __init__(self) -> None:
        self.encoded = 0

    async def encode(self, payloads: Sequence[Any]) -> list[Any]:
        self.encoded += len(payloads)
        return [type(p)(metadata={"encoding": b"reversed"}, data=p.SerializeToString()[::-1]) for p in payloads]

    async def decode(self, payloads: Sequence[Any]) -> list[Any]:
        await asyncio.sleep(0)
        return [type(p).FromString(p.data[::-1]) if p.metadata["encoding"] == b"reversed" else p for p in payloads]


# Named, because stack traces quote source lines.
SECRET = "s3cret"


async def test_a_codec_sees_every_payload(client: Client, queue: str) -> None:
    hidden = Client(client.service_client, data_converter=DataConverter(payload_codec=Reverse()))

    @activity.defn
    def secret(text: str) -> str:
        if activity.info().attempt == 1:
            activity.heartbeat(SECRET)
            raise ApplicationError("not yet", SECRET)
        assert list(activity.info().heartbeat_details) == [SECRET]
        return text.upper()

    async with worker(hidden, queue, secret):
        result = await call(hidden, queue, "secret", SECRET, attempts=2, heartbeat=5.0)
    assert result == SECRET.upper()
    history = await client.get_workflow_handle(f"{queue}-secret").fetch_history()
    assert not any(SECRET.encode() in event.SerializeToString().lower() for event in history.events)


async def test_an_activity_that_ends_after_its_time_is_told_of(client: Client, queue: str) -> None:
    timed_out = asyncio.Event()
    loop = asyncio.get_running_loop()
    told: asyncio.Future[logging.LogRecord] = loop.create_future()

    class Report(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loop.call_soon_threadsafe(told.set_result, record)

    @activity.defn
    async def late() -> None:
        await timed_out.wait()

    handler = Report()
    logging.getLogger("durably.core").addHandler(handler)
    try:
        async with worker(client, queue, late):
            cause = await cause_of(client, queue, "late", start_to_close=0.1)
            assert isinstance(cause, TimeoutError)
            timed_out.set()
            record = await told
    finally:
        logging.getLogger("durably.core").removeHandler(handler)
    assert record.levelno == logging.WARNING
    for part in ("an activity has ended when its start_to_close_timeout", "late", f"{queue}-late"):
        assert part in record.getMessage()

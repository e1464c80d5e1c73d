"""What fails a run, what fails its workflow task, and what the log says of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from durably import activity, converter, workflow
from durably.client import Client, WorkflowFailureError, WorkflowHandle
from durably.common import RawValue, RetryPolicy
from durably.exceptions import ActivityError, ApplicationError
from durably.worker import Replayer, Worker

TEN = timedelta(seconds=10)


@dataclass
class Order:
    count: int


@workflow.defn
class Takes:
    @workflow.run
    async def run(self, order: Order) -> int:
        return order.count


@workflow.defn
class TakesAtOnce:
    @workflow.init
    def __init__(self, order: Order) -> None:
        if order.count < 0:
            raise ValueError("negative")

    @workflow.run
    async def run(self, order: Order) -> int:
        return order.count


@workflow.defn
class CallsBack:
    @workflow.run
    async def run(self) -> None:
        asyncio.get_running_loop().call_soon(self.fail)
        await workflow.wait_condition(lambda: False)

    def fail(self) -> None:
        raise ValueError("in a callback")


async def failure_of(handle: WorkflowHandle[Any, Any]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause


@pytest.mark.parametrize(
    ("kind", "argument", "message"),
    [
        (Takes, "s", "expected Order, got str 's'"),
        (Takes, [1], "expected Order, got list [1]"),
        (Takes, {"count": "x"}, "Order.count: expected int, got str 'x'"),
        (Takes, {}, "Order.count: missing"),
        (TakesAtOnce, {}, "Order.count: missing"),
        (TakesAtOnce, {"count": -1}, "negative"),
    ],
)
async def test_arguments_that_do_not_decode_obey_the_failure_types(
    client: Client, queue: str, kind: Any, argument: Any, message: str
) -> None:
    workflows = [Takes, TakesAtOnce]
    types = [TypeError, ValueError]
    async with Worker(client, task_queue=queue, workflows=workflows, workflow_failure_exception_types=types):
        handle = await client.start_workflow(kind.__name__, argument, id=queue, task_queue=queue)
        assert message in str(await failure_of(handle))


async def test_an_error_in_a_callback_obeys_the_failure_types(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[CallsBack], workflow_failure_exception_types=[ValueError]):
        handle = await client.start_workflow(CallsBack.run, id=queue, task_queue=queue)
        assert "in a callback" in str(await failure_of(handle))


class Locked(converter.PayloadCodec):
    """A codec whose key is gone for good."""

    async def encode(self, payloads: Sequence[Any]) -> list[Any]:
        return list(payloads)

    async def decode(self, payloads: Sequence[Any]) -> list[Any]:
        raise ApplicationError("the key is gone", non_retryable=True)


async def test_a_codec_that_gives_up_fails_the_run(client: Client, queue: str) -> None:
    locked = Client(
        client.service_client,
        namespace=client.namespace,
        data_converter=dataclasses.replace(converter.DataConverter.default, payload_codec=Locked()),
    )
    async with Worker(locked, task_queue=queue, workflows=[Takes]):
        handle = await client.start_workflow(Takes.run, Order(1), id=queue, task_queue=queue)
        assert "the key is gone" in str(await failure_of(handle))


class Records(logging.Handler):
    """What the worker has logged, and a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[logging.LogRecord] = []
        self.loop = asyncio.get_running_loop()
        self.event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record)
        self.loop.call_soon_threadsafe(self.event.set)

    async def some(self, text: str) -> logging.LogRecord:
        while True:
            self.event.clear()
            found = [record for record in self.all if text in record.getMessage()]
            if found:
                return found[0]
            await self.event.wait()


@contextlib.contextmanager
def records() -> Iterator[Records]:
    handler = Records()
    root = logging.getLogger("durably")
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


@workflow.defn
class Misspells:
    fixed = False

    @workflow.run
    async def run(self) -> str:
        if not Misspells.fixed:
            workflow.exceute_activity("x")  # type: ignore[attr-defined]  # the mistake
        return "done"


async def test_a_mistake_is_told_once_with_its_line_and_then_counted(client: Client, queue: str) -> None:
    Misspells.fixed = False
    with records() as log:
        async with Worker(client, task_queue=queue, workflows=[Misspells]):
            handle = await client.start_workflow(
                Misspells.run, id=queue, task_queue=queue, task_timeout=timedelta(seconds=1)
            )
            first = await log.some("failed, and is retried until it succeeds")
            again = await log.some("has failed 2 times in the same way")
            Misspells.fixed = True
            assert await handle.result() == "done"
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "# the mistake" in text)
    assert f"({__file__}:{line})" in first.getMessage() and "(Misspells)" in first.getMessage()
    assert "AttributeError" in first.getMessage() and first.exc_info is not None
    assert again.levelno == logging.DEBUG
    loud = [record.getMessage() for record in log.all if record.levelno >= logging.WARNING]
    assert loud == [first.getMessage()]


@workflow.defn(name="Changes")
class Before:
    @workflow.run
    async def run(self) -> None:
        await asyncio.sleep(3600)

    @workflow.query
    def is_there(self) -> bool:
        return True


@workflow.defn(name="Changes")
class After:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("x", start_to_close_timeout=TEN)

    @workflow.signal
    def poke(self) -> None:
        pass


async def test_what_the_core_finds_is_told_once_too(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[Before]):
        handle = await client.start_workflow(Before.run, id=queue, task_queue=queue, task_timeout=timedelta(seconds=1))
        assert await handle.query("is_there")
    with records() as log:
        async with Worker(client, task_queue=queue, workflows=[After]):
            await handle.signal("poke")
            first = await log.some("failed, and is retried until it succeeds: NondeterminismError")
            await log.some("has failed 2 times in the same way: NondeterminismError")
            await handle.terminate()
    loud = [record.getMessage() for record in log.all if record.levelno >= logging.WARNING]
    assert loud == [first.getMessage()]
    assert f"{__file__}:" in first.getMessage()


@workflow.defn(name="Changes", failure_exception_types=[workflow.NondeterminismError])
class AfterWithTypes(After):
    @workflow.run
    async def run(self) -> None:
        await super().run()


@pytest.mark.parametrize(
    ("code", "types"),
    [(After, [workflow.NondeterminismError]), (After, [Exception]), (AfterWithTypes, [])],
)
async def test_code_that_disagrees_with_its_history_obeys_the_failure_types(
    client: Client, queue: str, code: Any, types: list[type[BaseException]]
) -> None:
    async with Worker(client, task_queue=queue, workflows=[Before]):
        handle = await client.start_workflow(Before.run, id=queue, task_queue=queue)
        assert await handle.query("is_there")
    with records() as log:
        async with Worker(client, task_queue=queue, workflows=[code], workflow_failure_exception_types=types):
            await handle.signal("poke")
            failed = await failure_of(handle)
        assert "disagree" in failed.message and f"{__file__}:" in failed.message
        assert failed.type == "NonDeterminism" and not failed.non_retryable
        await log.some("(Changes) failed: NondeterminismError")
    # A replay says so, and ends nothing.
    history = await handle.fetch_history()
    replayer = Replayer(workflows=[code], workflow_failure_exception_types=types)
    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(history)


@workflow.defn
class UsesWhatIsAbsent:
    @workflow.run
    async def run(self, what: str) -> None:
        if what == "local activity":
            await workflow.execute_local_activity("x")  # type: ignore[attr-defined]
        elif what == "patch":
            workflow.patched("x")
        elif what == "info":
            workflow.info().get_current_deployment_version()
        elif what == "option":
            workflow.continue_as_new(versioning_intent=1)  # type: ignore[arg-type]
        elif what == "sleep":
            await workflow.sleep(1, event_groups=["x"])
        elif what == "condition":
            await workflow.wait_condition(lambda: True, event_groups=["x"])
        elif what == "random":
            workflow.new_random("x")
        elif what == "called activity":
            await workflow.execute_activity(measures, start_to_close_timeout=TEN, event_groups=["x"])
        elif what == "activity":
            await workflow.execute_activity(measures, start_to_close_timeout=TEN)


@activity.defn
async def measures() -> None:
    activity.metric_meter()


@pytest.mark.parametrize(
    "what", ["local activity", "patch", "info", "option", "sleep", "condition", "random", "called activity"]
)
async def test_a_feature_that_is_absent_fails_the_run_at_once(client: Client, queue: str, what: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[UsesWhatIsAbsent]):
        failure = await failure_of(await client.start_workflow("UsesWhatIsAbsent", what, id=queue, task_queue=queue))
    assert failure.type == "NotInThisReleaseError" and "is not in this release of durably" in str(failure)


async def test_a_feature_that_is_absent_fails_the_activity_for_good(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[UsesWhatIsAbsent], activities=[measures]):
        handle = await client.start_workflow(UsesWhatIsAbsent.run, "activity", id=queue, task_queue=queue)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert "activity.metric_meter is not in this release" in str(failed.value.cause.__cause__)


def test_what_is_absent_looks_absent() -> None:
    assert not hasattr(workflow, "patched") and not hasattr(workflow, "anything")
    with pytest.raises(ImportError):
        from durably.workflow import patched  # type: ignore[attr-defined]  # noqa: F401


@workflow.defn(dynamic=True, failure_exception_types=[workflow.NondeterminismError])
class Anything:
    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> None:
        await workflow.execute_activity("x", start_to_close_timeout=TEN)


async def test_the_failure_types_of_a_dynamic_workflow_cover_what_the_core_finds(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[Before]):
        handle = await client.start_workflow(Before.run, id=queue, task_queue=queue)
        assert await handle.query("is_there")
    async with Worker(client, task_queue=queue, workflows=[Anything, Takes]):
        await handle.signal("poke")
        assert "disagree" in (await failure_of(handle)).message


async def test_the_failure_types_of_a_dynamic_workflow_are_its_own(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[Before]):
        handle = await client.start_workflow(Before.run, id=queue, task_queue=queue, task_timeout=timedelta(seconds=1))
        assert await handle.query("is_there")
    with records() as log:
        async with Worker(client, task_queue=queue, workflows=[Anything, After]):
            await handle.signal("poke")
            await log.some("failed, and is retried until it succeeds: NondeterminismError")
            await handle.terminate()


@activity.defn
async def takes_an_order(note: str, order: Order) -> None:
    pass


@workflow.defn
class PassesOn:
    @workflow.run
    async def run(self, order: Any) -> None:
        policy = RetryPolicy(maximum_attempts=1)
        await workflow.execute_activity("takes_an_order", args=["note", order], start_to_close_timeout=TEN, retry_policy=policy)


async def test_arguments_that_do_not_decode_are_named_with_the_line(client: Client, queue: str) -> None:
    workflows = [Takes, PassesOn]
    types = [TypeError]
    async with Worker(
        client, task_queue=queue, workflows=workflows, activities=[takes_an_order], workflow_failure_exception_types=types
    ):
        handle: WorkflowHandle[Any, Any] = await client.start_workflow("Takes", "s", id=queue, task_queue=queue)
        line = Takes.run.__code__.co_firstlineno
        assert (await failure_of(handle)).message == (
            f"parameter 'order' of Takes.run ({__file__}:{line}): expected Order, got str 's'"
        )
        handle = await client.start_workflow(PassesOn.run, "s", id=f"{queue}-2", task_queue=queue)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, ActivityError)
        assert f"parameter 'order' of takes_an_order ({__file__}:" in str(failed.value.cause.cause)

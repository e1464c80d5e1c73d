"""Signals and cancellations from workflow to workflow over a server, with a cache and with none; whatever ran replays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from families import Family, family

from durably import workflow
from durably.client import Client
from durably.exceptions import ApplicationError, CancelledError

EXTERNAL = "EXTERNAL_WORKFLOW_EXECUTION"


@workflow.defn
class Listens:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @workflow.signal
    def note(self, text: str) -> None:
        self.heard.append(text)

    @workflow.signal
    def pair(self, first: int, second: int) -> None:
        self.heard.append([first, second])

    @workflow.query
    def so_far(self) -> list[Any]:
        return self.heard

    @workflow.run
    async def run(self) -> list[Any]:
        try:
            await workflow.wait_condition(lambda: "end" in self.heard)
        except asyncio.CancelledError:
            raise ApplicationError("asked to end", workflow.cancellation_reason(), type="Asked") from None
        return self.heard


@workflow.defn
class Speaks:
    """Sends notes one by one, or all at once; how it went is the result."""

    @workflow.run
    async def run(self, to: str, run_id: str | None, notes: list[str], at_once: bool) -> str:
        other = workflow.get_external_workflow_handle_for(Listens.run, to, run_id=run_id)
        try:
            if at_once:
                await asyncio.gather(*(other.signal(Listens.note, text) for text in notes))
            else:
                for text in notes:
                    await other.signal("note", text)
            await other.signal(Listens.pair, args=[1, 2])
        except ApplicationError as error:
            return f"{error.type}: {error.message}"
        return "delivered"


@workflow.defn
class Cancels:
    @workflow.run
    async def run(self, to: str, run_id: str | None) -> str:
        try:
            await workflow.get_external_workflow_handle(to, run_id=run_id).cancel(reason="enough")
        except ApplicationError as error:
            return f"{error.type}: {error.message}"
        return "delivered"


@workflow.defn
class TakesBack:
    @workflow.run
    async def run(self, to: str) -> str:
        sending = asyncio.create_task(workflow.get_external_workflow_handle(to).signal("note", "never"))
        await asyncio.sleep(0)
        sending.cancel()
        try:
            await sending
        except CancelledError:
            return "taken back"
        return "delivered"


@workflow.defn
class Parent:
    """Signals its own child, by its handle and from outside, also when it has ended."""

    @workflow.run
    async def run(self, id: str) -> list[Any]:
        child = await workflow.start_child_workflow(Listens.run, id=id)
        await child.signal(Listens.note, "by its parent")
        await workflow.get_external_workflow_handle(id).signal(Listens.note, "by its id")
        await child.signal(Listens.pair, args=[3, 4])
        await child.signal("note", "end")
        heard = await child
        try:
            await child.signal("note", "too late")
        except ApplicationError as error:
            heard.append(error.type)
        return heard


WORKFLOWS = [Listens, Speaks, Cancels, TakesBack, Parent]


@pytest.fixture(params=[1000, 0], ids=["cached", "uncached"])
async def home(request: pytest.FixtureRequest, client: Client, queue: str) -> AsyncIterator[Family]:
    async with family(client, queue, request.param, WORKFLOWS) as found:
        yield found


async def test_signals_are_delivered_once(home: Family) -> None:
    listener = await home.start(Listens.run)
    notes = [str(number) for number in range(20)]
    assert await home.execute(Speaks.run, listener.id, None, notes, False) == "delivered"
    assert await listener.query(Listens.so_far) == [*notes, [1, 2]]
    run_id = listener.first_execution_run_id
    assert await home.execute(Speaks.run, listener.id, run_id, ["with its run"], False) == "delivered"
    assert await home.execute(Speaks.run, listener.id, None, notes, True) == "delivered"
    await listener.signal(Listens.note, "end")
    heard = await listener.result()
    assert heard[21:23] == ["with its run", [1, 2]]
    assert sorted(heard[23:-2]) == sorted(notes) and heard[-2:] == [[1, 2], "end"]


async def test_signals_to_nobody(home: Family) -> None:
    listener = await home.start(Listens.run)
    await listener.signal(Listens.note, "end")
    await listener.result()
    own = home.new_id()
    for to, run_id, options in [
        (home.new_id(), None, {}),
        (listener.id, None, {}),
        (listener.id, listener.first_execution_run_id, {}),
        (own, None, {"id": own}),
    ]:
        told = await home.execute(Speaks.run, to, run_id, ["a"], False, **options)
        assert told.startswith("ExternalWorkflowExecutionNotFound: "), told
        sender = home.started[-1]
        assert await home.names(sender, EXTERNAL) == [
            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED", "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED"
        ]  # fmt: skip


async def test_a_signal_that_is_taken_back(home: Family) -> None:
    listener = await home.start(Listens.run)
    assert await home.execute(TakesBack.run, listener.id) == "taken back"
    assert await home.names(home.started[-1], EXTERNAL) == []
    await listener.signal(Listens.note, "end")
    assert await listener.result() == ["end"]


@pytest.mark.parametrize("with_run", [False, True])
async def test_a_cancellation(home: Family, with_run: bool) -> None:
    listener = await home.start(Listens.run)
    run_id = listener.first_execution_run_id if with_run else None
    assert await home.execute(Cancels.run, listener.id, run_id) == "delivered"
    failure = await home.failure(listener)
    assert isinstance(failure, ApplicationError) and failure.details[0].endswith("enough")


async def test_a_cancellation_of_nobody(home: Family) -> None:
    own = home.new_id()
    for to, options in [(home.new_id(), {}), (own, {"id": own})]:
        told = await home.execute(Cancels.run, to, None, **options)
        assert told.startswith("ExternalWorkflowExecutionNotFound: "), told


async def test_a_parent_and_its_child(home: Family) -> None:
    assert await home.execute(Parent.run, home.new_id()) == [
        "by its parent", "by its id", [3, 4], "end", "ExternalWorkflowExecutionNotFound"
    ]  # fmt: skip

"""Whole programs over a server: what ran live replays from its history, with and without a cache."""

from __future__ import annotations

import asyncio
import random
import sys
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from durably import activity, workflow
from durably.client import Client, WorkflowFailureError
from durably.common import RetryPolicy
from durably.exceptions import ActivityError, ApplicationError, CancelledError
from durably.worker import Replayer, Worker

TEN = timedelta(seconds=10)


@dataclass
class Reservation:
    order_id: str
    items: list[str]


@activity.defn
async def echo(value: str) -> str:
    return value


@activity.defn
async def reserve_inventory(order_id: str, items: list[str]) -> Reservation:
    return Reservation(order_id, items)


@activity.defn
async def fail(type: str) -> None:
    raise ApplicationError("no", type=type, non_retryable=True)


@workflow.defn
class Everything:
    """All that asyncio and the standard library offer, in one history."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[str] = asyncio.Queue()

    @workflow.run
    async def run(self, width: int) -> list[Any]:
        seen: list[Any] = []

        async def step(name: str) -> str:
            await asyncio.sleep(random.random() / 50)
            return await workflow.execute_activity(echo, name, start_to_close_timeout=TEN)

        seen += await asyncio.gather(*(step(f"gather {i}") for i in range(width)))
        done, pending = await asyncio.wait({asyncio.create_task(step(f"set {i}")) for i in range(width)})
        seen += [len(done), len(pending)]
        for first in asyncio.as_completed([step(f"completed {i}") for i in range(width)]):
            seen.append(await first)
            break
        if sys.version_info >= (3, 11):
            async with asyncio.TaskGroup() as group:
                for i in range(width):
                    group.create_task(step(f"group {i}"))
            try:
                async with asyncio.timeout(0.01):
                    await workflow.sleep(60)
            except TimeoutError:
                seen.append("timed out")
        handle = workflow.start_activity(echo, "dropped", start_to_close_timeout=TEN)
        handle.cancel()
        seen.append((await asyncio.gather(handle, return_exceptions=True))[0].__class__.__name__)
        try:
            await workflow.execute_activity(fail, "Nope", start_to_close_timeout=TEN)
        except ActivityError as error:
            assert isinstance(error.cause, ApplicationError)
            seen.append(error.cause.type)
        seen.append(await asyncio.wait_for(self.news.get(), 20))
        seen.append([str(uuid.uuid4()), datetime.now().isoformat(), workflow.random().random()])
        return seen

    @workflow.signal
    async def tell(self, news: str) -> None:
        await step_of(news)
        self.news.put_nowait(news)

    @workflow.query
    def waiting(self) -> bool:
        return self.news.empty()


async def step_of(name: str) -> None:
    await workflow.execute_activity(echo, name, start_to_close_timeout=TEN)


@pytest.mark.parametrize("cached", [1000, 0])
async def test_what_ran_live_replays(client: Client, queue: str, cached: int) -> None:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Everything],
        activities=[echo, fail],
        max_cached_workflows=cached,
    ):
        handles = []
        for i in range(4):
            handle = await client.start_workflow(Everything.run, 6, id=f"{queue}-{i}", task_queue=queue)
            await handle.signal(Everything.tell, f"news {i}")
            handles.append(handle)
        results = [await handle.result() for handle in handles]
    assert [result[-2] for result in results] == [f"news {i}" for i in range(4)]
    assert len({str(result[-1]) for result in results}) == 4
    for handle in handles:
        await Replayer(workflows=[Everything]).replay_workflow(await handle.fetch_history())


@workflow.defn
class Fulfilment:
    """As in tutorials: several positional arguments, a compensation, parallel steps of which some may fail."""

    def __init__(self) -> None:
        self.status = "pending"

    @workflow.run
    async def run(self, order_id: str) -> dict[str, Any]:
        self.status = "reserving"
        reserved = await workflow.execute_activity(
            reserve_inventory,
            order_id,
            ["tea", "cup"],
            start_to_close_timeout=TEN,
            retry_policy=RetryPolicy(maximum_attempts=5),
        )
        ended = await asyncio.gather(
            workflow.execute_activity(echo, reserved.order_id, start_to_close_timeout=TEN),
            workflow.execute_activity(fail, "Mail", start_to_close_timeout=TEN),
            return_exceptions=True,
        )
        self.status = "completed"
        return {"items": reserved.items, "ended": [type(e).__name__ for e in ended], "status": self.status}

    @workflow.query
    def get_status(self) -> str:
        return self.status


async def test_a_tutorials_workflow(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[Fulfilment], activities=[reserve_inventory, echo, fail]):
        handle = await client.start_workflow(Fulfilment.run, "o1", id=queue, task_queue=queue)
        assert await handle.result() == {
            "items": ["tea", "cup"],
            "ended": ["str", "ActivityError"],
            "status": "completed",
        }
        assert await handle.query(Fulfilment.get_status) == "completed"


@workflow.defn(name="Fulfilment")
class Changed:
    @workflow.run
    async def run(self, order_id: str) -> None:
        await workflow.sleep(1)


async def test_changed_code_is_told_what_it_changed_and_where(client: Client, queue: str) -> None:
    activities: list[Any] = [reserve_inventory, echo, fail]
    async with Worker(client, task_queue=queue, workflows=[Fulfilment], activities=activities):
        handle = await client.start_workflow(Fulfilment.run, "o1", id=queue, task_queue=queue)
        await handle.result()
    with pytest.raises(workflow.NondeterminismError) as caught:
        await Replayer(workflows=[Changed]).replay_workflow(await handle.fetch_history())
    assert "reserve_inventory" in str(caught.value)
    assert "TimerStarted" in str(caught.value)
    assert "test_workflows_end_to_end.py:" in str(caught.value)


@workflow.defn
class Patient:
    @workflow.run
    async def run(self) -> None:
        try:
            await workflow.sleep(3600)
        finally:
            # Cancellation is over for what is shielded or comes after.
            await workflow.execute_activity(echo, "clean up", start_to_close_timeout=TEN)


async def test_cancellation_ends_a_workflow_as_cancelled_after_its_clean_up(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[Patient], activities=[echo]):
        handle = await client.start_workflow(Patient.run, id=queue, task_queue=queue)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
        assert isinstance(caught.value.cause, CancelledError)
        names = [
            event.activity_task_scheduled_event_attributes.activity_type.name
            for event in (await handle.fetch_history()).events
            if event.activity_task_scheduled_event_attributes is not None
        ]
        # It may be cancelled before it sleeps; then the first await is where it notices.
        assert names in (["echo"], [])

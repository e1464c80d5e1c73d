"""Context variables of whoever starts a worker reach its activities and its codec."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from durably import activity, converter, workflow
from durably.client import Client
from durably.worker import Worker

TEN = timedelta(seconds=10)
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


@activity.defn
async def in_a_task() -> str:
    before = tenant.get()
    tenant.set("changed by an activity")
    return before


@activity.defn
def in_a_thread() -> str:
    activity.heartbeat("details go through the codec")
    before = tenant.get()
    tenant.set("changed by an activity")
    return before


@workflow.defn
class Asks:
    @workflow.run
    async def run(self) -> list[str]:
        return [
            await workflow.execute_activity(kind, start_to_close_timeout=TEN)
            for kind in ("in_a_task", "in_a_thread", "in_a_task", "in_a_thread")
        ]


async def test_activities_see_the_context_in_which_the_worker_starts(client: Client, queue: str) -> None:
    tenant.set("of the test")
    worker = Worker(client, task_queue=queue, workflows=[Asks], activities=[in_a_task, in_a_thread])
    tenant.set("of the worker")
    async with worker:
        tenant.set("later")
        assert await client.execute_workflow(Asks.run, id=queue, task_queue=queue) == ["of the worker"] * 4


async def test_two_workers_of_one_loop_have_each_their_own(client: Client, queue: str) -> None:
    def context_of(name: str) -> contextvars.Context:
        context = contextvars.copy_context()
        context.run(tenant.set, name)
        return context

    async def ask(name: str) -> list[str]:
        mine = queue + name
        async with Worker(client, task_queue=mine, workflows=[Asks], activities=[in_a_task, in_a_thread]):
            return await client.execute_workflow(Asks.run, id=mine, task_queue=mine)

    loop = asyncio.get_running_loop()
    tasks = [context_of(name).run(loop.create_task, ask(name)) for name in ("a", "b")]
    assert await asyncio.gather(*tasks) == [["a"] * 4, ["b"] * 4]


class Notes(converter.PayloadCodec):
    """Notes in which context it is asked."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    async def encode(self, payloads: Sequence[Any]) -> list[Any]:
        self.seen.add(tenant.get())
        return list(payloads)

    async def decode(self, payloads: Sequence[Any]) -> list[Any]:
        self.seen.add(tenant.get())
        return list(payloads)


async def test_the_codec_sees_it_too(client: Client, queue: str) -> None:
    codec = Notes()
    coded = Client(
        client.service_client,
        namespace=client.namespace,
        data_converter=dataclasses.replace(converter.DataConverter.default, payload_codec=codec),
    )
    tenant.set("of the worker")
    async with Worker(coded, task_queue=queue, workflows=[Asks], activities=[in_a_task, in_a_thread]):
        await client.execute_workflow(Asks.run, id=queue, task_queue=queue)
    # An async activity's result is encoded where the activity ran.
    assert codec.seen == {"of the worker", "changed by an activity"}

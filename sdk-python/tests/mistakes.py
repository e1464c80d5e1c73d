"""Tests of somebody who makes one mistake in each. All of them fail; `test_mistakes.py` sees to it that they do so at once,
with a sentence that says why and where."""

import asyncio
import socket
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from durably import activity, workflow
from durably.testing import WorkflowEnvironment
from durably.worker import Worker

TEN = timedelta(seconds=10)


@dataclass
class Order:
    item: str
    count: int


@activity.defn
async def charge(amount: int) -> str:
    return f"charged {amount}"


@activity.defn
async def ship(order: Order) -> str:
    return order.item


@activity.defn
async def decline(amount: int) -> str:
    raise ValueError(f"no card takes {amount}")


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


async def run(env: WorkflowEnvironment, kind: Any, *args: Any, activities: Any = (charge, ship, decline)) -> Any:
    """Runs the workflow with a worker for it."""
    queue = str(uuid.uuid4())
    async with Worker(env.client, task_queue=queue, workflows=[kind], activities=activities):
        return await env.client.execute_workflow(kind.run, *args, id="order", task_queue=queue)


@workflow.defn
class Typo:
    @workflow.run
    async def run(self) -> str:
        return await workflow.exceute_activity(charge, 5, start_to_close_timeout=TEN)


async def test_typo(env: WorkflowEnvironment) -> None:
    await run(env, Typo)


@workflow.defn
class UnknownName:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(chrage, 5, start_to_close_timeout=TEN)  # noqa: F821


async def test_unknown_name(env: WorkflowEnvironment) -> None:
    await run(env, UnknownName)


@workflow.defn
class UnknownField:
    @workflow.run
    async def run(self, order: Order) -> int:
        return order.amount


async def test_unknown_field(env: WorkflowEnvironment) -> None:
    await run(env, UnknownField, Order("a", 1))


@workflow.defn
class NothingThere:
    @workflow.run
    async def run(self) -> str:
        prices = {"pen": 1}
        return prices["pencil"]


async def test_missing_key(env: WorkflowEnvironment) -> None:
    await run(env, NothingThere)


@workflow.defn
class AddsNone:
    @workflow.run
    async def run(self) -> int:
        found = {"pen": 1}.get("pencil")
        return found + 1


async def test_adds_none(env: WorkflowEnvironment) -> None:
    await run(env, AddsNone)


@workflow.defn
class Asserts:
    @workflow.run
    async def run(self) -> None:
        assert workflow.info().attempt == 2, "the second attempt"


async def test_asserts(env: WorkflowEnvironment) -> None:
    await run(env, Asserts)


@workflow.defn
class NoTimeout:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(charge, 5)


async def test_no_timeout(env: WorkflowEnvironment) -> None:
    await run(env, NoTimeout)


@workflow.defn
class Loops:
    @workflow.run
    async def run(self) -> None:
        left = 5
        while left > 0:
            pass


async def test_endless_loop(env: WorkflowEnvironment) -> None:
    await run(env, Loops)


@workflow.defn
class Locks:
    @workflow.run
    async def run(self) -> None:
        with (lock := threading.Lock()), lock:
            pass


async def test_lock(env: WorkflowEnvironment) -> None:
    await run(env, Locks)


@workflow.defn
class Blocks:
    @workflow.run
    async def run(self) -> None:
        time.sleep(60)  # tidy-allow: sleep: it is the mistake


async def test_blocking_call(env: WorkflowEnvironment) -> None:
    await run(env, Blocks)


@workflow.defn
class Recurses:
    @workflow.run
    async def run(self) -> int:
        return self.depth(0)

    def depth(self, at: int) -> int:
        return self.depth(at + 1)


async def test_recursion(env: WorkflowEnvironment) -> None:
    await run(env, Recurses)


@workflow.defn
class Connects:
    @workflow.run
    async def run(self) -> None:
        socket.create_connection(("127.0.0.1", 9))


async def test_socket(env: WorkflowEnvironment) -> None:
    await run(env, Connects)


@workflow.defn
class Fetches:
    @workflow.run
    async def run(self) -> bytes:
        return urllib.request.urlopen("http://127.0.0.1:9/").read()


async def test_http(env: WorkflowEnvironment) -> None:
    await run(env, Fetches)


@workflow.defn
class Spawns:
    @workflow.run
    async def run(self) -> None:
        subprocess.run(["true"], check=True)


async def test_subprocess(env: WorkflowEnvironment) -> None:
    await run(env, Spawns)


@workflow.defn
class Threads:
    @workflow.run
    async def run(self) -> None:
        await asyncio.to_thread(threading.get_ident)


async def test_thread(env: WorkflowEnvironment) -> None:
    await run(env, Threads)


@workflow.defn
class Charges:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(charge, 5, start_to_close_timeout=TEN)


async def test_activity_not_registered(env: WorkflowEnvironment) -> None:
    await run(env, Charges, activities=[ship])


async def test_worker_without_activities(env: WorkflowEnvironment) -> None:
    await run(env, Charges, activities=[])


@workflow.defn
class ChargesByName:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity("chrage", 5, start_to_close_timeout=TEN)


async def test_activity_name_misspelled(env: WorkflowEnvironment) -> None:
    await run(env, ChargesByName)


@workflow.defn
class ChargesElsewhere:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(charge, 5, start_to_close_timeout=TEN, task_queue="payments")


async def test_activity_on_another_queue(env: WorkflowEnvironment) -> None:
    await run(env, ChargesElsewhere)


async def test_workflow_on_another_queue(env: WorkflowEnvironment) -> None:
    async with Worker(env.client, task_queue="orders", workflows=[Charges], activities=[charge]):
        await env.client.execute_workflow(Charges.run, id="order", task_queue="order")


async def test_no_worker(env: WorkflowEnvironment) -> None:
    await env.client.execute_workflow(Charges.run, id="order", task_queue="orders")


async def test_worker_has_stopped(env: WorkflowEnvironment) -> None:
    async with Worker(env.client, task_queue="orders", workflows=[Charges], activities=[charge]):
        pass
    handle = await env.client.start_workflow(Charges.run, id="order", task_queue="orders")
    await handle.result()


async def test_worker_without_workflows(env: WorkflowEnvironment) -> None:
    async with Worker(env.client, task_queue="orders", activities=[charge]):
        await env.client.execute_workflow(Charges.run, id="order", task_queue="orders")


async def test_workflow_type_unknown(env: WorkflowEnvironment) -> None:
    async with Worker(env.client, task_queue="orders", workflows=[Charges], activities=[charge]):
        await env.client.execute_workflow("Charge", id="order", task_queue="orders")


@workflow.defn
class Declines:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(decline, 5, start_to_close_timeout=TEN)


async def test_activity_always_fails(env: WorkflowEnvironment) -> None:
    await run(env, Declines)


@workflow.defn
class TakesOrder:
    @workflow.run
    async def run(self, order: Order) -> str:
        return order.item


async def test_argument_of_another_type(env: WorkflowEnvironment) -> None:
    await run(env, TakesOrder, {"item": "pen"})


async def test_argument_forgotten(env: WorkflowEnvironment) -> None:
    await run(env, TakesOrder)


@workflow.defn
class ReturnsObject:
    @workflow.run
    async def run(self) -> Any:
        return object()


async def test_result_without_json(env: WorkflowEnvironment) -> None:
    await run(env, ReturnsObject)


@workflow.defn
class SendsObject:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(charge, object(), start_to_close_timeout=TEN)


async def test_argument_without_json(env: WorkflowEnvironment) -> None:
    await run(env, SendsObject)


@workflow.defn
class ForgetsAwait:
    @workflow.run
    async def run(self) -> Any:
        return workflow.execute_activity(charge, 5, start_to_close_timeout=TEN)


async def test_await_forgotten(env: WorkflowEnvironment) -> None:
    await run(env, ForgetsAwait)


@workflow.defn
class SignalFails:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def add(self, count: int) -> None:
        self.total += count


async def test_signal_handler_fails(env: WorkflowEnvironment) -> None:
    async with Worker(env.client, task_queue="orders", workflows=[SignalFails]):
        handle = await env.client.start_workflow(SignalFails.run, id="order", task_queue="orders")
        await handle.signal(SignalFails.add, 1)
        await handle.result()


seen = 0


@workflow.defn
class Counts:
    @workflow.run
    async def run(self) -> None:
        global seen
        seen += 1
        if seen > 1:
            await workflow.execute_activity(charge, 5, start_to_close_timeout=TEN)
        await asyncio.sleep(60)


async def test_not_deterministic(env: WorkflowEnvironment) -> None:
    async with Worker(
        env.client, task_queue="orders", workflows=[Counts], activities=[charge], max_cached_workflows=0
    ):
        await env.client.execute_workflow(Counts.run, id="order", task_queue="orders")


async def test_query_without_worker(env: WorkflowEnvironment) -> None:
    handle = await env.client.start_workflow(Charges.run, id="order", task_queue="orders")
    await handle.query("state")


@workflow.defn
class Child:
    @workflow.run
    async def run(self, order: Order) -> str:
        return order.title


@workflow.defn
class ChildByWrongName:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_child_workflow("Chidl", Order("tea", 1))


async def test_child_name_misspelled(env: WorkflowEnvironment) -> None:
    await run(env, ChildByWrongName)


@workflow.defn
class ChildWithTooMuch:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_child_workflow(Child.run, args=["tea", 1])


async def test_child_with_too_many_arguments(env: WorkflowEnvironment) -> None:
    await run(env, ChildWithTooMuch)


@workflow.defn
class ChildWithAClass:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_child_workflow(Order, "tea")


async def test_child_that_is_no_workflow(env: WorkflowEnvironment) -> None:
    await run(env, ChildWithAClass)


@workflow.defn
class ChildGoesWrong:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_child_workflow(Child.run, Order("tea", 1))


async def test_child_with_a_mistake(env: WorkflowEnvironment) -> None:
    async with Worker(env.client, task_queue="orders", workflows=[ChildGoesWrong, Child]):
        await env.client.execute_workflow(ChildGoesWrong.run, id="order", task_queue="orders")


@workflow.defn
class ChildWithoutWorker:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_child_workflow(Child.run, Order("tea", 1), task_queue="oders")


async def test_child_on_a_queue_without_worker(env: WorkflowEnvironment) -> None:
    await run(env, ChildWithoutWorker)

"""Test environments: local, time-skipping, around a client; and activities without a server."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import TARGET

from durably import activity, workflow
from durably.client import Client, WorkflowFailureError
from durably.exceptions import CancelledError, TimeoutError
from durably.testing import ActivityEnvironment, WorkflowEnvironment
from durably.worker import Worker

pytestmark = pytest.mark.skipif(not TARGET.startswith("embedded"), reason="environments bring their own server")


@activity.defn
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow.defn
class Patient:
    """Sleeps for days, then greets."""

    def __init__(self) -> None:
        self.woken = False

    @workflow.run
    async def run(self, name: str, days: float) -> str:
        try:
            await workflow.wait_condition(lambda: self.woken, timeout=timedelta(days=days))
        except asyncio.TimeoutError:
            pass
        return await workflow.execute_activity(greet, name, start_to_close_timeout=timedelta(seconds=10))

    @workflow.signal
    def wake(self) -> None:
        self.woken = True

    @workflow.query
    def time(self) -> str:
        return workflow.now().isoformat()


async def test_a_month_passes_while_a_result_is_awaited() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        assert env.supports_time_skipping
        before = await env.get_current_time()
        async with Worker(env.client, task_queue="q", workflows=[Patient], activities=[greet]):
            assert (
                await env.client.execute_workflow(Patient.run, args=["you", 30.0], id="w", task_queue="q")
                == "hello you"
            )
            assert timedelta(days=30) <= await env.get_current_time() - before < timedelta(days=30, minutes=5)


async def test_time_stands_still_while_nobody_waits_and_sleep_moves_it() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        async with Worker(env.client, task_queue="q", workflows=[Patient], activities=[greet]):
            before = await env.get_current_time()
            handle = await env.start_workflow(Patient.run, args=["you", 10.0], task_queue="q")
            begun = datetime.fromisoformat(await handle.query("time"))
            assert begun - before < timedelta(minutes=5)
            await env.sleep(timedelta(days=9))
            assert (await handle.describe()).close_time is None
            await env.sleep(2 * 86400)
            assert await handle.result() == "hello you"
            assert await env.get_current_time() - before < timedelta(days=12)


async def test_results_awaited_at_once_share_the_clock() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        async with Worker(env.client, task_queue="q", workflows=[Patient], activities=[greet]):
            handles = [await env.start_workflow(Patient.run, args=[str(n), n + 1.0], task_queue="q") for n in range(5)]
            before = await env.get_current_time()
            results = await asyncio.gather(*(handle.result() for handle in handles), env.sleep(3600))
            assert results[:5] == [f"hello {n}" for n in range(5)]
            assert await env.get_current_time() - before < timedelta(days=5, minutes=5)


async def test_automatic_skipping_can_be_turned_off() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        async with Worker(env.client, task_queue="q", workflows=[Patient], activities=[greet]):
            before = await env.get_current_time()
            with env.auto_time_skipping_disabled():
                handle = await env.start_workflow(Patient.run, args=["you", 10.0], task_queue="q")
                waiting = asyncio.create_task(handle.result())
                await handle.signal(Patient.wake)
                assert await waiting == "hello you"
            assert await env.get_current_time() - before < timedelta(minutes=5)


async def test_a_copy_of_the_environments_client_skips_time_as_well() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        copy = Client(**env.client.config())
        async with Worker(copy, task_queue="q", workflows=[Patient], activities=[greet]):
            assert await copy.execute_workflow(Patient.run, args=["you", 30.0], id="w", task_queue="q") == "hello you"


async def test_an_activity_sleeps_by_the_environments_clock() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:

        @activity.defn(name="greet")
        async def late(name: str) -> str:
            await env.sleep(5)
            return f"late {name}"

        assert await env.execute_workflow(Patient.run, args=["you", 3.0], activities=[late]) == "late you"


async def test_time_outs_fire_in_skipped_time() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        async with Worker(env.client, task_queue="q", workflows=[Patient], activities=[greet]):
            options = {"task_queue": "q", "run_timeout": timedelta(days=365)}
            handle = await env.start_workflow(Patient.run, args=["you", 10_000.0], **options)
            with pytest.raises(WorkflowFailureError) as failed:
                await handle.result()
        assert isinstance(failed.value.cause, TimeoutError)


async def test_local_environment(tmp_path: Path) -> None:
    async with await WorkflowEnvironment.start_local(ui=True, dev_server_extra_args=["--x"]) as env:
        assert not env.supports_time_skipping
        assert abs(await env.get_current_time() - datetime.now(timezone.utc)) < timedelta(minutes=1)
        async with Worker(env.client, task_queue="q", workflows=[Patient], activities=[greet]):
            handle = await env.start_workflow(Patient.run, args=["you", 10.0], task_queue="q", start_signal="wake")
            assert await handle.result() == "hello you"
    with pytest.raises(TypeError, match="unexpected keyword argument 'prot'"):
        await WorkflowEnvironment.start_local(prot=1)


async def test_local_environment_with_namespace_port_and_file(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    async with await WorkflowEnvironment.start_local(
        namespace="mine", dev_server_database_filename=state, port=0
    ) as env:
        assert env.client.namespace == "mine"
        await env.client.start_workflow("X", id="w", task_queue="q")
    async with await Client.connect(f"embedded:{state}", namespace="mine") as client:
        assert (await client.get_workflow_handle("w").describe()).workflow_type == "X"


async def test_execute_workflow_needs_nothing_else() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        assert await env.execute_workflow(Patient.run, args=["you", 3.0]) == "hello you"

        @activity.defn(name="greet")
        async def mock(name: str) -> str:
            return f"mocked {name}"

        assert await env.execute_workflow(Patient.run, args=["you", 3.0], activities=[mock]) == "mocked you"
        with pytest.raises(ValueError, match="needs a task_queue"):
            await env.execute_workflow("Patient")


@workflow.defn
class Asks:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_child_workflow(Patient.run, args=[name, 3.0])


async def test_execute_workflow_has_the_children_too() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        assert await env.execute_workflow(Asks.run, "you") == "hello you"

        @workflow.defn(name="Patient")
        class Mock:
            @workflow.run
            async def run(self, name: str, days: float) -> str:
                return f"mocked {name}"

        assert await env.execute_workflow(Asks.run, "you", workflows=[Mock]) == "mocked you"


async def test_from_client(client: Client) -> None:
    async with WorkflowEnvironment.from_client(client) as env:
        assert env.client is client and not env.supports_time_skipping
        await env.sleep(0)
        with env.auto_time_skipping_disabled():
            pass
    # The client was given, so it stays open.
    assert await client.service_client.check_health()


# -- Activities without a server


async def test_activity_environment_async() -> None:
    beats: list[object] = []
    begun = asyncio.Event()

    @activity.defn
    async def work(text: str) -> str:
        activity.heartbeat(text, activity.info().activity_id)
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            assert details is not None and details.cancel_requested and activity.is_cancelled()
            return "cancelled"
        return "never"

    env = ActivityEnvironment()
    env.on_heartbeat = lambda *details: beats.append(details)
    running = asyncio.ensure_future(env.run(work, "x"))
    await begun.wait()
    env.cancel()
    assert await running == "cancelled" and beats == [("x", "test")]
    assert not activity.in_activity()


def test_activity_environment_sync() -> None:
    @activity.defn
    def add(a: int, b: int) -> int:
        assert activity.in_activity() and not activity.is_worker_shutdown()
        return a + b

    assert ActivityEnvironment().run(add, 1, 2) == 3


def test_activity_environment_cancels_threads() -> None:
    env = ActivityEnvironment()
    begun = threading.Event()

    @activity.defn
    def spins() -> str:
        begun.set()
        try:
            while True:
                activity.wait_for_worker_shutdown_sync(0.01)
        except CancelledError:
            return "cancelled"

    @activity.defn
    def waits() -> bool:
        begun.set()
        activity.wait_for_worker_shutdown_sync(60)
        return activity.is_worker_shutdown()

    results: list[object] = []
    for fn, act in ((spins, env.cancel), (waits, ActivityEnvironment.worker_shutdown)):
        begun.clear()
        env = env if fn is spins else ActivityEnvironment()
        thread = threading.Thread(target=lambda: results.append(env.run(fn)))  # noqa: B023
        thread.start()
        begun.wait()
        act() if fn is spins else env.worker_shutdown()  # type: ignore[call-arg]
        thread.join(30)
    assert results == ["cancelled", True]


def test_activity_environment_refuses_undecorated_functions() -> None:
    with pytest.raises(TypeError, match="decorated with @activity.defn"):
        ActivityEnvironment().run(lambda: None)

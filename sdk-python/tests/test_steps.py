"""A step of a workflow that doesn't return: it is ended, and the rest of the process doesn't notice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from durably import activity, workflow
from durably.api.enums.v1 import EventType
from durably.client import Client, WorkflowHandle
from durably.service import RPCError
from durably.testing import WorkflowEnvironment
from durably.worker import Worker, _steps

TEN = timedelta(seconds=10)

stuck = threading.Event()
release = threading.Event()
ended = threading.Event()


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_steps, "RELIEF", 0.05)
    monkeypatch.setattr(_steps, "LIMIT", 0.3)
    for event in (stuck, release, ended):
        event.clear()
    yield
    release.set()


@workflow.defn
class Sticks:
    @workflow.run
    async def run(self, how: str) -> str:
        if stuck.is_set():
            return "fixed"
        stuck.set()
        try:
            await getattr(self, how)()
        finally:
            ended.set()
        return "got through"

    async def compute(self) -> None:
        while True:
            pass

    async def turn(self) -> None:
        while True:
            await asyncio.sleep(0)

    async def ask(self) -> None:
        """The condition never lets go."""

        def never() -> bool:
            while True:
                pass

        await workflow.wait_condition(never)

    async def alternate(self) -> None:
        """Each condition makes the other one true."""
        turn = 0

        async def wait_for(mine: int) -> None:
            nonlocal turn
            while True:
                await workflow.wait_condition(lambda: turn == mine)
                turn = 1 - mine

        await asyncio.gather(wait_for(0), wait_for(1))

    async def cancel_for_ever(self) -> None:
        """As anyio's cancel scopes do, with an activity that hears of it only in the next activation."""
        task = asyncio.ensure_future(workflow.execute_activity(note, start_to_close_timeout=TEN))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()

        def deliver() -> None:
            if not task.done():
                task.cancel()
                loop.call_soon(deliver)

        deliver()
        await asyncio.wait([task])

    async def swallow(self) -> None:
        while not release.is_set():
            try:
                while not release.is_set():
                    pass
            except BaseException:
                continue

    async def block(self) -> None:
        """In a call into C, which no exception reaches."""
        with workflow.unsafe.sandbox_unrestricted():
            release.wait()


@workflow.defn
class Fine:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity(note, start_to_close_timeout=TEN, heartbeat_timeout=TEN)


@activity.defn
async def note() -> int:
    activity.heartbeat()
    return activity.info().attempt


async def failed_task(handle: WorkflowHandle[Any, Any]) -> Any:
    """The failure of the first workflow task that failed."""
    async for event in handle.fetch_history_events(wait_new_event=True):
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            return event.workflow_task_failed_event_attributes.failure
    raise AssertionError("the run ended without a failed task")


HOWS = ["compute", "turn", "ask", "alternate", "cancel_for_ever", "swallow", "block"]


@pytest.mark.parametrize("how", HOWS)
async def test_a_step_without_end_is_cut_off_and_harms_nobody(client: Client, queue: str, how: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[Sticks, Fine], activities=[note]):
        handle = await client.start_workflow(Sticks.run, how, id=queue, task_queue=queue)
        failure = asyncio.create_task(failed_task(handle))
        attempts = 0
        while not failure.done():
            assert await client.execute_workflow(Fine.run, id=f"{queue}-{attempts}", task_queue=queue) == 1
            attempts += 1
        assert "Potential deadlock" in failure.result().message
        if how not in ("turn", "alternate", "cancel_for_ever"):
            # Those are as often between two pieces of the user's code as in one.
            assert f"in Sticks.{how}" in failure.result().stack_trace
        assert f'File "{__file__}"' in failure.result().stack_trace
        assert attempts > 0
        release.set()
        assert await handle.result() == "fixed"
    assert ended.is_set()


@workflow.defn
class Computes:
    """Long, but within the limit, and on a thread that others don't wait for."""

    @workflow.run
    async def run(self) -> str:
        started.set()
        with workflow.unsafe.sandbox_unrestricted():
            release.wait()
        return "computed"


started = threading.Event()


async def test_others_do_not_wait_for_a_step_that_lasts(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_steps, "LIMIT", 60.0)
    started.clear()
    async with Worker(client, task_queue=queue, workflows=[Computes, Fine], activities=[note]):
        handle = await client.start_workflow(Computes.run, id=queue, task_queue=queue)
        while not started.is_set():
            await asyncio.sleep(0)
        # Ends only because another thread took over.
        assert await client.execute_workflow(Fine.run, id=f"{queue}-f", task_queue=queue) == 1
        release.set()
        assert await handle.result() == "computed"
        types = [event.event_type async for event in handle.fetch_history_events()]
    assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in types


async def test_a_worker_ends_though_a_step_does_not(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[Sticks]):
        handle = await client.start_workflow(Sticks.run, "block", id=queue, task_queue=queue)
        await failed_task(handle)
        await handle.terminate()
    assert not ended.is_set()


@workflow.defn
class InWhichThread:
    @workflow.run
    async def run(self) -> int:
        return threading.get_ident()


@pytest.mark.parametrize("debug_mode", [True, False])
async def test_with_debug_mode_workflows_run_in_the_workers_own_thread(
    client: Client, queue: str, debug_mode: bool
) -> None:
    async with Worker(client, task_queue=queue, workflows=[InWhichThread], debug_mode=debug_mode):
        ident = await client.execute_workflow(InWhichThread.run, id=queue, task_queue=queue)
    assert (ident == threading.get_ident()) == debug_mode


@workflow.defn
class Imports:
    @workflow.run
    async def run(self) -> int:
        import imported_slowly

        return int(imported_slowly.answer)


async def test_a_test_hears_of_a_step_early_and_waits_for_imports(
    queue: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_steps, "LIMIT", 60.0)
    monkeypatch.setattr(_steps, "TEST_LIMIT", 0.2)
    slow = "import time\nbegan = time.thread_time()\nwhile time.thread_time() < began + 0.6:\n    pass\nanswer = 5\n"
    (tmp_path / "imported_slowly.py").write_text(slow)
    monkeypatch.syspath_prepend(str(tmp_path))
    async with await WorkflowEnvironment.start_local() as env:
        async with Worker(env.client, task_queue=queue, workflows=[Imports, Sticks]):
            assert await env.client.execute_workflow(Imports.run, id=queue, task_queue=queue) == 5
            with pytest.raises(RPCError, match=r"within 0\.2 s\. .* Outside of tests it may take 60 s, .* fail_fast=False"):
                await env.client.execute_workflow(Sticks.run, "compute", id=f"{queue}-s", task_queue=queue)


async def test_a_test_hears_of_a_step_that_gets_no_processor(queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_steps, "LIMIT", 600.0)
    monkeypatch.setattr(_steps, "TEST_LIMIT", 600.0)
    monkeypatch.setattr(_steps, "LOST", 0.3)
    async with await WorkflowEnvironment.start_local() as env:
        async with Worker(env.client, task_queue=queue, workflows=[Sticks]):
            with pytest.raises(RPCError, match="Potential deadlock"):
                await env.client.execute_workflow(Sticks.run, "compute", id=queue, task_queue=queue)


def test_time_counts_only_if_the_thread_computed_or_waited() -> None:
    from durably.worker._watch import Meter

    if not hasattr(time, "pthread_getcpuclockid"):
        pytest.skip("no clocks of threads here")
    meter = Meter()
    meter.adopt_thread()
    assert meter.read(1, 5.0) == 0.0  # Seen for the first time: it may have begun just now.
    while meter.read(1, 1e-9) < 0.02:
        pass  # It computes, so that its own time counts.
    busy = meter.read(1, 1e-9)
    assert meter.read(1, 60.0) == pytest.approx(busy + 60.0)  # It did nothing in a minute: it waits.
    assert meter.read(2, 60.0) == 0.0

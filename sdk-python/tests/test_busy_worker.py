"""What workflows and activities of one worker do to each other; and how activities came here."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from durably import activity, workflow
from durably.client import Client
from durably.common import RetryPolicy
from durably.worker import Worker

SECOND = timedelta(seconds=1)
computed: set[str] = set()


# Of the computer's, also in a workflow: the limit of a step is in the same time.
thread_time = time.thread_time


def compute(seconds: float) -> None:
    """Computes for so long, whatever else the machine does."""
    began = thread_time()
    while thread_time() - began < seconds:
        total = 0
        for number in range(10_000):
            total ^= number


@workflow.defn
class Computes:
    def __init__(self) -> None:
        self.seconds = 0.0

    @workflow.signal
    def begin(self, seconds: float) -> None:
        self.seconds = seconds

    @workflow.run
    async def run(self) -> int:
        beats = workflow.start_activity(
            "beats",
            workflow.info().workflow_id,
            start_to_close_timeout=timedelta(seconds=60),
            heartbeat_timeout=SECOND,
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        await workflow.wait_condition(lambda: self.seconds > 0)
        compute(self.seconds)
        computed.add(workflow.info().workflow_id)
        attempt: int = await beats
        return attempt


async def test_an_activity_outlives_a_long_step_of_a_workflow(client: Client, queue: str) -> None:
    beating = asyncio.Event()

    @activity.defn
    async def beats(workflow_id: str) -> int:
        while workflow_id not in computed:
            activity.heartbeat()
            beating.set()
            await asyncio.sleep(0.05)
        return activity.info().attempt

    # Without a throttle, the server counts the time-out from the moment at which the step began.
    throttle = timedelta(seconds=0.05)
    async with Worker(
        client, task_queue=queue, workflows=[Computes], activities=[beats], max_heartbeat_throttle_interval=throttle
    ):
        handle = await client.start_workflow(Computes.run, id=queue, task_queue=queue)
        await beating.wait()
        await handle.signal(Computes.begin, 1.5)
        assert await handle.result() == 1


@workflow.defn
class AsksHowItCame:
    @workflow.run
    async def run(self) -> Any:
        return await workflow.execute_activity("is_local", start_to_close_timeout=10 * SECOND)


@pytest.mark.parametrize("polled", [False, True])
async def test_no_activity_that_the_server_handed_out_is_local(client: Client, queue: str, polled: bool) -> None:
    @activity.defn
    async def is_local() -> bool:
        return activity.info().is_local

    async with Worker(
        client,
        task_queue=queue,
        workflows=[AsksHowItCame],
        activities=[is_local],
        disable_eager_activity_execution=polled,
    ):
        assert await client.execute_workflow(AsksHowItCame.run, id=queue, task_queue=queue) is False


@workflow.defn
class Spinner:
    @workflow.run
    async def run(self) -> None:
        spin_until_reported()


reported = threading.Event()


def spin_until_reported() -> None:
    while not reported.is_set():
        pass


async def test_code_that_holds_up_the_loop_is_reported_with_its_place(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durably.worker._steps.LIMIT", 0.1)

    class Report(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "deadlock" in record.getMessage():
                reported.set()

    handler = Report()
    logging.getLogger("durably.worker").addHandler(handler)
    try:
        async with Worker(client, task_queue=queue, workflows=[Spinner]):
            await client.execute_workflow(Spinner.run, id=queue, task_queue=queue, task_timeout=timedelta(seconds=30))
    finally:
        logging.getLogger("durably.worker").removeHandler(handler)
    assert "spin_until_reported" in caplog.text and "move the work into an activity" in caplog.text

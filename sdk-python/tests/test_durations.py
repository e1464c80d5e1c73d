"""A duration is a timedelta or a number of seconds, wherever one is due."""

from __future__ import annotations

import asyncio
import inspect
from datetime import timedelta
from typing import Any

import pytest

from durably import activity, workflow
from durably.client import Client, WorkflowHandle
from durably.common import RetryPolicy
from durably.exceptions import ApplicationError
from durably.worker import Worker


@activity.defn
async def second_time() -> float:
    if activity.info().attempt == 1:
        raise ApplicationError("again", next_retry_delay=0.01)
    timeout = activity.info().start_to_close_timeout
    assert timeout is not None
    return timeout.total_seconds()


@workflow.defn
class Numbers:
    @workflow.run
    async def run(self) -> list[float]:
        policy = RetryPolicy(initial_interval=0.01, maximum_interval=5)
        timeout = await workflow.execute_activity(
            second_time, start_to_close_timeout=2.5, schedule_to_close_timeout=60, retry_policy=policy
        )
        await workflow.sleep(0.001)
        with pytest.raises(asyncio.TimeoutError):
            await workflow.wait_condition(lambda: False, timeout=0.001)
        info = workflow.info()
        assert info.run_timeout is not None and info.execution_timeout is not None
        return [timeout, info.run_timeout.total_seconds(), info.execution_timeout.total_seconds()]


@workflow.defn
class Texts:
    @workflow.run
    async def run(self, where: str) -> str:
        text: Any = "5s"
        calls = {
            "activity": lambda: workflow.execute_activity(second_time, start_to_close_timeout=text),
            "sleep": lambda: workflow.sleep(text),
            "condition": lambda: workflow.wait_condition(lambda: False, timeout=text),
            "continue": lambda: workflow.continue_as_new(run_timeout=text),
            "policy": lambda: RetryPolicy(initial_interval=text)._validate(),
        }
        try:
            await calls[where]()
        except TypeError as error:
            return str(error)
        return "accepted"


async def test_numbers_are_seconds(client: Client, queue: str) -> None:
    worker = Worker(
        client, task_queue=queue, workflows=[Numbers], activities=[second_time], graceful_shutdown_timeout=0.5
    )
    async with worker:
        handle: WorkflowHandle[Any, list[float]] = await client.start_workflow(
            Numbers.run,
            id=queue,
            task_queue=queue,
            execution_timeout=90,
            run_timeout=60,
            task_timeout=10,
            start_delay=0.01,
            rpc_timeout=30,
        )
        assert await handle.result(rpc_timeout=30) == [2.5, 60, 90]


@pytest.mark.parametrize("where", ["activity", "sleep", "condition", "continue", "policy"])
async def test_anything_else_is_refused_in_workflows(client: Client, queue: str, where: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[Texts], activities=[second_time]):
        said = await client.execute_workflow(Texts.run, where, id=queue, task_queue=queue)
    assert said == "a duration is a timedelta or a number of seconds, not str '5s'"


@pytest.mark.parametrize("option", ["execution_timeout", "run_timeout", "task_timeout", "start_delay", "rpc_timeout"])
async def test_anything_else_is_refused_by_the_client(client: Client, queue: str, option: str) -> None:
    options: dict[str, Any] = {option: "5s"}
    with pytest.raises(TypeError, match="a timedelta or a number of seconds, not str '5s'"):
        await client.start_workflow(Numbers.run, id=queue, task_queue=queue, **options)


def test_each_duration_of_a_worker_may_be_a_number() -> None:
    parameters = inspect.signature(Worker.__init__).parameters.values()
    durations = [one.annotation for one in parameters if isinstance(one.default, timedelta)]
    assert durations and set(durations) == {"timedelta | float"}

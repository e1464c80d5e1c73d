"""Chains of causes of any length: the activity, the run and its caller hear of them, and the run ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from durably import activity, workflow
from durably.client import Client, WorkflowFailureError
from durably.common import RetryPolicy
from durably.worker import Worker


def chained(depth: int) -> BaseException:
    error: BaseException = ValueError("root")
    for level in range(depth - 1):
        outer = RuntimeError(f"level {level}")
        outer.__cause__ = error
        error = outer
    return error


@activity.defn
async def fail_in_depth(depth: int) -> None:
    raise chained(depth)


@workflow.defn
class FailsInDepth:
    @workflow.run
    async def run(self, depth: int) -> None:
        await workflow.execute_activity(
            fail_in_depth,
            depth,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@pytest.mark.parametrize("depth", [1, 60, 94, 95, 96, 97, 98, 99, 100, 300])
async def test_a_chain_of_any_length_ends_its_run(client: Client, queue: str, depth: int) -> None:
    async with Worker(client, task_queue=queue, workflows=[FailsInDepth], activities=[fail_in_depth]):
        handle = await client.start_workflow(FailsInDepth.run, depth, id=f"{queue}-{depth}", task_queue=queue)
        with pytest.raises(WorkflowFailureError) as raised:
            await asyncio.wait_for(handle.result(), 30)
    messages = []
    error: BaseException | None = raised.value
    while error is not None:
        messages.append(str(error))
        error = error.__cause__
    if depth < 60:
        assert messages[-1].endswith("root")
    assert "root" in messages[-1]
    assert len(messages) <= 70

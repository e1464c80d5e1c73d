"""The replayer: histories that agree with the code, and histories that don't."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from durably import activity, workflow
from durably.client import Client, WorkflowHistory
from durably.worker import Replayer, Worker

TEN = timedelta(seconds=10)


@activity.defn
async def step(n: int) -> int:
    return n + 1


@workflow.defn(name="Steps")
class Steps:
    @workflow.run
    async def run(self, n: int) -> int:
        for _ in range(n):
            n = await workflow.execute_activity(step, n, start_to_close_timeout=TEN)
        return n


@workflow.defn(name="Steps")
class Changed:
    @workflow.run
    async def run(self, n: int) -> int:
        await workflow.sleep(1)
        return n


@workflow.defn(name="Steps")
class Broken:
    @workflow.run
    async def run(self, n: int) -> int:
        raise RuntimeError("broken code")


@pytest.fixture
async def histories(client: Client, queue: str) -> list[WorkflowHistory]:
    found = []
    async with Worker(client, task_queue=queue, workflows=[Steps], activities=[step]):
        for n in range(3):
            handle = await client.start_workflow(Steps.run, n, id=f"{queue}-{n}", task_queue=queue)
            await handle.result()
            found.append(await handle.fetch_history())
    return found


async def test_the_same_code_agrees(histories: list[WorkflowHistory]) -> None:
    replayer = Replayer(workflows=[Steps])
    for history in histories:
        result = await replayer.replay_workflow(WorkflowHistory.from_json(history.workflow_id, history.to_json()))
        assert result.replay_failure is None


async def test_changed_code_is_told_apart(histories: list[WorkflowHistory]) -> None:
    replayer = Replayer(workflows=[Changed])
    with pytest.raises(workflow.NondeterminismError, match="(?i)timer"):
        await replayer.replay_workflow(histories[2])
    result = await replayer.replay_workflow(histories[2], raise_on_replay_failure=False)
    assert isinstance(result.replay_failure, workflow.NondeterminismError)


async def test_failing_and_missing_code(histories: list[WorkflowHistory]) -> None:
    with pytest.raises(RuntimeError, match="broken code"):
        await Replayer(workflows=[Broken]).replay_workflow(histories[1])

    @workflow.defn
    class Other:
        @workflow.run
        async def run(self) -> None: ...

    with pytest.raises(RuntimeError, match="Steps is not registered"):
        await Replayer(workflows=[Other]).replay_workflow(histories[1])
    with pytest.raises(ValueError, match="At least one workflow"):
        Replayer(workflows=[])


async def test_many_histories(histories: list[WorkflowHistory]) -> None:
    async def stream() -> AsyncIterator[WorkflowHistory]:
        for history in histories:
            yield history

    results = await Replayer(workflows=[Steps]).replay_workflows(stream())
    assert results.replay_failures == {}
    results = await Replayer(workflows=[Changed]).replay_workflows(stream(), raise_on_replay_failure=False)
    assert set(results.replay_failures) >= {history.run_id for history in histories[1:]}
    with pytest.raises(workflow.NondeterminismError):
        await Replayer(workflows=[Changed]).replay_workflows(stream())


async def test_listed_workflows_can_be_replayed(client: Client, histories: list[Any]) -> None:
    query = " OR ".join(f"WorkflowId = '{history.workflow_id}'" for history in histories)
    listed = client.list_workflows(query).map_histories()
    results = await Replayer(workflows=[Steps]).replay_workflows(listed)
    assert results.replay_failures == {}

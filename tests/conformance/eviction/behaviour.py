"""A run that the worker has thrown out of its cache is rebuilt from its history and goes on with the same commands."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker


@activity.defn
async def double(n: int) -> int:
    """Something to remember."""
    return 2 * n


@workflow.defn
class Steps:
    def __init__(self) -> None:
        self.allowed = 0
        self.value = 1

    @workflow.signal
    def step(self) -> None:
        self.allowed += 1

    @workflow.query
    def current(self) -> int:
        return self.value

    @workflow.run
    async def run(self, steps: int) -> list[Any]:
        drawn = []
        for i in range(steps):
            await workflow.wait_condition(lambda: self.allowed > i)
            drawn.append(workflow.random().random())
            await workflow.sleep(0.01)
            self.value = await workflow.execute_activity(
                double, self.value, start_to_close_timeout=timedelta(minutes=1)
            )
        return [self.value, drawn, str(workflow.uuid4())]


async def check(env: Any) -> None:
    client: Client = env.client
    queue = f"{env.task_queue}-uncached"
    # With the smallest cache an SDK allows, and more runs than it holds, every task replays.
    runs = [
        await client.start_workflow(Steps.run, 3, id=env.new_id(), task_queue=queue) for _ in range(4)
    ]
    async with Worker(
        client, task_queue=queue, workflows=[Steps], activities=[double], max_cached_workflows=0, **env.worker_options
    ):
        for _ in range(3):
            await asyncio.gather(*(run.signal(Steps.step) for run in runs))
        results = await asyncio.gather(*(run.result() for run in runs))
        assert [value for value, _, _ in results] == [8] * 4
        assert len({name for _, _, name in results}) == 4, "each run draws its own"
        assert await runs[0].query(Steps.current) == 8

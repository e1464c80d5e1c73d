"""A run that continues as new: the result of the last run of the chain is the result; each run links to the next."""

from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus


@workflow.defn
class Chain:
    def __init__(self) -> None:
        self.carried: list[str] = []

    @workflow.signal
    def carry(self, value: str) -> None:
        self.carried.append(value)

    @workflow.run
    async def run(self, left: int, carried: list[str]) -> list[Any]:
        self.carried = [*carried, *self.carried]
        if left == 0:
            return [self.carried, workflow.info().continued_run_id is not None]
        await workflow.wait_condition(lambda: len(self.carried) > len(carried))
        workflow.continue_as_new(args=[left - 1, self.carried])


WORKFLOWS = [Chain]


async def check(env: Any) -> None:
    handle = await env.start(Chain.run, 2, [])
    await handle.signal(Chain.carry, "a")
    first = env.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)

    async def continued() -> bool:
        return (await first.describe()).status == WorkflowExecutionStatus.CONTINUED_AS_NEW

    await env.eventually(continued, "the first run has continued as new")
    # Without a run id, a signal goes to whichever run is open.
    await env.client.get_workflow_handle(handle.id).signal(Chain.carry, "b")
    assert await handle.result() == [["a", "b"], True]
    runs = [e async for e in first.fetch_history_events()]
    assert runs[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id

"""What operators do: describe, list with filters, count, terminate with a reason and details."""

from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import TerminatedError


@workflow.defn(name="conformance-waiter")
class Waiter:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


WORKFLOWS = [Waiter]


async def check(env: Any) -> None:
    handles = [await env.start(Waiter.run, memo={"number": i}) for i in range(3)]
    description = await handles[0].describe()
    assert description.id == handles[0].id and description.run_id == handles[0].first_execution_run_id
    assert description.status == WorkflowExecutionStatus.RUNNING and description.workflow_type == "conformance-waiter"
    assert description.task_queue == env.task_queue and description.close_time is None
    assert await description.memo() == {"number": 0}

    async def listed(query: str) -> set[str]:
        return {found.id async for found in env.client.list_workflows(query)}

    everything = {handle.id for handle in handles}
    queue = f"TaskQueue = '{env.task_queue}'"

    async def all_listed() -> bool:
        return await listed(queue) == everything

    await env.eventually(all_listed, "the list shows all three")
    assert await listed(f"{queue} AND WorkflowId = '{handles[1].id}'") == {handles[1].id}
    assert await listed(f"{queue} AND WorkflowType = 'conformance-waiter'") == everything
    assert await listed(f"{queue} AND ExecutionStatus = 'Completed'") == set()

    await handles[0].terminate("first detail", 2, reason="no longer needed")
    try:
        await handles[0].result()
    except WorkflowFailureError as error:
        assert isinstance(error.cause, TerminatedError) and "no longer needed" in str(error.cause), repr(error.cause)
    else:
        raise AssertionError("not terminated")
    closed = await handles[0].describe()
    assert closed.status == WorkflowExecutionStatus.TERMINATED and closed.close_time is not None

    async def one_terminated() -> bool:
        return await listed(f"{queue} AND ExecutionStatus = 'Terminated'") == {handles[0].id}

    await env.eventually(one_terminated, "the list shows the status")
    assert await listed(f"{queue} AND ExecutionStatus = 'Running'") == everything - {handles[0].id}
    count = await env.client.count_workflows(f"{queue} AND ExecutionStatus = 'Running'")
    assert count.count == 2, count
    for handle in handles[1:]:
        await handle.terminate()

"""Tests of the Python SDK's README: a workflow that is asked to change, refuses, and answers."""

# snippet: workflow
import pytest

from durably import workflow
from durably.client import WithStartWorkflowOperation, WorkflowUpdateFailedError
from durably.common import WorkflowIDConflictPolicy
from durably.exceptions import ApplicationError
from durably.testing import WorkflowEnvironment
from durably.worker import Worker


@workflow.defn
class Cart:
    def __init__(self) -> None:
        self.things: list[str] = []
        self.paid = False

    @workflow.update
    async def put(self, thing: str) -> int:  # may wait, call activities, and so on
        self.things.append(thing)
        return len(self.things)

    @put.validator
    def check_put(self, thing: str) -> None:  # may only read
        if thing in self.things:
            raise ApplicationError(f"there is {thing} already")

    @workflow.update
    def pay(self) -> list[str]:
        self.paid = True
        return self.things

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.paid and workflow.all_handlers_finished())
# end snippet


# snippet: test
async def test_a_cart() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        async with Worker(env.client, task_queue="test", workflows=[Cart]):
            handle = await env.client.start_workflow(Cart.run, id="cart", task_queue="test")
            assert await handle.execute_update(Cart.put, "milk") == 1
            assert await handle.execute_update(Cart.put, "bread", id="from the web page") == 2
            # Asked once more with the same id: the same answer, and no second bread.
            assert await handle.execute_update(Cart.put, "bread", id="from the web page") == 2
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await handle.execute_update(Cart.put, "milk")
            assert str(refused.value.cause) == "there is milk already"
            assert await handle.execute_update(Cart.pay) == ["milk", "bread"]
# end snippet


# snippet: with_start
async def test_a_cart_that_may_be_there() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        async with Worker(env.client, task_queue="test", workflows=[Cart]):
            for count, thing in enumerate(["milk", "bread"], start=1):
                start = WithStartWorkflowOperation(
                    Cart.run, id="cart", task_queue="test", id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
                )
                update = env.client.execute_update_with_start_workflow(Cart.put, thing, start_workflow_operation=start)
                assert await update == count
# end snippet

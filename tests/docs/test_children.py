"""Children as the Python SDK's README shows them: ten of them at a time, and a test in which one fails."""

# snippet: workflows
import asyncio

from durably import workflow
from durably.exceptions import ApplicationError, ChildWorkflowError
from durably.testing import WorkflowEnvironment


@workflow.defn
class Shipment:
    @workflow.run
    async def run(self, order: str) -> str:
        if order == "o-3":
            raise ApplicationError("out of stock")
        return f"{order} is on its way"


@workflow.defn
class Batch:
    @workflow.run
    async def run(self, orders: list[str]) -> list[str]:
        ten_at_a_time = asyncio.Semaphore(10)

        async def ship(order: str) -> str:
            async with ten_at_a_time:
                return await workflow.execute_child_workflow(Shipment.run, order, id=f"shipment-{order}")

        ended = await asyncio.gather(*(ship(order) for order in orders), return_exceptions=True)
        return [f"failed: {e.cause}" if isinstance(e, ChildWorkflowError) else str(e) for e in ended]
# end snippet


# snippet: test
async def test_a_batch_with_a_shipment_that_fails() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        ended = await env.execute_workflow(Batch.run, [f"o-{number}" for number in range(20)])
    assert ended[2:4] == ["o-2 is on its way", "failed: out of stock"]
# end snippet

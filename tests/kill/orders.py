"""The workflow of the kill test: activities in sequence and side by side, timers, and signals with items."""

import asyncio
from datetime import timedelta

from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.converter import default as default_converter

from temporalio import workflow

# Three in sequence, two side by side.
ACTIVITIES_PER_ORDER = 5
# Nothing is lost, so nothing needs to time out; a worker that the kill has cut off polls again by itself.
MINUTE = timedelta(minutes=10)
# An attempt whose completion never arrived is tried again after this.
ATTEMPT = timedelta(seconds=5)


@workflow.defn
class Order:
    """Doubles its number three times and collects its items."""

    def __init__(self) -> None:
        self.items: list[int] = []

    @workflow.signal
    def add(self, item: int) -> None:
        self.items.append(item)

    @workflow.run
    async def run(self, number: int, items: int) -> list[object]:
        value = await self.double(number)
        await workflow.sleep(0.05)
        value, _, _ = await asyncio.gather(self.double(value), self.double(1), self.double(2))
        await workflow.wait_condition(lambda: len(self.items) >= items)
        await workflow.sleep(0.05)
        value = await self.double(value)
        return [value, sorted(self.items)]

    async def double(self, number: int) -> int:
        result: int = await workflow.execute_activity(
            "double", number, start_to_close_timeout=ATTEMPT, schedule_to_close_timeout=MINUTE, result_type=int
        )
        return result


def signal_request(namespace: str, workflow_id: str, run_id: str, item: int) -> SignalWorkflowExecutionRequest:
    """The signal that adds `item`; its request id lets the server drop what a retry sends twice."""
    payloads = default_converter().payload_converter.to_payloads([item])
    return SignalWorkflowExecutionRequest(
        namespace=namespace,
        workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        signal_name="add",
        input=Payloads(payloads=payloads),
        request_id=f"{workflow_id}-{item}",
    )

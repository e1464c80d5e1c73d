"""A history read backwards, in pages, is the history read forwards, turned round."""

from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest


@workflow.defn
class Ticks:
    @workflow.run
    async def run(self, count: int) -> int:
        for _ in range(count):
            await workflow.sleep(0.01)
        return count


WORKFLOWS = [Ticks]


async def check(env: Any) -> None:
    handle = await env.start(Ticks.run, 5)
    await handle.result()
    forwards = [event.event_id async for event in handle.fetch_history_events()]
    assert forwards == list(range(1, len(forwards) + 1))
    backwards: list[int] = []
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=env.client.namespace,
        execution=WorkflowExecution(workflow_id=handle.id, run_id=handle.first_execution_run_id),
        maximum_page_size=4,
    )
    pages = 0
    while True:
        page = await env.client.workflow_service.get_workflow_execution_history_reverse(request)
        backwards += [event.event_id for event in page.history.events]
        pages += 1
        if not page.next_page_token:
            break
        request.next_page_token = page.next_page_token
    assert backwards == forwards[::-1], backwards
    assert pages > 1, pages

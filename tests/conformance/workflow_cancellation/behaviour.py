"""A cancellation reaches the workflow, which may tidy up, end as cancelled, or decline."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError


@activity.defn
async def tidy_up() -> str:
    """What has to happen even after a cancellation."""
    return "tidied up"


@workflow.defn
class Cancellable:
    def __init__(self) -> None:
        self.log: list[str] = []

    @workflow.query
    def seen(self) -> list[str]:
        return self.log

    @workflow.run
    async def run(self, decline: bool) -> list[str]:
        try:
            self.log.append("waiting")
            await workflow.sleep(3600)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            self.log.append(
                await workflow.execute_activity(tidy_up, start_to_close_timeout=timedelta(minutes=1))
            )
            if not decline:
                raise
        return self.log


WORKFLOWS = [Cancellable]
ACTIVITIES = [tidy_up]


async def check(env: Any) -> None:
    async def waits(handle: Any) -> None:
        async def waiting() -> bool:
            return await handle.query(Cancellable.seen) == ["waiting"]

        await env.eventually(waiting, "the workflow waits")

    handle = await env.start(Cancellable.run, False)
    await waits(handle)
    await handle.cancel()
    try:
        await handle.result()
    except WorkflowFailureError as error:
        assert isinstance(error.cause, CancelledError), repr(error.cause)
    else:
        raise AssertionError("not cancelled")
    assert (await handle.describe()).status == WorkflowExecutionStatus.CANCELED
    assert await handle.query(Cancellable.seen) == ["waiting", "cancelled", "tidied up"]

    handle = await env.start(Cancellable.run, True)
    await waits(handle)
    await handle.cancel()
    assert await handle.result() == ["waiting", "cancelled", "tidied up"]
    assert (await handle.describe()).status == WorkflowExecutionStatus.COMPLETED

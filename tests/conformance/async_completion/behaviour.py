"""An activity that ends elsewhere: completed or failed from outside, by task token and by ids."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.exceptions import ActivityError, ApplicationError

tokens: dict[str, asyncio.Future[bytes]] = {}


@activity.defn
async def elsewhere(key: str) -> str:
    """Hands its token to somebody else and leaves."""
    tokens[key].set_result(activity.info().task_token)
    activity.raise_complete_async()


@workflow.defn
class Waits:
    @workflow.run
    async def run(self, key: str) -> str:
        try:
            return await workflow.execute_activity(
                elsewhere, key, activity_id="elsewhere", start_to_close_timeout=timedelta(minutes=1)
            )
        except ActivityError as error:
            assert isinstance(error.cause, ApplicationError)
            return f"failed: {error.cause.message}"


WORKFLOWS = [Waits]
ACTIVITIES = [elsewhere]


async def check(env: Any) -> None:
    async def begin(key: str) -> tuple[Any, bytes]:
        tokens[key] = asyncio.get_running_loop().create_future()
        handle = await env.start(Waits.run, key)
        return handle, await tokens[key]

    handle, token = await begin("token")
    await env.client.get_async_activity_handle(task_token=token).heartbeat("half")
    await env.client.get_async_activity_handle(task_token=token).complete("by token")
    assert await handle.result() == "by token"

    handle, _ = await begin("ids")
    by_id = env.client.get_async_activity_handle(
        workflow_id=handle.id, run_id=handle.first_execution_run_id, activity_id="elsewhere"
    )
    await by_id.complete("by ids")
    assert await handle.result() == "by ids"

    handle, token = await begin("failed")
    failure = ApplicationError("not today", non_retryable=True)
    await env.client.get_async_activity_handle(task_token=token).fail(failure)
    assert await handle.result() == "failed: not today"

"""A workflow's own time-outs and retry policy: run and execution time-out, retries with their attempt number."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, TimeoutError


@workflow.defn
class Forever:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(3600)


@workflow.defn
class Retried:
    @workflow.run
    async def run(self, lucky: int) -> int:
        attempt = workflow.info().attempt
        if attempt < lucky:
            raise ApplicationError(f"attempt {attempt}", attempt, type="Unlucky")
        return attempt


WORKFLOWS = [Forever, Retried]


async def failure_of(handle: Any) -> Any:
    try:
        await handle.result()
    except WorkflowFailureError as error:
        return error.cause
    raise AssertionError("the workflow has not failed")


async def check(env: Any) -> None:
    for option in ["run_timeout", "execution_timeout"]:
        handle = await env.start(Forever.run, **{option: timedelta(seconds=1)})
        cause = await failure_of(handle)
        assert isinstance(cause, TimeoutError), repr(cause)
        assert (await handle.describe()).status == WorkflowExecutionStatus.TIMED_OUT

    policy = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=3)
    assert await env.execute(Retried.run, 3, retry_policy=policy) == 3
    handle = await env.start(Retried.run, 9, retry_policy=policy)
    cause = await failure_of(handle)
    assert isinstance(cause, ApplicationError) and cause.type == "Unlucky" and list(cause.details) == [3], repr(cause)
    assert (await handle.describe()).status == WorkflowExecutionStatus.FAILED

"""A failing activity is tried again by its retry policy, and what its last failure says reaches the workflow."""

from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, RetryState

MINUTE = timedelta(minutes=1)
QUICK = timedelta(milliseconds=10)


@activity.defn
async def third_time_lucky() -> int:
    """Fails in its first two attempts."""
    attempt = activity.info().attempt
    if attempt < 3:
        raise ApplicationError(f"attempt {attempt}", type="Unlucky")
    return attempt


@activity.defn
async def refuse(kind: str, non_retryable: bool) -> None:
    """Fails in every attempt."""
    raise ApplicationError("refused", activity.info().attempt, type=kind, non_retryable=non_retryable)


@activity.defn
async def ask_for_later() -> str:
    """Names the delay of its next attempt itself."""
    if activity.info().attempt == 1:
        raise ApplicationError("later", next_retry_delay=QUICK)
    return "done"


@workflow.defn
class Lucky:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity(
            third_time_lucky, start_to_close_timeout=MINUTE, retry_policy=RetryPolicy(initial_interval=QUICK)
        )


@workflow.defn
class Refused:
    @workflow.run
    async def run(self, kind: str, non_retryable: bool) -> list[Any]:
        policy = RetryPolicy(initial_interval=QUICK, maximum_attempts=3, non_retryable_error_types=["Listed"])
        try:
            await workflow.execute_activity(
                refuse, args=[kind, non_retryable], start_to_close_timeout=MINUTE, retry_policy=policy
            )
        except ActivityError as error:
            cause = error.cause
            assert isinstance(cause, ApplicationError) and cause.message == "refused" and cause.type == kind
            assert error.activity_type == "refuse"
            assert error.retry_state is not None
            return [cause.details[0], error.retry_state.name]
        raise AssertionError("the activity has not failed")


@workflow.defn
class Later:
    @workflow.run
    async def run(self) -> str:
        # An hour by policy: only the delay that the failure asks for lets this end in time.
        policy = RetryPolicy(initial_interval=timedelta(hours=1))
        return await workflow.execute_activity(ask_for_later, start_to_close_timeout=MINUTE, retry_policy=policy)


WORKFLOWS = [Lucky, Refused, Later]
ACTIVITIES = [third_time_lucky, refuse, ask_for_later]


async def check(env: Any) -> None:
    assert await env.execute(Lucky.run) == 3
    assert await env.execute(Refused.run, "Plain", False) == [3, RetryState.MAXIMUM_ATTEMPTS_REACHED.name]
    assert await env.execute(Refused.run, "Plain", True) == [1, RetryState.NON_RETRYABLE_FAILURE.name]
    assert await env.execute(Refused.run, "Listed", False) == [1, RetryState.NON_RETRYABLE_FAILURE.name]
    assert await env.execute(Later.run) == "done"

"""What an attempt has recorded with a heartbeat is what the next attempt resumes from."""

from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError


@activity.defn
async def count_to(goal: int) -> list[int]:
    """Counts on from where the attempt before it got to; each attempt gets two further."""
    done = list(activity.info().heartbeat_details)
    position = int(done[0]) if done else 0
    for position in range(position + 1, goal + 1):
        activity.heartbeat(position, "so far")
        if position % 2 == 0 and position < goal:
            raise ApplicationError(f"stumbled at {position}")
    return [position, activity.info().attempt]


@workflow.defn
class Counting:
    @workflow.run
    async def run(self, goal: int) -> list[int]:
        return await workflow.execute_activity(
            count_to,
            goal,
            start_to_close_timeout=timedelta(minutes=1),
            heartbeat_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10)),
        )


WORKFLOWS = [Counting]
ACTIVITIES = [count_to]


async def check(env: Any) -> None:
    assert await env.execute(Counting.run, 6) == [6, 3]

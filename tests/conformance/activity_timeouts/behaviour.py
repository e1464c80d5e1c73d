"""Each of an activity's four time-outs fires when it should, and the error says which one it was."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, TimeoutError

MINUTE = timedelta(minutes=1)
BRIEF = timedelta(milliseconds=400)
ONCE = RetryPolicy(maximum_attempts=1)


@activity.defn
async def hang() -> None:
    """Never ends by itself."""
    await asyncio.Event().wait()


@workflow.defn
class TimesOut:
    @workflow.run
    async def run(self, which: str, nowhere: str) -> str:
        options: dict[str, Any] = {
            "START_TO_CLOSE": {"start_to_close_timeout": BRIEF, "retry_policy": ONCE},
            "SCHEDULE_TO_CLOSE": {"schedule_to_close_timeout": BRIEF},
            "SCHEDULE_TO_START": {
                "schedule_to_start_timeout": BRIEF,
                "start_to_close_timeout": MINUTE,
                "task_queue": nowhere,
            },
            "HEARTBEAT": {"heartbeat_timeout": BRIEF, "start_to_close_timeout": MINUTE, "retry_policy": ONCE},
        }[which]
        try:
            await workflow.execute_activity(hang, **options)
        except ActivityError as error:
            assert isinstance(error.cause, TimeoutError) and error.cause.type is not None, repr(error.cause)
            return error.cause.type.name
        return "no time-out"


WORKFLOWS = [TimesOut]
ACTIVITIES = [hang]


async def check(env: Any) -> None:
    nowhere = f"{env.task_queue}-without-worker"
    for which in ["START_TO_CLOSE", "SCHEDULE_TO_START", "HEARTBEAT"]:
        assert await env.execute(TimesOut.run, which, nowhere) == which
    # The attempt that it cut off ends by its start-to-close time-out, which is bounded by the same deadline.
    assert await env.execute(TimesOut.run, "SCHEDULE_TO_CLOSE", nowhere) in ("SCHEDULE_TO_CLOSE", "START_TO_CLOSE")

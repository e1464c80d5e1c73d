"""Cancelling an activity: before it starts, while it runs and heartbeats, and with the three ways of waiting."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.exceptions import ActivityError, CancelledError

MINUTE = timedelta(minutes=1)


@activity.defn
async def until_cancelled() -> str:
    """Heartbeats until it is told to stop, and takes a moment to tidy up."""
    try:
        while True:
            activity.heartbeat()
            # tidy-allow: sleep: a long-running activity that works in small steps
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        activity.heartbeat("stopped")
        raise


@activity.defn
async def finish_anyway() -> str:
    """Hears of the cancellation and completes all the same."""
    try:
        while True:
            activity.heartbeat()
            # tidy-allow: sleep: a long-running activity that works in small steps
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        return "finished"


@workflow.defn
class Cancels:
    def __init__(self) -> None:
        self.stop = False

    @workflow.signal
    def enough(self) -> None:
        self.stop = True

    @workflow.run
    async def run(self, name: str, how: str, queue: str) -> str:
        handle = workflow.start_activity(
            name,
            task_queue=queue or None,
            start_to_close_timeout=MINUTE,
            heartbeat_timeout=timedelta(seconds=1),
            cancellation_type=workflow.ActivityCancellationType[how],
        )
        await workflow.wait_condition(lambda: self.stop)
        handle.cancel()
        try:
            return str(await handle)
        except ActivityError as error:
            assert isinstance(error.cause, CancelledError), repr(error.cause)
            return "cancelled"


WORKFLOWS = [Cancels]
ACTIVITIES = [until_cancelled, finish_anyway]


async def check(env: Any) -> None:
    for name, how, expected in [
        ("until_cancelled", "WAIT_CANCELLATION_COMPLETED", "cancelled"),
        ("finish_anyway", "WAIT_CANCELLATION_COMPLETED", "finished"),
        ("until_cancelled", "TRY_CANCEL", "cancelled"),
        ("until_cancelled", "ABANDON", "cancelled"),
    ]:
        handle = await env.start(Cancels.run, name, how, "")

        async def runs() -> bool:
            pending = (await handle.describe()).raw_description.pending_activities
            return any(p.state == 2 for p in pending)  # PENDING_ACTIVITY_STATE_STARTED

        await env.eventually(runs, f"{name} has started")
        await handle.signal(Cancels.enough)
        assert await handle.result() == expected, (name, how)
    # Nobody polls that queue: the activity is cancelled before it starts.
    handle = await env.start(Cancels.run, "until_cancelled", "WAIT_CANCELLATION_COMPLETED", f"{env.task_queue}-none")
    await handle.signal(Cancels.enough)
    assert await handle.result() == "cancelled"

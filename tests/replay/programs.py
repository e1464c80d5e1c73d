"""Workflows whose histories cross over: recorded with one SDK, replayed with the other.

They touch whatever decides a history: numbering, the order in which waiting code goes on, timers of time-outs, random
numbers, the three types of cancellation. The SDK is the package that the environment variable SDK names.
"""

import asyncio
import importlib
import os
from datetime import timedelta

from relatives import RELATIVES
from updates import UPDATED

SDK = os.environ.get("SDK", "durably")
workflow = importlib.import_module(f"{SDK}.workflow")
activity = importlib.import_module(f"{SDK}.activity")
exceptions = importlib.import_module(f"{SDK}.exceptions")

OPTIONS = {"start_to_close_timeout": timedelta(seconds=10), "heartbeat_timeout": timedelta(seconds=2)}


@activity.defn
async def charge(amount: int) -> str:
    return f"charged {amount}"


@activity.defn
async def refuse(amount: int) -> str:
    raise exceptions.ApplicationError(f"{amount} is too much", non_retryable=True)


@activity.defn
async def deliver(amount: int) -> str:
    while True:
        activity.heartbeat(amount)
        await asyncio.sleep(0.1)


def call(function, amount, **options):
    return workflow.execute_activity(function, amount, **OPTIONS, **options)


@workflow.defn
class Order:
    """Fan-out, a signal whose handler calls an activity, a condition with a time-out, an error, random decisions."""

    def __init__(self) -> None:
        self.approved = None

    @workflow.signal
    async def approve(self, answer: bool) -> None:
        await call(charge, 99)
        self.approved = answer

    @workflow.run
    async def run(self, amount: int) -> str:
        first = await call(charge, amount)
        await asyncio.gather(call(charge, 1), call(charge, 2), asyncio.sleep(0.2))
        await workflow.wait_condition(lambda: self.approved is not None, timeout=timedelta(seconds=30))
        try:
            await call(refuse, 1000)
        except exceptions.ActivityError:
            await call(charge, 5)
        if workflow.random().random() < 0.5:
            await asyncio.sleep(0.1)
        else:
            await call(charge, 6)
        for _ in range(workflow.random().randint(1, 4)):
            await asyncio.sleep(0.05)
        return f"{first}, {workflow.uuid4()}"


@workflow.defn
class Cancellations:
    """Activities cancelled in each way, before and after they began; timers cancelled by code and by a time-out."""

    @workflow.run
    async def run(self, amount: int) -> str:
        seen = []
        for kind in ("TRY_CANCEL", "WAIT_CANCELLATION_COMPLETED", "ABANDON"):
            cancellation_type = getattr(workflow.ActivityCancellationType, kind)
            handle = workflow.start_activity(deliver, amount, cancellation_type=cancellation_type, **OPTIONS)
            await asyncio.sleep(0.5)
            handle.cancel()
            seen.append(await outcome(handle))
        handle = workflow.start_activity(charge, amount, **OPTIONS)
        handle.cancel()
        seen.append(await outcome(handle))
        timer = asyncio.create_task(asyncio.sleep(100))
        await asyncio.sleep(0.01)
        timer.cancel()
        try:
            await asyncio.wait_for(asyncio.sleep(50), 0.1)
        except asyncio.TimeoutError:
            seen.append("timed out")
        return ", ".join(seen)


async def outcome(awaitable) -> str:
    try:
        return await awaitable
    except BaseException as error:
        return type(error).__name__


@workflow.defn
class CleansUp:
    """Cancelled by its client, and calls an activity on its way out."""

    @workflow.run
    async def run(self, amount: int) -> str:
        try:
            return await call(deliver, amount)
        finally:
            await asyncio.shield(call(charge, 7))


@workflow.defn
class Again:
    """Continues as new until nothing is left."""

    @workflow.run
    async def run(self, left: int) -> str:
        await asyncio.sleep(0.05)
        if left > 0:
            workflow.continue_as_new(left - 1)
        return "done"


WORKFLOWS = [Order, Cancellations, CleansUp, Again, *RELATIVES, *UPDATED]
ACTIVITIES = [charge, refuse, deliver]

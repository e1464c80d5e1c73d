"""Timers fire in order and not too early; a cancelled timer doesn't fire; a wait has a time-out."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow


@workflow.defn
class Timers:
    @workflow.run
    async def run(self) -> list[Any]:
        order: list[str] = []

        async def after(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            order.append(name)

        start = workflow.now()
        never = asyncio.create_task(after(3600, "never"))
        await asyncio.gather(after(0.6, "late"), after(0.2, "early"), after(0, "now"))
        never.cancel()
        try:
            await never
        except asyncio.CancelledError:
            order.append("cancelled")
        try:
            await workflow.wait_condition(lambda: False, timeout=0.1)
        except asyncio.TimeoutError:
            order.append("timed out")
        await workflow.sleep(timedelta(milliseconds=100))
        return [order, (workflow.now() - start).total_seconds()]


WORKFLOWS = [Timers]


async def check(env: Any) -> None:
    order, seconds = await env.execute(Timers.run)
    assert order == ["now", "early", "late", "cancelled", "timed out"], order
    assert 0.8 <= seconds < 30, seconds

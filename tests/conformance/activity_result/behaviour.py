"""An activity runs once per call; arguments and results of every JSON shape come through unchanged."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Optional

from temporalio import activity, workflow

MINUTE = timedelta(minutes=1)


@dataclass
class Order:
    """What a program of a user passes around."""

    number: int
    items: list[str]
    note: Optional[str] = None


@activity.defn
async def echo(value: Any) -> Any:
    """Gives back what it gets."""
    return value


@activity.defn(name="ship-order")
async def ship(order: Order, fast: bool) -> Order:
    """Takes two arguments and is called by a name of its own."""
    info = activity.info()
    assert info.attempt == 1 and info.activity_type == "ship-order"
    return Order(order.number + 1, [*order.items, "fast" if fast else "slow"], info.workflow_id)


@activity.defn
async def nothing() -> None:
    """Returns None."""


@workflow.defn
class Shapes:
    @workflow.run
    async def run(self, values: list[Any]) -> list[Any]:
        results = await asyncio.gather(
            *(workflow.execute_activity(echo, v, start_to_close_timeout=MINUTE) for v in values)
        )
        assert await workflow.execute_activity(nothing, start_to_close_timeout=MINUTE) is None
        return list(results)


@workflow.defn
class Shipping:
    @workflow.run
    async def run(self, order: Order) -> Order:
        return await workflow.execute_activity(ship, args=[order, True], start_to_close_timeout=MINUTE)


WORKFLOWS = [Shapes, Shipping]
ACTIVITIES = [echo, ship, nothing]


async def check(env: Any) -> None:
    values = [1, 2.5, "ü", None, True, [1, [2]], {"a": {"b": None}}, ""]
    assert await env.execute(Shapes.run, values) == values
    handle = await env.start(Shipping.run, Order(7, ["book"]))
    assert await handle.result() == Order(8, ["book", "fast"], handle.id)

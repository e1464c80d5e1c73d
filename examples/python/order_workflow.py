"""The order workflow: validate, charge, reserve, wait for approval, ship; and undo what was done when a step fails.

Read `OrderWorkflow._fulfil` from top to bottom: that is the whole business process. It survives crashes at any line,
because every step is in the workflow's history before the next one begins.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from durably import workflow
from durably.common import RetryPolicy
from durably.exceptions import ActivityError, ApplicationError

from order_activities import Payment, charge, refund, release, reserve, send_receipt, ship, validate
from order_types import Order, Outcome

# Orders from this value on (in cents) are shipped only after somebody has approved them.
APPROVAL_LIMIT = 500_00

# A step is tried again after 0.1, 0.2, 0.4 … seconds, unless its error says that trying again is of no use.
RETRY = RetryPolicy(initial_interval=timedelta(seconds=0.1), maximum_interval=timedelta(seconds=5))

# One attempt of a step may take this long; then its worker counts as dead, and the step is tried elsewhere.
STEP = timedelta(seconds=10)


@dataclass
class Settings:
    """What the caller of the workflow decides about time."""

    approval_seconds: float = 10.0
    """How long an order waits for its approval."""
    cooling_off_seconds: float = 1.0
    """How long a paid order waits before it ships."""


@workflow.defn
class OrderWorkflow:
    """One order, from its arrival to its shipment or its refusal."""

    def __init__(self) -> None:
        self._status = "received"
        self._approved: bool | None = None
        # What to do, last first, if a later step fails: the saga's compensations.
        self._compensations: list[tuple[Any, list[Any]]] = []

    @workflow.run
    async def run(self, order: Order, settings: Settings) -> Outcome:
        try:
            return await self._fulfil(order, settings)
        except ActivityError as error:
            reason = error.cause.message if isinstance(error.cause, ApplicationError) else str(error.cause)
            await self._compensate()
            self._status = "failed"
            return Outcome(order.id, "failed", reason)

    @workflow.signal
    def decide(self, approved: bool) -> None:
        """A manager's decision about an order that needs approval."""
        self._approved = approved

    @workflow.query
    def status(self) -> str:
        """Where the order is at this moment."""
        return self._status

    async def _fulfil(self, order: Order, settings: Settings) -> Outcome:
        self._status = "validating"
        cents = await workflow.execute_activity(validate, order, start_to_close_timeout=STEP, retry_policy=RETRY)

        if cents >= APPROVAL_LIMIT and not await self._approval(settings.approval_seconds):
            self._status = "refused"
            return Outcome(order.id, "refused", "not approved in time" if self._approved is None else "not approved")

        self._status = "charging"
        payment = Payment(order.id, order.card, cents)
        await workflow.execute_activity(charge, payment, start_to_close_timeout=STEP, retry_policy=RETRY)
        self._compensations.append((refund, [payment]))

        self._status = "reserving"
        await workflow.execute_activity(reserve, order.id, order.items, start_to_close_timeout=STEP, retry_policy=RETRY)
        self._compensations.append((release, [order.id]))

        self._status = "cooling off"
        await workflow.sleep(settings.cooling_off_seconds, summary="time for second thoughts")

        self._status = "shipping"
        tracking = await workflow.execute_activity(
            ship, order.id, order.address, start_to_close_timeout=STEP, retry_policy=RETRY
        )
        await workflow.execute_activity(send_receipt, order.customer, tracking, start_to_close_timeout=STEP)
        self._status = "shipped"
        return Outcome(order.id, "shipped", tracking)

    async def _approval(self, seconds: float) -> bool:
        self._status = "waiting for approval"
        try:
            await workflow.wait_condition(lambda: self._approved is not None, timeout=seconds)
        except asyncio.TimeoutError:
            return False
        return bool(self._approved)

    async def _compensate(self) -> None:
        self._status = "undoing"
        for activity, arguments in reversed(self._compensations):
            await workflow.execute_activity(activity, args=arguments, start_to_close_timeout=STEP, retry_policy=RETRY)

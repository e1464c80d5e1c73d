"""The steps that touch the world: a payment provider, a warehouse, a carrier, a mail server.

They stand in for real services and misbehave as those do: the payment provider drops connections, a card is declined,
goods are out of stock, an address can't be reached. A step may be run more than once, for example when the process dies
between doing it and saying so. So each one that must not happen twice hands over an idempotency key.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from durably import activity
from durably.exceptions import ApplicationError, ApplicationErrorCategory

from order_types import Item, Order


@dataclass
class Payment:
    """A charge. The order's id is its idempotency key."""

    order_id: str
    card: str
    cents: int


def refusal(message: str, type: str) -> ApplicationError:
    """An answer that no retry will change, and that nobody has to be woken for."""
    return ApplicationError(message, type=type, non_retryable=True, category=ApplicationErrorCategory.BENIGN)


class PaymentProvider:
    """The world outside: a ledger of its own, which knows nothing of workflows.

    `charges` has at most one row per idempotency key; `requests` counts every request, repeated ones included.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.die_at: int | None = None
        """Kill this process with the charge of this number: the money is taken, nobody was told."""
        with self._open() as ledger:
            ledger.execute("CREATE TABLE IF NOT EXISTS charges (key TEXT PRIMARY KEY, cents INTEGER, refunded INTEGER)")
            ledger.execute("CREATE TABLE IF NOT EXISTS requests (key TEXT, at REAL DEFAULT (julianday('now')))")

    def charge(self, payment: Payment) -> None:
        """Take the money, once per order id."""
        if payment.card.endswith("0002"):
            raise refusal("card declined", "CardDeclined")
        with self._open() as ledger:
            ledger.execute("INSERT INTO requests (key) VALUES (?)", [payment.order_id])
            ledger.execute("INSERT OR IGNORE INTO charges VALUES (?, ?, 0)", [payment.order_id, payment.cents])
            requests = ledger.execute("SELECT count(*) FROM requests WHERE key = ?", [payment.order_id]).fetchone()[0]
        if requests == 1 and payment.card.endswith("5"):
            # The money is taken, the answer is lost. The retry policy asks again, with the same key.
            raise ConnectionError("payment provider: connection reset")
        if self.die_at is not None and self.count() >= self.die_at:
            print(f"The money of order {payment.order_id} is taken; the process dies before it can say so.", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    def refund(self, order_id: str) -> None:
        """Give the money back; giving it back again changes nothing."""
        with self._open() as ledger:
            ledger.execute("UPDATE charges SET refunded = 1 WHERE key = ?", [order_id])

    def count(self) -> int:
        """Charges so far."""
        return int(self.report()[0])

    def report(self) -> tuple[int, int, int]:
        """Charges, refunds, and requests that were answered without charging again."""
        with self._open() as ledger:
            charges, refunds = ledger.execute("SELECT count(*), coalesce(sum(refunded), 0) FROM charges").fetchone()
            repeated = ledger.execute(
                "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) n FROM requests GROUP BY key)"
            ).fetchone()[0]
        return charges, refunds, repeated

    def charges(self) -> dict[str, tuple[int, bool]]:
        """Per order: cents, and whether they were refunded."""
        with self._open() as ledger:
            rows = ledger.execute("SELECT key, cents, refunded FROM charges").fetchall()
        return {key: (cents, bool(refunded)) for key, cents, refunded in rows}

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        ledger = sqlite3.connect(self.path, timeout=30)
        try:
            with ledger:
                yield ledger
        finally:
            ledger.close()


provider: PaymentProvider
"""Set by the program before the worker starts."""


@activity.defn
def validate(order: Order) -> int:
    """Check the order; returns its value in cents."""
    if not order.items or any(item.count < 1 for item in order.items):
        raise refusal("an order needs at least one item", "InvalidOrder")
    return sum(item.count * item.price_cents for item in order.items)


@activity.defn
def charge(payment: Payment) -> None:
    """Charge the card."""
    provider.charge(payment)


@activity.defn
def refund(payment: Payment) -> None:
    """Undo `charge`."""
    provider.refund(payment.order_id)


@activity.defn
def reserve(order_id: str, items: list[Item]) -> None:
    """Set the goods aside."""
    for item in items:
        if item.sku == "unobtainium":
            raise refusal("unobtainium is out of stock", "OutOfStock")


@activity.defn
def release(order_id: str) -> None:
    """Undo `reserve`."""


@activity.defn
async def ship(order_id: str, address: str) -> str:
    """Hand the parcel to the carrier; returns the tracking number."""
    if "Atlantis" in address:
        raise refusal(f"no carrier goes to {address}", "Unreachable")
    return f"parcel-{order_id}"


@activity.defn
async def send_receipt(customer: str, tracking: str) -> None:
    """Write to the customer."""
    activity.logger.debug("receipt for %s sent to %s", tracking, customer)


ALL: list[Callable[..., Any]] = [validate, charge, refund, reserve, release, ship, send_receipt]

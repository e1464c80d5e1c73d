"""What an order is, and what becomes of it. Plain dataclasses; they travel as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Item:
    """A line of an order."""

    sku: str
    count: int
    price_cents: int
    """Price of one."""


@dataclass
class Order:
    """An order as a customer sends it: one line of the JSON Lines file."""

    id: str
    """Unique; also the key under which the payment provider knows the charge."""
    customer: str
    card: str
    address: str
    items: list[Item]


@dataclass
class Outcome:
    """How an order ended."""

    order_id: str
    result: str
    """"shipped", "refused" (no approval) or "failed" (a step failed, what was done is undone)."""
    detail: str
    """Tracking number or reason."""

"""Orders that survive a crash: the main program.

    python order.py orders.jsonl --state orders.db                   # run all orders to their end
    python order.py orders.jsonl --state orders.db --crash-midway    # die with SIGKILL when half of them are paid
    python order.py orders.jsonl --state orders.db                   # … and go on from there

There is no server to install: the server runs in this process and keeps its state in one file. The payment ledger is
another file, which stands for the world outside; at the end it proves that each payment was made once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from durably.client import Client, WorkflowHandle
from durably.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from durably.converter import value_to_type
from durably.exceptions import WorkflowAlreadyStartedError
from durably.worker import Worker

import order_activities
from order_timeline import timeline
from order_types import Order, Outcome
from order_workflow import APPROVAL_LIMIT, OrderWorkflow, Settings

TASK_QUEUE = "orders"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run orders through a durable workflow.")
    parser.add_argument("orders", type=Path, help="JSON Lines file, one order per line (see orders.jsonl)")
    parser.add_argument("--state", type=Path, required=True, help="state file of the embedded server; made if missing")
    parser.add_argument("--ledger", type=Path, help="payment ledger (SQLite); default: STATE with .ledger at the end")
    parser.add_argument(
        "--crash-midway", action="store_true", help="SIGKILL this process when half of the orders are charged"
    )
    parser.add_argument("--approval-timeout", type=float, default=10, metavar="SECONDS", help="default 10")
    parser.add_argument(
        "--cooling-off", type=float, default=1, metavar="SECONDS", help="timer before shipping, default 1"
    )
    parser.add_argument(
        "--timeline", metavar="ORDER_ID", help="order whose history is shown; default: one with a story"
    )
    return parser.parse_args()


def read_orders(path: Path) -> list[Order]:
    """The orders of the file; an error names the line and the field."""
    orders: dict[str, Order] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            order: Order = value_to_type(Order, json.loads(line))
        except (ValueError, TypeError) as error:
            sys.exit(f"{path}, line {number}: {error}")
        if order.id in orders:
            sys.exit(f"{path}, line {number}: order id {order.id!r} is there already; ids must be unique")
        orders[order.id] = order
    if not orders:
        sys.exit(f"{path} has no orders")
    return list(orders.values())


Handle = WorkflowHandle[OrderWorkflow, Outcome]


async def start(client: Client, order: Order, settings: Settings) -> tuple[Handle, bool]:
    """Start an order's workflow, or find the one of an earlier run of this program; tells whether it is new.

    The workflow's id is the order's, so that an order can't be taken twice, however often this is called.
    """
    workflow_id = f"order-{order.id}"
    try:
        handle = await client.start_workflow(
            OrderWorkflow.run,
            args=[order, settings],
            id=workflow_id,
            task_queue=TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
        return handle, True
    except WorkflowAlreadyStartedError:
        return client.get_workflow_handle(workflow_id, result_type=Outcome), False


async def play_manager(handle: Handle, order: Order) -> None:
    """Decide about a large order as soon as it asks: mallory gets nothing, for nobody's orders nobody has time."""
    if order.customer == "nobody":
        return
    while (status := await handle.query(OrderWorkflow.status)) != "waiting for approval":
        if status not in ("received", "validating"):
            return
        await asyncio.sleep(0.2)
    await handle.signal(OrderWorkflow.decide, order.customer != "mallory")


async def run_order(client: Client, order: Order, settings: Settings, board: Board) -> None:
    """One order from start to end, seen from outside."""
    handle, new = await start(client, order, settings)
    board.started(new)
    if sum(item.count * item.price_cents for item in order.items) >= APPROVAL_LIMIT:
        await play_manager(handle, order)
    board.finished(await handle.result())


class Board:
    """Shows how far the orders are."""

    def __init__(self, total: int, provider: order_activities.PaymentProvider) -> None:
        self.total = total
        self.provider = provider
        self.outcomes: list[Outcome] = []
        self.new = self.old = 0
        self.began = time.monotonic()

    def started(self, new: bool) -> None:
        self.new += new
        self.old += not new

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    async def show(self) -> None:
        """A line whenever something has changed, at most twice a second."""
        last = ""
        while True:
            line = (
                f"{self.new + self.old}/{self.total} orders taken, {self.provider.count()} charged, "
                f"{len(self.outcomes)} closed"
            )
            if line != last:
                print(f"{time.monotonic() - self.began:6.1f} s  {line}", flush=True)
                last = line
            await asyncio.sleep(0.5)


async def main() -> int:
    arguments = parse_arguments()
    orders = read_orders(arguments.orders)
    # Retries and the like go to a file, so that the screen shows the orders.
    logging.basicConfig(filename=f"{arguments.state}.log", format="%(asctime)s %(name)s %(levelname)s %(message)s")
    ledger = arguments.ledger or arguments.state.with_name(arguments.state.name + ".ledger")
    provider = order_activities.provider = order_activities.PaymentProvider(str(ledger))
    if arguments.crash_midway:
        provider.die_at = len(orders) // 2
    settings = Settings(arguments.approval_timeout, arguments.cooling_off)
    board = Board(len(orders), provider)

    client = await Client.connect(f"embedded:{arguments.state}")
    open_before = [w async for w in client.list_workflows('ExecutionStatus = "Running"')]
    if open_before:
        print(f"{len(open_before)} orders are open from an earlier run; they go on where they were.", flush=True)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[OrderWorkflow],
        activities=order_activities.ALL,
        activity_executor=ThreadPoolExecutor(8),
        max_concurrent_activities=16,
    )
    async with worker:
        progress = asyncio.create_task(board.show())
        await asyncio.gather(*(run_order(client, order, settings, board) for order in orders))
        progress.cancel()
    exact = report(board)
    lengths = {w.id: w.history_length for w in open_before}
    await show_timeline(client, arguments.timeline or choose(board, lengths, orders))
    return 0 if exact else 1


def report(board: Board) -> bool:
    """Print how the orders ended, and whether the ledger agrees to the cent; returns whether it does."""
    print(f"\nAll {board.total} orders are closed:")
    for result, count in sorted(
        Counter((o.result, o.detail if o.result != "shipped" else "") for o in board.outcomes).items()
    ):
        print(f"  {count:>4}  {result[0]}{': ' + result[1] if result[1] else ''}")
    charges = board.provider.charges()
    total, refunds, repeated = board.provider.report()
    shipped = {o.order_id for o in board.outcomes if o.result == "shipped"}
    kept = {key for key, (_, refunded) in charges.items() if not refunded}
    print(
        f"\nPayment ledger: {total} charges, {refunds} refunded, {repeated} repeated requests answered without a charge."
    )
    if kept == shipped:
        print(f"Each of the {len(shipped)} shipped orders was charged exactly once, and no other order paid.")
        return True
    print(f"Charged but not shipped: {sorted(kept - shipped)}; shipped but not charged: {sorted(shipped - kept)}")
    return False


def choose(board: Board, open_before: dict[str, int], orders: list[Order]) -> str:
    """An order with a story: under way during the crash if there was one, large if possible."""
    shipped = {o.order_id for o in board.outcomes if o.result == "shipped"}

    def story(order: Order) -> tuple[bool, bool, int]:
        cents = sum(item.count * item.price_cents for item in order.items)
        # By its fourth event, a workflow's code has run once.
        return open_before.get(f"order-{order.id}", 0) >= 4, order.id in shipped, cents

    return max(orders, key=story).id


async def show_timeline(client: Client, order_id: str) -> None:
    history = await client.get_workflow_handle(f"order-{order_id}").fetch_history()
    print(f"\nHistory of order {order_id}:")
    for line in timeline(history.events):
        print(line)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

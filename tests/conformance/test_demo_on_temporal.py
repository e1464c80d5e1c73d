"""Our worker and client run the demo's own workflow against a real Temporal server, at TEMPORAL_ADDRESS.

Orders of every kind from the sample file come out as the ledger says, and every history replays.
"""

import asyncio
import importlib
import json
import os
import sys
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"
sys.path.insert(0, str(EXAMPLES))


def sample_orders() -> list[Any]:
    """Thirty orders, among them a declined card, an unreachable address, goods out of stock, and one to approve."""
    from durably.converter import value_to_type
    from order_types import Order

    lines = (EXAMPLES / "orders.jsonl").read_text().splitlines()
    return [value_to_type(Order, json.loads(line)) for line in lines[5:35]]


async def run_orders(ledger: Path) -> None:
    import order_activities
    from durably.client import Client
    from durably.worker import Replayer, Worker
    from order_workflow import OrderWorkflow, Settings

    program = importlib.import_module("order")
    provider = order_activities.provider = order_activities.PaymentProvider(str(ledger))
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    queue = f"orders-{uuid.uuid4()}"
    orders = sample_orders()
    handles = []
    async with Worker(
        client,
        task_queue=queue,
        workflows=[OrderWorkflow],
        activities=order_activities.ALL,
        activity_executor=ThreadPoolExecutor(8),
    ):
        for order in orders:
            handles.append(
                await client.start_workflow(
                    OrderWorkflow.run, args=[order, Settings(2, 0.2)], id=f"{queue}-{order.id}", task_queue=queue
                )
            )

        async def finish(handle: Any, order: Any) -> Any:
            if sum(item.count * item.price_cents for item in order.items) >= program.APPROVAL_LIMIT:
                await program.play_manager(handle, order)
            return await handle.result()

        outcomes = await asyncio.gather(*(finish(h, o) for h, o in zip(handles, orders, strict=True)))
    results = Counter(outcome.result for outcome in outcomes)
    assert results["shipped"] > 10 and len(results) > 1, results
    kept = {key for key, (_, refunded) in provider.charges().items() if not refunded}
    assert kept == {outcome.order_id for outcome in outcomes if outcome.result == "shipped"}
    replayer = Replayer(workflows=[OrderWorkflow])
    for handle in handles:
        await replayer.replay_workflow(await handle.fetch_history())


def test_the_demos_workflow_runs_on_a_real_temporal_server(tmp_path: Path) -> None:
    asyncio.run(run_orders(tmp_path / "ledger.db"))

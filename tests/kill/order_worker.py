"""A worker process of the kill test: runs the workflow Order with our Python SDK until its standard input ends."""

import argparse
import asyncio
import sys

from durably.client import Client
from durably.worker import Worker

from kill_test import load_orders


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--queue", required=True)
    # With 0, every workflow task replays from the first event.
    parser.add_argument("--cache", type=int, default=1000)
    args = parser.parse_args()
    client = await Client.connect(args.address)
    orders = load_orders("durably")
    worker = Worker(
        client,
        task_queue=args.queue,
        workflows=[orders.Order],
        no_remote_activities=True,
        max_cached_workflows=args.cache,
    )
    async with worker:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())

"""A worker process of the family kill test, until its standard input ends."""

import argparse
import asyncio
import importlib
import sys
from datetime import timedelta

from family_test import QUEUE, load_families


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--package", required=True)
    args = parser.parse_args()
    families = load_families(args.package)
    module = importlib.import_module(f"{args.package}.worker")
    client = await importlib.import_module(f"{args.package}.client").Client.connect(args.address)
    options = {"workflow_runner": module.UnsandboxedWorkflowRunner()} if args.package == "temporalio" else {}
    worker = module.Worker(
        client,
        task_queue=QUEUE,
        workflows=[families.Parent, families.Child],
        # Whoever comes after this process is killed does not wait for it for long.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        **options,
    )
    async with worker:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())

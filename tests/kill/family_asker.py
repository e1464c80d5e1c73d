"""A client process of the family kill test: asks for every update of every run, under its id, until it has the answer.

Answers go to a journal, a line each; whoever is started after a kill reads what was answered, and asks for the rest. It prints
`ready`, and `done` when it has all answers; it ends when its standard input does.
"""

import argparse
import asyncio
import importlib
import json
import os
import pathlib
import random
import sys
from datetime import timedelta
from typing import Any

from family_test import all_runs, load_families

# So many updates are asked for at a time.
AT_ONCE = 40
# Of one try: an answer that was lost on its way is asked for again.
LONGEST = timedelta(seconds=5)
# What may be asked again: the server is down or coming up, the run is not there yet, or it is busy.
AGAIN = {"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN", "NOT_FOUND", "RESOURCE_EXHAUSTED"}


async def answer_to(client: Any, package: str, run: str, text: str) -> Any:
    """Asks until there is an answer; an error that must not be is one too."""
    module = importlib.import_module(f"{package}.client")
    service = importlib.import_module(f"{package}.service")
    while True:
        try:
            return await client.get_workflow_handle(run).execute_update("add", text, id=f"{run}-{text}", rpc_timeout=LONGEST)
        except module.WorkflowUpdateRPCTimeoutOrCancelledError:
            pass
        except service.RPCError as error:
            if error.status.name not in AGAIN:
                return f"{error.status.name}: {error}"
        except module.WorkflowUpdateFailedError as error:
            return f"failed: {error.cause}"
        # tidy-allow: sleep: backs off while the server is down or the run not started; the wait ends with its answer
        await asyncio.sleep(0.1)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--package", required=True)
    parser.add_argument("--families", type=int, required=True)
    parser.add_argument("--journal", type=pathlib.Path, required=True)
    args = parser.parse_args()
    families = load_families(args.package)
    client = await importlib.import_module(f"{args.package}.client").Client.connect(args.address)
    journal = os.open(args.journal, os.O_CREAT | os.O_RDWR | os.O_APPEND)
    answered = {(run, text) for run, text, _ in map(json.loads, args.journal.read_text().splitlines())}
    asked = [(run, text) for run in all_runs(families, args.families) for text in families.UPDATES]
    left = [update for update in asked if update not in answered]
    random.shuffle(left)
    print("ready", flush=True)
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(run: str, text: str) -> None:
        async with gate:
            answer = await answer_to(client, args.package, run, text)
        # One write: a kill leaves the whole line or none of it.
        os.write(journal, json.dumps([run, text, answer]).encode() + b"\n")

    await asyncio.gather(*(ask(run, text) for run, text in left))
    print("done", flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())

"""The family kill test: parents whose children signal each other, while the server is killed again and again.

Runs that speak to each other are each other's callers: what one has said must reach the other exactly once, whenever the server
is killed in between. After the last kill every parent must have come to its result, the histories of parents and children must
fit together, and all must replay. The worker is in this process (`--package`); `--seed` repeats a run's moments.
"""

import argparse
import asyncio
import importlib
import pathlib
import random
import sys
import tempfile
import types
from collections import Counter
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError

from kill_test import HERE, Server, free_port, kill_again_and_again, persist, server_command

QUEUE = "families"


async def raise_family(client: Client, families: types.ModuleType, number: int, violations: list[str]) -> None:
    """Starts one parent and checks what it comes to."""
    name = f"family-{number}"

    async def start() -> None:
        try:
            await client.start_workflow("Parent", id=name, task_queue=QUEUE)
        except WorkflowAlreadyStartedError:
            # An earlier try was lost on its way back; the server has it.
            pass

    await persist(start)
    result = await persist(client.get_workflow_handle(name, result_type=list).result)
    if result != families.expected():
        violations.append(f"{name} came to {result}")


async def check(client: Client, families: types.ModuleType, count: int, package: str, violations: list[str]) -> None:
    """Counts in each history what must be there exactly once, and replays it."""
    worker = importlib.import_module(f"{package}.worker")
    options = {"workflow_runner": worker.UnsandboxedWorkflowRunner()} if package == "temporalio" else {}
    replayer = worker.Replayer(workflows=[families.Parent, families.Child], **options)
    reader = importlib.import_module(f"{package}.client")
    other = client if package == "temporalio" else await reader.Client.connect(client.service_client.config.target_host)
    for number in range(count):
        parent = f"family-{number}"
        children = [f"{parent}-child-{child}" for child in range(families.CHILDREN)]
        for name in [parent, *children]:
            found = await events_of(client.get_workflow_handle(name))
            wanted = (
                {
                    "start_child_workflow_execution_initiated": families.CHILDREN,
                    "child_workflow_execution_started": families.CHILDREN,
                    "child_workflow_execution_completed": families.CHILDREN,
                    "external_workflow_execution_signaled": families.CHILDREN,
                }
                if name == parent
                else {
                    "workflow_execution_signaled": families.SIGNALS_PER_CHILD + 1,
                    "external_workflow_execution_signaled": families.SIGNALS_PER_CHILD,
                }
            )
            violations.extend(
                f"{name}: {found[event]} events {event}, not {times}"
                for event, times in wanted.items()
                if found[event] != times
            )
            try:
                await replayer.replay_workflow(await other.get_workflow_handle(name).fetch_history())
            except Exception as error:
                violations.append(f"{name} does not replay: {error}")


async def events_of(handle: WorkflowHandle[Any, Any]) -> Counter[str]:
    """How many events of each kind the history has."""
    suffix = "_event_attributes"
    return Counter(
        [
            str(event.WhichOneof("attributes")).removesuffix(suffix)
            async for event in handle.fetch_history_events()
        ]
    )


def load_families(package: str) -> types.ModuleType:
    """The workflows, with their imports pointing to `package`."""
    path = HERE / "families.py"
    module = types.ModuleType("families")
    sys.modules["families"] = module
    text = path.read_text(encoding="utf-8").replace("from temporalio import", f"from {package} import")
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


async def run(args: argparse.Namespace, folder: pathlib.Path) -> list[str]:
    rng = random.Random(args.seed)
    violations: list[str] = []
    port = free_port()
    server = Server("server", server_command(args, port, folder / "state.db"), str(port))
    await server.start()
    families = load_families(args.package)
    client = await Client.connect(f"127.0.0.1:{port}")
    own = await importlib.import_module(f"{args.package}.client").Client.connect(f"127.0.0.1:{port}")
    worker = importlib.import_module(f"{args.package}.worker")
    options = {"workflow_runner": worker.UnsandboxedWorkflowRunner()} if args.package == "temporalio" else {}
    raised: list[asyncio.Task[None]] = []

    def progress() -> str:
        return f"{sum(task.done() for task in raised)} of {args.families} families done"

    try:
        async with worker.Worker(own, task_queue=QUEUE, workflows=[families.Parent, families.Child], **options):
            raised.extend(
                asyncio.create_task(raise_family(client, families, number, violations)) for number in range(args.families)
            )
            kills = kill_again_and_again([server], args.kills, rng, progress)
            await asyncio.wait_for(asyncio.gather(kills, *raised), args.limit)
            print(f"all are done: {progress()}", flush=True)
            await check(client, families, args.families, args.package, violations)
    finally:
        for task in raised:
            task.cancel()
        await server.kill()
    return violations


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True, help="the `durably` binary, or the peer's with --peer")
    parser.add_argument("--peer", action="store_true", help="the binary is tests/peers/temporal-server")
    parser.add_argument("--package", default="temporalio", help="SDK whose worker runs the workflows")
    parser.add_argument("--families", type=int, default=100)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--limit", type=float, default=300, help="seconds until families that hang are a failure")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    args = parser.parse_args()
    print(f"{args.families} families, {args.kills} kills, seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        violations = asyncio.run(run(args, pathlib.Path(folder)))
    for violation in violations[:20]:
        print(f"VIOLATION {violation}")
    print(f"{len(violations)} violations; repeat with --seed {args.seed}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())

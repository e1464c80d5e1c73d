"""The family kill test: parents whose children signal each other and take updates, while server, worker and clients are killed.

Runs that speak to each other are each other's callers: what one has said must reach the other exactly once, whenever a process
is killed in between. Two client processes ask for the same updates of every run, one with each SDK; both must hear the same
answers, and each update must have done its work once. After the last kill every parent must have come to its result, the
histories of parents and children must fit together, and all must replay. The worker is a process of `--package`; `--seed` repeats
a run's moments.
"""

import argparse
import asyncio
import importlib
import json
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


class Asker(Server):
    """A client process, which says with a second line that it has all answers."""

    def __init__(self, package: str, command: list[str], journal: pathlib.Path) -> None:
        super().__init__(f"{package} client", [*command, "--package", package, "--journal", str(journal)], "ready")
        self.journal = journal
        self.is_done = False

    async def start(self) -> None:
        await super().start()
        assert self.process is not None
        self.reading = asyncio.create_task(self._await_done(self.process))

    async def _await_done(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        self.is_done = b"done" in await process.stdout.readline()

    async def done(self) -> None:
        """Returns when it has all answers; it must not be killed any more."""
        await self.reading
        assert self.is_done, f"the {self.name} has ended"

    def answers(self) -> dict[str, Any]:
        """By the update's id."""
        lines = map(json.loads, self.journal.read_text().splitlines())
        return {f"{run}-{text}": answer for run, text, answer in lines}


def all_runs(families: types.ModuleType, count: int) -> list[str]:
    """The ids of all parents and children."""
    parents = [f"family-{number}" for number in range(count)]
    return [run for parent in parents for run in [parent, *families.children_of(parent)]]


async def raise_family(
    client: Client, families: types.ModuleType, number: int, added: dict[str, list[str]], violations: list[str]
) -> None:
    """Starts one parent and checks what it comes to; notes what the updates of its family have added."""
    name = f"family-{number}"

    async def start() -> None:
        try:
            await client.start_workflow("Parent", id=name, task_queue=QUEUE, task_timeout=families.TASK_TIMEOUT)
        except WorkflowAlreadyStartedError:
            # An earlier try was lost on its way back; the server has it.
            pass

    await persist(start)
    result = await persist(client.get_workflow_handle(name, result_type=list).result)
    added[name], children = result
    added.update(zip(families.children_of(name), (of_child for _, of_child in children), strict=True))
    if [heard for heard, _ in children] != families.expected():
        violations.append(f"{name} came to {result}")


def check_updates(families: types.ModuleType, added: dict[str, list[str]], askers: list[Asker], violations: list[str]) -> None:
    """Each update must have added its text once, and everybody must have heard where."""
    answers = [asker.answers() for asker in askers]
    for run, texts in added.items():
        if sorted(texts) != sorted(families.UPDATES):
            violations.append(f"{run}: the updates have added {texts}")
            continue
        for text in families.UPDATES:
            heard = [of_one.get(f"{run}-{text}") for of_one in answers]
            if any(answer != [text, texts.index(text)] for answer in heard):
                violations.append(f"{run}: update {text} of {texts} was answered with {heard}")


async def check(client: Client, families: types.ModuleType, count: int, package: str, violations: list[str]) -> None:
    """Counts in each history what must be there exactly once, and replays it."""
    worker = importlib.import_module(f"{package}.worker")
    options = {"workflow_runner": worker.UnsandboxedWorkflowRunner()} if package == "temporalio" else {}
    replayer = worker.Replayer(workflows=[families.Parent, families.Child], **options)
    reader = importlib.import_module(f"{package}.client")
    other = client if package == "temporalio" else await reader.Client.connect(client.service_client.config.target_host)
    for number in range(count):
        parent = f"family-{number}"
        for name in [parent, *families.children_of(parent)]:
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
            wanted["workflow_execution_update_accepted"] = len(families.UPDATES)
            wanted["workflow_execution_update_completed"] = len(families.UPDATES)
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
    program = [sys.executable, str(HERE / "family_worker.py"), "--address", f"127.0.0.1:{port}", "--package", args.package]
    worker = Server("worker", program, "ready")
    asking = [sys.executable, str(HERE / "family_asker.py"), "--address", f"127.0.0.1:{port}", "--families", str(args.families)]
    askers = [Asker(package, asking, folder / f"{package}.journal") for package in ["temporalio", "durably"]]
    processes = [server, worker, *askers]
    started = [server]
    raised: list[asyncio.Task[None]] = []
    added: dict[str, list[str]] = {}

    def progress() -> str:
        return f"{sum(task.done() for task in raised)} of {args.families} families done"

    try:
        for process in processes[1:]:
            await process.start()
            started.append(process)
        raised.extend(
            asyncio.create_task(raise_family(client, families, number, added, violations)) for number in range(args.families)
        )
        kills = kill_again_and_again(processes, args.kills, rng, progress)
        async with asyncio.timeout(args.limit):
            await asyncio.gather(kills, *raised)
            print(f"all are done: {progress()}", flush=True)
            await asyncio.gather(*(asker.done() for asker in askers))
        check_updates(families, added, askers, violations)
        await check(client, families, args.families, args.package, violations)
    finally:
        for task in raised:
            task.cancel()
        for process in reversed(started):
            await process.kill()
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

"""Runs the conformance programs of this folder with a Python SDK against a server that is up already.

Each sub-folder is one behaviour; its `behaviour.py` holds workflows, activities and a coroutine `check`.
The programs are written for `temporalio`; `--package durably` loads the same text with the import
changed, which is what we promise that a user's program needs. Prints one JSON line per behaviour.
"""

import argparse
import asyncio
import importlib
import json
import pathlib
import sys
import time
import traceback
import types
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

FOLDER = pathlib.Path(__file__).resolve().parent
LIMIT_SECONDS = 90


@dataclass
class Env:
    """What a behaviour's `check` works with."""

    client: Any
    task_queue: str
    package: str
    started: list[Any] = field(default_factory=list)
    worker_options: dict[str, Any] = field(default_factory=dict)

    def new_id(self) -> str:
        """A workflow id that no other program uses."""
        return f"{self.task_queue}-{uuid.uuid4()}"

    async def start(self, run: Any, *args: Any, **options: Any) -> Any:
        """Starts a workflow on this behaviour's task queue; its history is replayed after `check`."""
        options.setdefault("id", self.new_id())
        handle = await self.client.start_workflow(run, args=list(args), task_queue=self.task_queue, **options)
        self.started.append(handle)
        return handle

    async def execute(self, run: Any, *args: Any, **options: Any) -> Any:
        """Starts a workflow and awaits its result."""
        return await (await self.start(run, *args, **options)).result()

    async def eventually(self, condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 20) -> None:
        """Asks until the condition holds: for what a server may answer a little later, such as a list."""
        deadline = time.monotonic() + seconds
        while not await condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            # tidy-allow: sleep: the one place where a program polls, because the API offers no wait for a list
            await asyncio.sleep(0.05)


def load(name: str, package: str) -> types.ModuleType:
    """The behaviour's module, with its imports pointing to `package`."""
    path = FOLDER / name / "behaviour.py"
    text = path.read_text(encoding="utf-8").replace("temporalio", package)
    module = types.ModuleType(f"behaviour_{name}")
    module.__file__ = str(path)
    # Type hints of workflows and activities are looked up here.
    sys.modules[module.__name__] = module
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


async def run(name: str, client: Any, package: str) -> dict[str, Any]:
    """Runs one behaviour and replays what it has left; says how it went."""
    started = time.monotonic()
    outcome: dict[str, Any] = {"behaviour": name, "ok": True}
    try:
        module = load(name, package)
        env = Env(client, f"{name}-{uuid.uuid4().hex[:8]}", package)
        await asyncio.wait_for(check(module, env), LIMIT_SECONDS)
    except (Exception, asyncio.CancelledError) as error:
        outcome.update(ok=False, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
    outcome["seconds"] = round(time.monotonic() - started, 2)
    return outcome


async def check(module: types.ModuleType, env: Env) -> None:
    """Runs `check` beside a worker, then replays every history that it has started."""
    worker = importlib.import_module(f"{env.package}.worker")
    options = env.worker_options
    if env.package == "temporalio":
        # The programs are loaded from text, which the sandbox cannot import again.
        options["workflow_runner"] = worker.UnsandboxedWorkflowRunner()
    workflows = getattr(module, "WORKFLOWS", [])
    activities = getattr(module, "ACTIVITIES", [])
    if not workflows:
        return await module.check(env)  # it runs workers of its own
    async with worker.Worker(
        env.client, task_queue=env.task_queue, workflows=workflows, activities=activities, **options
    ):
        await module.check(env)
    replayer = worker.Replayer(workflows=workflows, **options)
    for handle in env.started:
        await replayer.replay_workflow(await handle.fetch_history())


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="host:port of the server")
    parser.add_argument("--package", default="temporalio", help="SDK to run the programs with")
    parser.add_argument("--concurrency", type=int, default=4, help="behaviours under way at a time")
    parser.add_argument("behaviours", nargs="*", help="folders to run; all if none is given")
    args = parser.parse_args()
    names = args.behaviours or sorted(path.parent.name for path in FOLDER.glob("*/behaviour.py"))
    client_module = importlib.import_module(f"{args.package}.client")
    client = await client_module.Client.connect(args.address)
    slots = asyncio.Semaphore(args.concurrency)

    async def one(name: str) -> bool:
        async with slots:
            outcome = await run(name, client, args.package)
            print(json.dumps(outcome), flush=True)
            return bool(outcome["ok"])

    results = await asyncio.gather(*(one(name) for name in names))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

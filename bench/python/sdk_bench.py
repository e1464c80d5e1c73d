"""Loads a server through a Python SDK, with its worker in this process: what the SDK itself costs.

The program is written for `temporalio`, and run with its defaults; `--package durably` loads the same text
with the import changed.
Prints one JSON line per mode.
"""

import argparse
import asyncio
import importlib
import json
import pathlib
import resource
import sys
import time
import types
import uuid
from typing import Any

RUNS = [("activity", 300, 50, 1), ("activity", 40, 1, 1), ("activity", 60, 50, 10)]
QUEUE = "sdk-bench"


def load(package: str) -> types.ModuleType:
    """The workflows of `workflows.py`, with their imports pointing to `package`."""
    if package == "temporalio":
        return importlib.import_module("workflows")  # as its users do, so that its sandbox can import it again
    path = pathlib.Path(__file__).with_name("workflows.py")
    module = types.ModuleType("workflows")
    sys.modules["workflows"] = module
    text = path.read_text(encoding="utf-8").replace("temporalio", package)
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def cpu_seconds() -> float:
    """CPU time of this process so far, user and kernel."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(one: Any, name: str, runs: int, concurrent: int, steps: int) -> dict[str, Any]:
    """Runs `runs` workflows, `concurrent` at a time; gives throughput, latency and this process's CPU."""
    slots = asyncio.Semaphore(concurrent)
    latency: list[float] = []

    async def timed() -> None:
        async with slots:
            began = time.perf_counter()
            await one(steps)
            latency.append((time.perf_counter() - began) * 1000)

    began, cpu = time.perf_counter(), cpu_seconds()
    await asyncio.gather(*(timed() for _ in range(runs)))
    elapsed = time.perf_counter() - began
    latency.sort()
    return {
        "mode": name,
        "runs": runs,
        "concurrent": concurrent,
        "steps": steps,
        "workflows_per_s": runs / elapsed,
        "p50_ms": latency[runs // 2],
        "p99_ms": latency[min(runs * 99 // 100, runs - 1)],
        "sdk_cpu_ms_per_workflow": (cpu_seconds() - cpu) * 1000 / runs,
    }


async def bridge_calls(one: Any, runs: int, concurrent: int, steps: int) -> dict[str, Any]:
    """Counts the calls from Python into our extension module, in a run of its own: looking at each call takes time."""
    calls = 0

    def look(_frame: types.FrameType, event: str, called: Any) -> None:
        nonlocal calls
        if event == "c_call":
            owner = getattr(called, "__self__", None)
            module = owner.__name__ if isinstance(owner, types.ModuleType) else type(owner).__module__
            calls += module == "durably._bridge"

    sys.setprofile(look)
    try:
        await measure(one, "bridge", runs, concurrent, steps)
    finally:
        sys.setprofile(None)
    # Each step takes a workflow task, and the end one more.
    per_task = calls / (runs * (steps + 1))
    return {"mode": "bridge", "concurrent": concurrent, "steps": steps, "bridge_calls_per_workflow_task": per_task}


async def replay(worker: Any, workflows: types.ModuleType, handle: Any) -> dict[str, Any]:
    """Replays one long history several times; gives events per second."""
    history = await handle.fetch_history()
    rounds = 5
    began = time.perf_counter()
    for _ in range(rounds):
        await worker.Replayer(workflows=[workflows.Steps]).replay_workflow(history)
    elapsed = time.perf_counter() - began
    return {"mode": "replay", "events": len(history.events), "events_per_s": len(history.events) * rounds / elapsed}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--package", default="temporalio")
    parser.add_argument("--replay", type=int, default=200, help="activities in the history to replay; 0 for none")
    args = parser.parse_args()
    workflows = load(args.package)
    worker = importlib.import_module(f"{args.package}.worker")
    client = await importlib.import_module(f"{args.package}.client").Client.connect(args.address)

    async def one(steps: int) -> None:
        result = await client.execute_workflow(
            workflows.Steps.run, steps, id=str(uuid.uuid4()), task_queue=QUEUE
        )
        assert result == "x", result

    async with worker.Worker(
        client, task_queue=QUEUE, workflows=[workflows.Steps], activities=[workflows.echo]
    ):
        await asyncio.gather(*(one(1) for _ in range(20)))
        for name, runs, concurrent, steps in RUNS:
            print(json.dumps(await measure(one, name, runs, concurrent, steps)), flush=True)
        if args.package == "durably":
            for _, runs, concurrent, steps in RUNS:
                print(json.dumps(await bridge_calls(one, runs, concurrent, steps)), flush=True)
        if args.replay:
            handle = await client.start_workflow(
                workflows.Steps.run, args.replay, id=str(uuid.uuid4()), task_queue=QUEUE
            )
            await handle.result()
            if hasattr(worker, "Replayer"):
                print(json.dumps(await replay(worker, workflows, handle)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

"""Replays recorded histories: `SDK=durably python replay.py FOLDER` (or SDK=temporalio). Fails if one doesn't replay."""

import asyncio
import importlib
import sys
from pathlib import Path

from programs import SDK, WORKFLOWS


async def main(folder: Path) -> int:
    client_module = importlib.import_module(f"{SDK}.client")
    worker_module = importlib.import_module(f"{SDK}.worker")
    options = {}
    if SDK == "temporalio":
        options["workflow_runner"] = worker_module.UnsandboxedWorkflowRunner()
    replayer = worker_module.Replayer(workflows=WORKFLOWS, **options)
    failures = 0
    files = sorted(folder.glob("*.json"))
    for file in files:
        history = client_module.WorkflowHistory.from_json(file.stem, file.read_text())
        result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        print(f"{file.stem}: {result.replay_failure or 'replays'}")
        failures += result.replay_failure is not None
    return 1 if failures or not files else 0


sys.exit(asyncio.run(main(Path(sys.argv[1]))))

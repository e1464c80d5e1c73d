"""Records histories: `SDK=temporalio python record.py TARGET FOLDER` (or SDK=durably), against a server at TARGET.

The histories in `histories/` were recorded in this way with the official SDK against a real Temporal server. Stack
traces are left out: they name the recording machine's paths, and nothing depends on them.
"""

import asyncio
import importlib
import json
import sys
from pathlib import Path

import updates
from programs import ACTIVITIES, SDK, WORKFLOWS


def without_stack_traces(value):
    if isinstance(value, dict):
        return {key: without_stack_traces(item) for key, item in value.items() if key != "stackTrace"}
    if isinstance(value, list):
        return [without_stack_traces(item) for item in value]
    return value


async def main(target: str, folder: Path) -> None:
    client_module = importlib.import_module(f"{SDK}.client")
    worker_module = importlib.import_module(f"{SDK}.worker")
    options = {}
    if SDK == "temporalio":
        options["workflow_runner"] = worker_module.UnsandboxedWorkflowRunner()
    client = await client_module.Client.connect(target, identity="recorder")
    queue = "replay"
    async with worker_module.Worker(client, task_queue=queue, workflows=WORKFLOWS, activities=ACTIVITIES, **options):
        started = {}
        programs = [("Order", 1), ("Order", 2), ("Order", 3), ("Cancellations", 1), ("CleansUp", 1), ("Again", 2)]
        programs += [("Family", 7), ("ChildCancellations", 1), ("CleansUpChildren", 1)]
        for name, argument in programs:
            workflow_id = f"{name}-{argument}"
            started[workflow_id] = await client.start_workflow(name, argument, id=workflow_id, task_queue=queue)
        for argument in (1, 2, 3):
            await started[f"Order-{argument}"].signal("approve", True)
            # tidy-allow: sleep: the recording is to have the signals in tasks of their own
            await asyncio.sleep(0.15)
        await started["CleansUp-1"].cancel()
        await started["CleansUpChildren-1"].cancel()
        started["Updated-2"] = await updates.record(client, queue)
        for workflow_id, handle in started.items():
            try:
                print(workflow_id, await handle.result())
            except client_module.WorkflowFailureError as error:
                print(workflow_id, error.cause)
            history = await handle.fetch_history()
            document = without_stack_traces(history.to_json_dict())
            (folder / f"{workflow_id}.json").write_text(json.dumps(document, indent=1) + "\n")


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))

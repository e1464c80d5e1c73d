"""What docs/troubleshooting.md asks the server tells the cases apart that stand there."""

import asyncio
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from durably import activity, workflow
from durably.client import Client, WorkflowHandle
from durably.worker import Worker

WHY = Path(__file__).with_name("why.py")


@activity.defn
async def charge() -> None:
    raise ValueError("no such card")


@workflow.defn
class Shopping:
    @workflow.run
    async def run(self, charges: bool) -> None:
        if charges:
            await workflow.execute_activity(charge, start_to_close_timeout=timedelta(seconds=10))
        raise RuntimeError("a mistake")


async def tried_again(handle: WorkflowHandle) -> None:
    """Returns when an activity or workflow task of the run is in its second attempt, or a later one."""
    while True:
        described = (await handle.describe()).raw_description
        tasks = [*described.pending_activities, described.pending_workflow_task]
        if any(task is not None and task.attempt >= 2 for task in tasks):
            return


@pytest.mark.parametrize(
    ("queue", "charges", "words"),
    [
        ("typo", False, "workers that ask it for workflow tasks: none"),
        ("shop", True, r"activity charge, attempt \d+, last failure: no such card"),
        ("shop", False, r"a workflow task is pending, attempt ([2-9]|\d\d)"),
    ],
    ids=["no worker", "activity fails", "workflow task fails"],
)
def test_it_says_why_nothing_happens(queue: str, charges: bool, words: str, tmp_path: Path) -> None:
    async def check() -> str:
        target = f"embedded:{tmp_path / 'state.db'}"
        async with await Client.connect(target) as client:
            async with Worker(client, task_queue="shop", workflows=[Shopping], activities=[charge]):
                handle = await client.start_workflow(Shopping.run, charges, id="cart", task_queue=queue)
                if queue == "shop":
                    await asyncio.wait_for(tried_again(handle), 60)
                ask = [sys.executable, str(WHY), target, "cart"]
                done = await asyncio.to_thread(subprocess.run, ask, stdout=subprocess.PIPE, text=True, timeout=60)
                assert done.returncode == 0
                await handle.terminate()
                return done.stdout

    printed = asyncio.run(check())
    assert f"cart is RUNNING, on the queue {queue}" in printed
    assert re.search(words, printed), printed

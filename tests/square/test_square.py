"""The square of languages: a workflow in each calls the activities of each, on one server, and nothing is lost between them.

There is a worker per language on a task queue of its own (`SQUARE_WORKERS`: JSON, name to command line). A worker is started with
the server's address and the queue's name, prints `ready`, and ends with its standard input. It has

- the activities `inspect`, which takes an object, a list, null, a text and bytes and says what it found by working with them; `give`, which
  returns its own language's value of a kind; `refuse`, which fails for good with details and a cause; `resume`, whose second
  attempt returns the heartbeat details of the first; and `linger`, which heartbeats until it is cancelled;
- the workflow `Square`, which calls the first four on the queue that it is given and reports what came back, `given` being the
  findings of its own language about the values that it was given; and `SquareCancelled`, which waits for `linger`;
- the workflow `SquareParent`, which starts two `SquareChild` on the queue that it is given: one gets a signal and returns what it is
  told, the other fails as `refuse` does.

To add a language: write a worker like the others, and name it in `xtask/src/square.rs`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from durably.client import Client

WORKERS: dict[str, list[str]] = json.loads(os.environ["SQUARE_WORKERS"])
SERVER = os.environ["DURABLY_BINARY"]
PAIRS = [(caller, callee) for caller in WORKERS for callee in WORKERS]

FINDINGS = {
    "name": "Zoë 🦊",
    "count": 4,
    "ratio": 1.0,
    "flags": 1,
    "list": [4, "TWO", True, 3],
    "nothing": True,
    "text": 'naïve 日本 🦊\n"quoted" \\ end!',
    "characters": 25,
    "bytes": "00017f80ff",
}


REFUSED = {
    "type": "Refused",
    "message": "no, ü",
    "details": [{"code": 7}, "ü"],
    "nonRetryable": True,
    "cause": {"type": "Deeper", "message": "deep down"},
}


@dataclass
class Process:
    """Something that says when it is ready, and ends with its standard input or by force."""

    process: subprocess.Popen[str]

    @staticmethod
    def start(command: list[str]) -> tuple[Process, str]:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return Process(process), process.stdout.readline()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server with all workers."""
    command = [SERVER, "server", "start-dev", "--headless", "--port", "0"]
    server, line = Process.start(command)
    try:
        address = next(word.strip(",.") for word in line.split() if word.startswith("127.0.0.1:"))
        workers = {name: Process.start([*worker, address, f"square-{name}"]) for name, worker in WORKERS.items()}
        assert {name: line for name, (_, line) in workers.items()} == {name: "ready\n" for name in WORKERS}
        yield address
        for worker, _ in workers.values():
            worker.stop()
    finally:
        server.process.kill()
        server.process.wait()


async def start(address: str, workflow: str, caller: str, callee: str) -> Any:
    client = await Client.connect(address)
    return await client.start_workflow(
        workflow, f"square-{callee}", id=f"{workflow}-{uuid.uuid4()}", task_queue=f"square-{caller}"
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("caller", "callee"), PAIRS)
async def test_values_failures_and_heartbeats_cross(address: str, caller: str, callee: str) -> None:
    report = await (await start(address, "Square", caller, callee)).result()
    assert report == {
        "inspected": FINDINGS,
        "given": FINDINGS,
        "refused": REFUSED,
        "resumed": [{"at": 3}, "ü"],
    }


# Java works through the sidecar, in a frame of its own that has no children yet.
RELATIVES = [(parent, child) for parent, child in PAIRS if "java" not in (parent, child)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("parent", "child"), RELATIVES)
async def test_parents_and_children_speak_to_each_other(address: str, parent: str, child: str) -> None:
    report = await (await start(address, "SquareParent", parent, child)).result()
    assert report == {
        "heard": {"name": "Zoë 🦊", "count": 3, "ratio": 0.5, "deep": {"flags": [True, False, None]}},
        "refused": REFUSED,
    }


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("caller", "callee"), PAIRS)
async def test_a_cancelled_workflow_cancels_the_activity_and_hears_how_it_ended(
    address: str, caller: str, callee: str
) -> None:
    handle = await start(address, "SquareCancelled", caller, callee)
    while not await is_lingering(handle):
        # tidy-allow: sleep: the server has no long poll for an activity's heartbeats
        await asyncio.sleep(0.05)
    await handle.cancel()
    assert await handle.result() == {"cancelled": [{"crumbs": 2}]}
    history = await handle.fetch_history()
    ends = [e for e in history.events if e.activity_task_canceled_event_attributes is not None]
    assert len(ends) == 1


async def is_lingering(handle: Any) -> bool:
    pending = (await handle.describe()).raw_description.pending_activities
    return any(activity.heartbeat_details is not None for activity in pending)

"""One Ctrl-C ends a program, whatever its workflows do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import asyncio
from durably import workflow
from durably.client import Client
from durably.worker import Worker

@workflow.defn
class Endless:
    @workflow.run
    async def run(self) -> None:
        print("begun", flush=True)
        while True:
            LOOP

async def main() -> None:
    client = await Client.connect("embedded:")
    async with Worker(client, task_queue="q", workflows=[Endless]):
        await client.execute_workflow(Endless.run, id="w", task_queue="q")

asyncio.run(main())
"""
CATCHES = """
            try:
                while True:
                    pass
            except BaseException:
                pass"""


@pytest.mark.parametrize("loop", ["await asyncio.sleep(3600)", "pass", CATCHES], ids=["waits", "endless", "catches all"])
def test_one_interrupt_ends_a_program(loop: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.replace("LOOP", loop))
    with subprocess.Popen(
        [sys.executable, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in the background with interrupts ignored, and so would be whatever that starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as program:
        try:
            assert program.stdout is not None and program.stdout.readline() == "begun\n"
            began = time.monotonic()
            program.send_signal(signal.SIGINT)
            _, errors = program.communicate(timeout=60)
        finally:
            program.kill()
    assert program.returncode in (-signal.SIGINT, 130), errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert time.monotonic() - began < 20

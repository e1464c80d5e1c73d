"""Histories that the official SDK wrote on a real Temporal server replay here (tests/replay says how they came about)."""

import os
import subprocess
import sys
from pathlib import Path

REPLAY = Path(__file__).parents[2] / "tests" / "replay"


def test_histories_of_the_official_sdk_replay() -> None:
    command = [sys.executable, "replay.py", "histories"]
    environment = {**os.environ, "SDK": "durably"}
    done = subprocess.run(command, cwd=REPLAY, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": replays") == len(list((REPLAY / "histories").glob("*.json"))), done.stdout

"""The order program of examples/python: dies by SIGKILL midway, goes on, and charges each payment once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "python"


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "order.py"), *arguments]
    path = os.pathsep.join([str(FOLDER.parents[1] / "sdk-python"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_orders_survive_a_crash(tmp_path: Path) -> None:
    lines = (FOLDER / "orders.jsonl").read_text().splitlines()
    orders = tmp_path / "orders.jsonl"
    # Among these are a declined card, an unreachable address, goods out of stock, an approval and one that never comes.
    orders.write_text("\n".join(lines[5:35] + lines[146:147]) + "\n")
    common = [str(orders), "--state", str(tmp_path / "state.db"), "--approval-timeout", "2", "--cooling-off", "0.2"]
    crashed = run_program(*common, "--crash-midway")
    assert crashed.returncode == -signal.SIGKILL, crashed.stderr
    resumed = run_program(*common)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "orders are open from an earlier run" in resumed.stdout
    assert "All 31 orders are closed" in resumed.stdout
    assert "was charged exactly once, and no other order paid" in resumed.stdout
    assert "goes on in another process" in resumed.stdout
    again = run_program(*common)
    assert "All 31 orders are closed" in again.stdout, again.stdout + again.stderr


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    orders.write_text(
        '{"id":"1","customer":"a","card":"1","address":"b","items":[{"sku":"x","count":"two","price_cents":1}]}'
    )
    failed = run_program(str(orders), "--state", str(tmp_path / "state.db"))
    assert failed.returncode == 1
    assert "line 1: Order.items[0].count: expected int, got str 'two'" in failed.stderr
    assert not (tmp_path / "state.db").exists()

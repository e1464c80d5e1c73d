"""The types that a user's program sees, checked by mypy itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")
FOLDER = Path(__file__).parent / "typing"


def mypy(path: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=", str(path)]
    return subprocess.run(command, cwd=FOLDER.parent.parent, capture_output=True, text=True).stdout


def test_a_correct_program_passes() -> None:
    assert mypy(FOLDER / "program.py") == ""


def test_the_example_passes() -> None:
    assert mypy(FOLDER.parents[2] / "examples" / "python" / "order.py") == ""


def test_mistakes_are_found_where_they_are() -> None:
    found = {int(line) for line in re.findall(r"mistakes\.py:(\d+): error", mypy(FOLDER / "mistakes.py"))}
    lines = (FOLDER / "mistakes.py").read_text().splitlines()
    assert found == {number for number, line in enumerate(lines, start=1) if line.endswith("# error")}

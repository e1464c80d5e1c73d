"""A test with one mistake in it ends at once, and pytest shows a sentence with the reason and the line, without any flag.

`mistakes.py` has a mistake per test, so that all of them fail. What is said of each stands in `mistakes.txt`;
DURABLY_UPDATE_SNAPSHOTS=1 writes it anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).parent
SNAPSHOT = HERE / "mistakes.txt"
#: A mistake is told within a second or two; here a busy machine has its share.
SECONDS = 15.0


def normal(text: str) -> str:
    """The sentence, and where it happened; without what differs from run to run. A line is named by what stands there."""
    sentence, *rest = text.replace(f"{HERE}{os.sep}", "").splitlines()
    sentence = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", sentence)
    sentence = re.sub(r" at 0x[0-9a-f]+", " at ADDRESS", sentence)
    sentence = re.sub(r"mistakes\.py:(\d+)", _source, sentence)
    place = next((re.search(r'"mistakes\.py", line (\d+)', line) for line in rest if '"mistakes.py"' in line), None)
    return sentence + (f"\n  {_source(place)}" if place is not None else "")


def _source(found: re.Match[str]) -> str:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    return f"mistakes.py `{lines[int(found[1]) - 1].strip()}`"


def test_each_mistake_is_told_at_once(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", "mistakes.py"]
    done = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, timeout=240)
    text = ""
    for case in ElementTree.parse(report).iter("testcase"):
        name, failure = case.get("name", ""), case.find("failure")
        assert failure is not None, f"{name} has not failed: {done.stdout}"
        told = failure.get("message", "")
        assert float(case.get("time", "0")) < SECONDS, f"{name} took too long"
        first = told.splitlines()[0]
        assert first[:150] in done.stdout, f"{name}: the runner does not show {first!r}"
        text += f"== {name}\n{normal(told)}\n\n"
    if os.environ.get("DURABLY_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text()

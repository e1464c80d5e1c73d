"""What README.md shows runs as it stands there, twice: the second run finds the state file of the first."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("quickstart.py")


def test_the_quickstart_greets(tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run([sys.executable, str(PROGRAM)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "Hello, Ann!\n"
    assert (tmp_path / "greetings.db").exists()

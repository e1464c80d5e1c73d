"""What docs/from-temporal.md says about imports: a program for the official SDK is one for ours when the command has run.

That such programs do the same is what `cargo xtask conformance` shows, and `tests/replay` that workflows under way go on.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent


def change(language: str, folder: Path) -> None:
    subprocess.run(["bash", str(HERE / "change_imports.sh"), language], cwd=folder, check=True, timeout=60)


def test_a_python_program_runs_after_its_imports_are_changed(tmp_path: Path) -> None:
    theirs = (HERE / "quickstart.py").read_text().replace("durably", "temporalio")
    assert "from temporalio import activity, workflow" in theirs
    (tmp_path / "program.py").write_text(theirs)
    change("python", tmp_path)
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "Hello, Ann!\n", done.stderr


@pytest.mark.parametrize(
    ("language", "ending", "theirs", "ours"),
    [("typescript", "ts", "@temporalio/", "@durably/"), ("go", "go", "go.temporal.io/sdk/", "durably.dev/sdk/")],
)
def test_no_import_of_the_official_sdk_is_left(language: str, ending: str, theirs: str, ours: str, tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    shutil.copytree(TESTS / "conformance", folder, ignore=shutil.ignore_patterns("node_modules"))
    before = "".join(path.read_text() for path in sorted(folder.rglob(f"*.{ending}")))
    change(language, folder)
    after = "".join(path.read_text() for path in sorted(folder.rglob(f"*.{ending}")))
    assert theirs in before and after == before.replace(theirs, ours)

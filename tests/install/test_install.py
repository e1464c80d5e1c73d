"""The packages install in a user's own project, an empty folder outside the checkout, by the commands of the READMEs, and the
programs and first tests of the READMEs run there.

`cargo xtask package` has made them from the dev build, in the folder that DURABLY_PACKAGES names.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGES = Path(os.environ["DURABLY_PACKAGES"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty folder, beside a checkout that has packages and nothing else."""
    built = tmp_path / "durably" / "target"
    built.mkdir(parents=True)
    (built / "package").symlink_to(PACKAGES, target_is_directory=True)
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def environment(project: Path) -> dict[str, str]:
    """What a user's shell has: the interpreter that runs this test is the `python3` there, and nothing points into the checkout."""
    python = project.parent / "bin" / "python3"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec "{sys._base_executable}" "$@"\n')
    python.chmod(0o755)
    # CGO_*: what would name a library or a header.
    hidden = ("PYTHON", "VIRTUAL_ENV", "CGO_", "NODE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | {"PATH": f"{python.parent}:{kept['PATH']}", "DURABLY": str(project.parent / "durably")}


def run(script: str, project: Path) -> str:
    """Runs the commands of a script as they stand there; gives the last line that they print."""
    done = subprocess.run(
        ["bash", str(HERE / script)], cwd=project, env=environment(project), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def is_stripped(library: Path) -> bool:
    """Whether there is nothing to gain by taking out what only debuggers read, which is most of a library's size."""
    again = library.with_suffix(".again")
    subprocess.run(["strip", "-S", "-o", str(again), str(library)], check=True)
    return again.stat().st_size > 0.9 * library.stat().st_size


def test_the_wheel_installs_and_runs_the_program(project: Path) -> None:
    for file in ["quickstart.py", "test_greeting.py"]:
        shutil.copy(ROOT / "tests" / "docs" / file, project)
    assert run("python.sh", project) == "Hello, Ann!"
    assert (project / "greetings.db").exists()


@pytest.mark.parametrize("modules", ["typescript", "esm"])
def test_the_tarballs_install_and_run_the_program(modules: str, project: Path) -> None:
    for file in ["activities.ts", "workflows.ts", "workflows.test.ts", "main.ts"]:
        own = HERE / modules / file
        text = (own if own.exists() else HERE / "typescript" / file).read_text()
        if modules == "esm":
            # ES modules name files; it is all that differs.
            text = text.replace("from './activities'", "from './activities.js'")
        (project / file).write_text(text)
    assert run(f"{modules}.sh", project) == "Hello, Ann!"
    assert (project / "greetings.db").exists()


def test_the_module_links_and_runs_the_program(project: Path) -> None:
    for file in ["main.go", "main_test.go"]:
        shutil.copy(HERE / "go" / file, project)
    assert run("go.sh", project) == "Hello, Ann!"
    assert (project / "greetings.db").exists()


def test_the_wheel_has_the_package_and_a_stripped_module(tmp_path: Path) -> None:
    [wheel] = PACKAGES.glob("python/*.whl")
    assert "-cp310-abi3-" in wheel.name, "one wheel for all releases of Python"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [extension] = [name for name in names if name.startswith("durably/_bridge.") and not name.endswith(".pyi")]
        assert is_stripped(Path(archive.extract(extension, tmp_path)))
    sdk = ROOT / "sdk-python"
    wanted = {str(path.relative_to(sdk)) for path in sdk.glob("durably/**/*") if path.suffix in {".py", ".pyi", ".typed"}}
    assert {name for name in names if name.startswith("durably/")} == wanted | {extension}


def test_each_package_of_npm_has_its_code_and_the_addon_is_stripped(tmp_path: Path) -> None:
    folders = sorted(path.parent.name for path in (ROOT / "sdk-typescript/packages").glob("*/package.json"))
    tarballs = sorted(PACKAGES.glob("typescript/*.tgz"))
    assert [tarball.name.split("-0.")[0].removeprefix("durably-") for tarball in tarballs] == folders
    for folder, tarball in zip(folders, tarballs, strict=True):
        with tarfile.open(tarball) as archive:
            names = archive.getnames()
            assert {"package/package.json", "package/lib/index.js", "package/lib/index.d.ts"} <= set(names), folder
            assert not [name for name in names if ".test." in name], folder
            if folder == "core-bridge":
                archive.extract("package/durably.node", tmp_path)
                assert is_stripped(tmp_path / "package/durably.node")
            if folder == "proto":
                assert {"package/lib/generated/tables.js", "package/lib/generated/types.d.ts"} <= set(names)


def test_the_module_of_go_needs_nothing_outside(tmp_path: Path) -> None:
    module = PACKAGES / "go"
    assert is_stripped(Path(shutil.copy(module / "lib/libdurably.a", tmp_path)))
    assert not list(module.rglob("*_test.go"))
    link = (module / "internal/bridge/link.go").read_text()
    assert "../../include" in link and "../../lib" in link and "../../../" not in link


def test_a_checkout_without_the_library_says_what_to_do(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sdk-go", tmp_path / "sdk-go")
    shutil.copytree(ROOT / "bridge-c/include", tmp_path / "bridge-c/include")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CGO_")}
    build = ["go", "build", "./internal/bridge"]
    done = subprocess.run(build, cwd=tmp_path / "sdk-go", env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "cargo xtask package --lang go" in done.stderr

"""What docs/deployment.md says about a state file: how it is served, copied, restored, deleted and moved."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from durably.client import Client
from durably.service import RPCError

HERE = Path(__file__).parent
COMMANDS = re.findall(r"^durably (.+)$", (HERE / "deploy.sh").read_text(), re.MULTILINE)
BESIDE = ["state.db", "state.db-shm", "state.db-wal", "state.db.lock", "state.db.sock"]


@contextmanager
def serving(command: str, folder: Path) -> Iterator[str]:
    """Runs the server; gives where it listens. A port that is named twice is the one that is named last."""
    command = re.sub(r" --port \d+", "", command)
    args = [os.environ["DURABLY_BINARY"], *command.split(), "--port", "0"]
    server = subprocess.Popen(args, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        [port] = re.findall(r"listening on [\d.]+:(\d+),", server.stdout.readline())
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        assert server.wait(timeout=20) == 0


def run(step: str, folder: Path) -> None:
    path = os.pathsep.join([str(Path(os.environ["DURABLY_BINARY"]).parent), os.environ["PATH"]])
    command = ["bash", str(HERE / "state.sh"), step]
    subprocess.run(command, cwd=folder, check=True, timeout=60, env={**os.environ, "PATH": path})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("state.db*"))


async def start(target: str, *ids: str) -> None:
    client = await Client.connect(target)
    for workflow_id in ids:
        await client.start_workflow("Greeting", "Ann", id=workflow_id, task_queue="greetings")
    await client.close()


async def listed(target: str) -> set[str]:
    client = await Client.connect(target)
    found = {run.id async for run in client.list_workflows()}
    await client.close()
    return found


@pytest.mark.parametrize("command", [command for command in COMMANDS if "state.db" in command])
def test_each_server_serves_and_leaves_one_file(command: str, tmp_path: Path) -> None:
    with serving(command, tmp_path) as address:
        asyncio.run(start(address, "first"))
        assert names(tmp_path) == BESIDE
        # Another program on this machine that opens the file gets to this server.
        assert asyncio.run(listed(f"embedded:{tmp_path / 'state.db'}")) == {"first"}
    assert names(tmp_path) == ["state.db"]


def test_a_second_server_says_who_has_the_file(tmp_path: Path) -> None:
    with serving(COMMANDS[0], tmp_path):
        args = [os.environ["DURABLY_BINARY"], *COMMANDS[0].split(), "--port", "0"]
        second = subprocess.run(args, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert re.search(r"in use by another process .*\(process \d+\)", second.stderr)


def test_a_backup_of_a_server_at_work_is_what_was_there(tmp_path: Path) -> None:
    with serving(COMMANDS[0], tmp_path) as address:
        asyncio.run(start(address, "before"))
        run("backup", tmp_path)
        asyncio.run(start(address, "after"))
    run("restore", tmp_path)
    with serving(COMMANDS[0], tmp_path) as address:
        assert asyncio.run(listed(address)) == {"before"}
    run("delete", tmp_path)
    assert names(tmp_path) == []


def test_a_copy_of_a_stopped_server_is_a_backup(tmp_path: Path) -> None:
    with serving(COMMANDS[0], tmp_path) as address:
        asyncio.run(start(address, "first"))
    (tmp_path / "state.db").rename(tmp_path / "backup.db")
    run("restore", tmp_path)
    with serving(COMMANDS[0], tmp_path) as address:
        assert asyncio.run(listed(address)) == {"first"}


def test_a_file_that_was_copied_without_its_log_is_refused(tmp_path: Path) -> None:
    with serving(COMMANDS[0], tmp_path) as address:
        asyncio.run(start(address, "first"))
        (tmp_path / "copy.db").write_bytes((tmp_path / "state.db").read_bytes())
    with pytest.raises(RPCError, match="copy.db-wal is missing"):
        asyncio.run(listed(f"embedded:{tmp_path / 'copy.db'}"))


def test_an_embedded_file_moves_to_a_server(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(HERE / "quickstart.py")], cwd=tmp_path, check=True, timeout=60)
    [command] = [command for command in COMMANDS if "greetings.db" in command]
    with serving(command, tmp_path) as address:
        assert asyncio.run(listed(address)) == {"greet-ann"}

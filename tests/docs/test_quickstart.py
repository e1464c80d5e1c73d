"""What README.md shows runs as it stands there, twice: the second run finds the state file of the first. Also after a kill."""

import asyncio
import subprocess
import sys
from pathlib import Path

from durably.client import Client
from durably.service import RPCError, RPCStatusCode

PROGRAM = Path(__file__).with_name("quickstart.py")


def test_the_quickstart_greets(tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run([sys.executable, str(PROGRAM)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "Hello, Ann!\n"
    assert (tmp_path / "greetings.db").exists()


async def until_started(folder: Path) -> None:
    while not (folder / "greetings.db.sock").exists():
        await asyncio.sleep(0)
    client = await Client.connect(f"embedded:{folder / 'greetings.db'}")
    while True:
        try:
            await client.get_workflow_handle("greet-ann").describe()
            return await client.close()
        except RPCError as error:
            assert error.status is RPCStatusCode.NOT_FOUND, error


def test_the_quickstart_goes_on_after_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM)]
    killed = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    asyncio.run(asyncio.wait_for(until_started(tmp_path), 60))
    killed.kill()
    assert killed.communicate()[0] == ""
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "Hello, Ann!\n"), done.stderr

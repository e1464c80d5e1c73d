"""The server command of README.md: its flags are those of the binary, and the quickstart runs against it."""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_command_serves_the_quickstart(tmp_path: Path) -> None:
    [command] = re.findall(r"^target/release/durably (.+)$", (HERE / "run-server.sh").read_text(), re.MULTILINE)
    binary = os.environ["DURABLY_BINARY"]
    server = subprocess.Popen([binary, *command.split(), "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        [address] = re.findall(r"127\.0\.0\.1:\d+", server.stdout.readline())
        program = (HERE / "quickstart.py").read_text().replace("embedded:greetings.db", address)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.stdout == "Hello, Ann!\n", done.stderr
    finally:
        server.terminate()
        assert server.wait(timeout=20) == 0
    assert (tmp_path / "state.db").exists()

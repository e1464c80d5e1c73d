"""The walk of docs/sidecar.md: its lines run as they stand there, but for the port."""

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def script(name: str, folder: Path, port: int) -> dict[str, Any]:
    """How to run a script in that folder, with the port in place of the one that it names."""
    text = (HERE / name).read_text().replace("127.0.0.1:7280", f"127.0.0.1:{port}")
    path = f"{Path(os.environ['DURABLY_BINARY']).parent}:{os.environ['PATH']}"
    # `exec`, so that the signal that ends it reaches the sidecar.
    text = text.replace("\ndurably sidecar", "\nexec durably sidecar")
    return {"args": ["bash", "-c", text], "cwd": folder, "env": os.environ | {"PATH": path}, "text": True}


def test_a_workflow_by_curl(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "sidecar.toml").write_text((HERE / "sidecar.toml").read_text().replace("7280", str(port)))
    sidecar = subprocess.Popen(**script("sidecar_start.sh", tmp_path, port), stdout=subprocess.PIPE)
    try:
        assert sidecar.stdout is not None
        assert "durably sidecar is listening on" in sidecar.stdout.readline()
        walk = subprocess.run(**script("sidecar_walk.sh", tmp_path, port), capture_output=True, timeout=60)
        assert walk.returncode == 0, walk.stdout + walk.stderr
        assert '"activityStart"' in walk.stdout and '"resolveActivity"' in walk.stdout and '"pollers"' in walk.stdout
        assert walk.stdout.count('"result":"It will be very kind."') == 2, "the update's answer, and again by its id"
        assert '"failure":{"message":"Bob is greeted by others."}' in walk.stdout
        last = walk.stdout.splitlines()[-1]
        assert '"result":"Hello, Ann!"' in last and '"status":"COMPLETED"' in last
    finally:
        sidecar.terminate()
        assert sidecar.wait(timeout=20) == 0

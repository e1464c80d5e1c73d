"""A worker tells the log when its server is away and when it is back, once each."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from durably import workflow
from durably.client import Client
from durably.service import ConnectConfig, ServiceClient
from durably.worker import Worker


@workflow.defn
class Fine:
    @workflow.run
    async def run(self) -> str:
        return "fine"


class Told(logging.Handler):
    """What the worker said of its server."""

    def __init__(self) -> None:
        super().__init__()
        self.told: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        if "server" in record.getMessage():
            self.told.put_nowait(record.getMessage())


@pytest.mark.timeout(60)
async def test_a_worker_tells_when_its_server_is_away_and_back(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = ConnectConfig(target_host=f"embedded:{tmp_path / 'state.db'}", embedded_listen=address)
    server = Client(await ServiceClient.connect(config))
    told = Told()
    logging.getLogger("durably.worker").addHandler(told)
    try:
        async with await Client.connect(address) as client, Worker(client, task_queue="q", workflows=[Fine]):
            assert await client.execute_workflow(Fine.run, id="before", task_queue="q") == "fine"
            await server.close()
            away = await told.told.get()
            assert away.startswith("The worker of task queue q can't reach its server, and goes on trying: ")
            server = Client(await ServiceClient.connect(config))
            assert await told.told.get() == "The worker of task queue q reaches its server again"
            assert await client.execute_workflow(Fine.run, id="after", task_queue="q") == "fine"
        assert told.told.empty()
    finally:
        logging.getLogger("durably.worker").removeHandler(told)
        await server.close()

"""The asyncio side of the bridge: loops of other kinds, and the core's log records."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from durably import _bridge, _core
from durably.api.core.v1 import WorkerOptions, WorkerRequest
from durably.api.workflowservice.v1 import GetSystemInfoRequest
from durably.client import Client
from durably.runtime import Runtime


class NoReaders(asyncio.SelectorEventLoop):
    """A loop that can't watch sockets, as Windows' proactor."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        if not isinstance(fd, int):
            # The loop's own wake-up.
            super().add_reader(fd, callback, *args)  # type: ignore[misc]
            return
        raise NotImplementedError


def test_a_loop_without_readers_is_woken_by_a_thread() -> None:
    async def connect_and_ask() -> Any:
        client = await Client.connect("embedded:")
        answers = await asyncio.gather(
            *(client.workflow_service.get_system_info(GetSystemInfoRequest()) for _ in range(20))
        )
        await client.close()
        return answers

    loop = NoReaders()
    try:
        answers = loop.run_until_complete(connect_and_ask())
    finally:
        loop.close()
    assert len(answers) == 20 and all(answer.capabilities is not None for answer in answers)


def test_a_closed_mailbox_drops_what_comes() -> None:
    mailbox = _bridge.Mailbox()
    mailbox.close()
    assert mailbox.drain() == []


async def test_an_error_in_a_handler_is_logged_and_the_next_event_is_handled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailbox = _core.Mailbox(asyncio.get_running_loop())
    seen: list[int] = []

    def handler(value: int) -> None:
        if value == 1:
            raise ValueError("first")
        seen.append(value)

    number = mailbox.handle(handler)

    class Drained:
        def drain(self) -> list[tuple[int, Any, None]]:
            return [(number, 1, None), (number, 2, None), (number + 1000, 3, None)]

        def close(self) -> None: ...

    mailbox.bridge = Drained()  # type: ignore[assignment]
    mailbox._drain()
    assert seen == [2]
    record = next(record for record in caplog.records if record.name == "durably.core")
    assert record.levelno == logging.ERROR and "could not be handled" in record.getMessage()


async def test_the_cores_log_goes_to_pythons_logging(client: Client, queue: str) -> None:
    loop = asyncio.get_running_loop()
    logged: asyncio.Future[logging.LogRecord] = loop.create_future()

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loop.call_soon_threadsafe(logged.set_result, record)

    catch = Catch()
    _core.logger.addHandler(catch)
    try:
        mailbox = _core.Mailbox.current()
        ended = asyncio.Event()
        number = mailbox.handle(lambda event: ended.set() if event.shut_down is not None else None)
        options = WorkerOptions(task_queue=queue, workflows=True)
        worker = _bridge.Worker(client.service_client.bridge, mailbox.bridge, number, options)
        worker.request(WorkerRequest())
        record = await logged
    finally:
        _core.logger.removeHandler(catch)
    assert record.levelno == logging.ERROR and "empty worker request" in record.getMessage()
    assert record.threadName is not None and not ended.is_set()
    mailbox.forget(number)


async def test_a_runtime_of_ones_own() -> None:
    async with await Client.connect("embedded:", runtime=Runtime(threads=1)) as client:
        assert await client.service_client.check_health()
    assert Runtime.default() is Runtime.default()
    with pytest.raises(ValueError, match="at least 1"):
        Runtime(threads=0)

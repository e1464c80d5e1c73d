"""The asyncio side of the bridge: one runtime per process, one mailbox per event loop, and futures for operations.

Nothing is polled. A finished operation or a worker's event lands in the loop's mailbox; the loop wakes once, takes all
that is there, and resolves futures or calls the worker's handler directly, with no task in between.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from durably import _bridge

logger = logging.getLogger("durably.core")

# Ids of operations and workers; unique in the process, so that a mailbox never confuses two clients.
_ids = itertools.count(1)
_runtime: _bridge.Runtime | None = None
_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = weakref.WeakKeyDictionary()


def default_runtime() -> _bridge.Runtime:
    """The runtime of this process, made on first use, and again in a forked child."""
    global _runtime
    if _runtime is None or _runtime.forked:
        _runtime = _bridge.Runtime(log_level=logger.getEffectiveLevel())
    return _runtime


class BridgeError(Exception):
    """An operation of the core failed.

    Attributes:
        code: gRPC status code.
        message: What went wrong.
        status: The encoded ``google.rpc.Status`` with details, or empty.
    """

    def __init__(self, code: int, message: str, status: bytes) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Mailbox:
    """The mailbox of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop_ref = weakref.ref(loop)
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._handlers: dict[int, Callable[[Any], None]] = {}
        # The loop holds the callback; the callback must not hold the loop's mailbox alive for ever.
        box = weakref.ref(self)

        def drain() -> None:
            mailbox = box()
            if mailbox is not None:
                mailbox._drain()

        def wake() -> None:
            loop = self._loop_ref()
            if loop is not None:
                loop.call_soon_threadsafe(drain)

        self.bridge = _bridge.Mailbox()
        try:
            loop.add_reader(self.bridge.fileno(), drain)
        except (NotImplementedError, OSError):
            self.bridge = _bridge.Mailbox(wake)

    @staticmethod
    def current() -> Mailbox:
        """The mailbox of the running loop."""
        loop = asyncio.get_running_loop()
        mailbox = _mailboxes.get(loop)
        if mailbox is None:
            if hasattr(loop, "runtime"):
                from durably.worker._guard import violation

                raise violation("a client's call", "do it in an activity; to other workflows, workflows send signals")
            mailbox = _mailboxes[loop] = Mailbox(loop)
        return mailbox

    async def result(self, start: Callable[[_bridge.Mailbox, int], _bridge.Running]) -> Any:
        """Starts an operation and waits for what it delivers; gives it up when the waiting task is cancelled.

        Raises:
            BridgeError: The operation failed.
        """
        number = next(_ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._futures[number] = future
        running: _bridge.Running | None = None
        try:
            running = start(self.bridge, number)
            return await future
        except asyncio.CancelledError:
            if running is not None:
                running.abort()
            raise
        finally:
            self._futures.pop(number, None)

    def handle(self, handler: Callable[[Any], None]) -> int:
        """Registers a handler of events and returns its id."""
        number = next(_ids)
        self._handlers[number] = handler
        return number

    def forget(self, number: int) -> None:
        """Takes a handler away."""
        self._handlers.pop(number, None)

    def _drain(self) -> None:
        for number, value, error in self.bridge.drain():
            future = self._futures.get(number)
            if future is not None:
                if future.done():
                    continue
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(BridgeError(*error))
                continue
            handler = self._handlers.get(number)
            if handler is None:
                continue
            try:
                if error is not None:
                    raise BridgeError(*error)
                handler(value)
            except Exception:
                logger.exception("an event of the core could not be handled")

    def __del__(self) -> None:
        self.bridge.close()


async def connect(options: Any, runtime: _bridge.Runtime | None = None) -> _bridge.Client:
    """Connects by a ``durably.api.core.v1.ConnectOptions``, on the process's runtime unless another is given."""
    runtime = runtime or default_runtime()
    client: _bridge.Client = await Mailbox.current().result(
        lambda mailbox, number: _bridge.connect(runtime, mailbox, number, options)
    )
    return client


async def call(
    client: _bridge.Client,
    service: str,
    method: str,
    request: Any,
    *,
    timeout: float | None = None,
    metadata: Mapping[str, str] | None = None,
    retry: bool = True,
    clock: int = 0,
) -> Any:
    """One unary call; returns the response message (bytes if ``request`` is bytes). ``timeout`` is in seconds, ``clock`` an
    ``AwaitWorkflow.Clock``."""
    return await Mailbox.current().result(
        lambda mailbox, number: client.call(
            mailbox, number, service, method, request, timeout, dict(metadata) if metadata else None, retry, clock
        )
    )


async def await_workflow(client: _bridge.Client, request: Any) -> Any:
    """Waits by an ``AwaitWorkflow`` until a workflow closes; returns a ``WorkflowResult``."""
    return await Mailbox.current().result(lambda mailbox, number: client.await_workflow(mailbox, number, request))


async def close(client: _bridge.Client) -> None:
    """Ends a connection; an embedded server is down, with everything on disk, when this returns."""
    await Mailbox.current().result(client.close)

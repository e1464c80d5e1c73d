"""The workflow's side of an activity that was scheduled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from durably.worker._loop import Task
from durably.workflow._activities import ActivityHandle


class PendingActivity:
    """An activity whose resolution the core owes us."""

    __slots__ = ("cancel_requested", "future", "request_cancel", "ret_type", "started")

    def __init__(self, future: asyncio.Future[Any], ret_type: Any, request_cancel: Callable[[], None]) -> None:
        self.future = future
        self.ret_type = ret_type
        self.started = False
        self.cancel_requested = False
        self.request_cancel = request_cancel

    def cancel(self) -> None:
        """Ask the core for cancellation, once, unless the activity has been resolved."""
        if not self.cancel_requested and not self.future.done():
            self.cancel_requested = True
            self.request_cancel()

    async def wait(self) -> Any:
        """The result. Being cancelled cancels the activity and goes on waiting: how it ends decides what is raised."""
        while True:
            self.started = True
            try:
                return await asyncio.shield(self.future)
            except asyncio.CancelledError:
                if self.future.done():
                    raise
                self.cancel()


class ActivityTask(Task, ActivityHandle[Any]):
    """What `start_activity` returns."""

    pending: PendingActivity

    def cancel(self, msg: Any = None) -> bool:
        # A task that never ran is cancelled without running: it couldn't tell the core.
        if not self.pending.started:
            self.pending.cancel()
        return super().cancel(msg)

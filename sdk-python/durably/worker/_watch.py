"""Watches for workflow code that holds up the event loop, and says where it is.

One daemon thread for all workers of the process. It sleeps while no workflow runs, and never acts on a workflow: a slow
machine or a breakpoint must not fail anything.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from types import FrameType

logger = logging.getLogger("durably.worker")

#: Seconds that an activation may take before it is reported.
LIMIT = 2.0
_TICK = 0.5


class Watch:
    """What one worker's loop thread is doing."""

    def __init__(self) -> None:
        self.since = 0.0
        self.run_id = ""
        self.thread = 0
        self.reported = False
        self.watched = False

    def begin(self, run_id: str) -> None:
        """An activation begins in this thread."""
        self.run_id = run_id
        self.thread = threading.get_ident()
        self.reported = False
        self.since = time.monotonic()
        if not self.watched:
            _wake(self)

    def end(self) -> None:
        """It has ended."""
        self.since = 0.0


_busy = threading.Event()
_lock = threading.Lock()
_watches: set[Watch] = set()
_thread: threading.Thread | None = None


def _wake(watch: Watch) -> None:
    global _thread
    with _lock:
        watch.watched = True
        _watches.add(watch)
        _busy.set()
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="durably-watch", daemon=True)
            _thread.start()


def forget(watch: Watch) -> None:
    """The worker has ended."""
    with _lock:
        _watches.discard(watch)


def _run() -> None:
    while True:
        _busy.wait()
        time.sleep(_TICK)
        now = time.monotonic()
        with _lock:
            for watch in list(_watches):
                if watch.since:
                    continue
                # Idle: its next activation brings it back. It may have begun meanwhile, hence the second look.
                watch.watched = False
                if watch.since:
                    watch.watched = True
                else:
                    _watches.discard(watch)
            running = list(_watches)
            if not running:
                _busy.clear()
        for watch in running:
            since = watch.since
            if since and now - since > LIMIT and not watch.reported:
                watch.reported = True
                _report(watch, now - since)


def _report(watch: Watch, seconds: float) -> None:
    frame = sys._current_frames().get(watch.thread)
    stack = "".join(traceback.format_list(_user_frames(frame))) if frame is not None else ""
    logger.warning(
        "Workflow code of run %s has held up the worker's event loop for %.1f s. Workflows must not block or compute "
        "for long: move the work into an activity. It is here:\n%s",
        watch.run_id,
        seconds,
        stack,
    )


def _user_frames(frame: FrameType | None) -> list[traceback.FrameSummary]:
    """The stack below the workflow instance's own frames."""
    stack = list(traceback.extract_stack(frame))
    last = 0
    for index, summary in enumerate(stack):
        if "durably" in summary.filename and "worker" in summary.filename:
            last = index + 1
    return stack[last:] or stack

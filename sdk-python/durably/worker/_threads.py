"""Cancellation of activities that run in threads: an exception raised in the thread, unless it is shielded."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from durably.exceptions import CancelledError


class ThreadCanceller:
    """Cancels one call in a thread.

    The exception arrives between two bytecodes of the activity; a call into C, such as a blocking read, has to return
    first.
    """

    def __init__(self, *, raise_in_thread: bool) -> None:
        self._lock = threading.Lock()
        self._raise_in_thread = raise_in_thread
        self._thread: int | None = None
        self._shields = 0
        self._pending = False

    def call(self, fn: Callable[..., Any], args: Sequence[Any]) -> Any:
        """Runs the activity; in its thread."""
        with self._lock:
            if self._pending:
                raise CancelledError("Cancelled before start")
            self._thread = threading.get_ident()
        try:
            return fn(*args)
        except StopIteration as error:
            # No future takes it, and the activity would never end. A coroutine says the same.
            raise RuntimeError("the activity raised StopIteration") from error
        finally:
            with self._lock:
                self._thread = None

    def cancel(self) -> None:
        """Asks for the exception; from any thread."""
        if not self._raise_in_thread:
            return
        with self._lock:
            self._pending = True
            if self._thread is not None and not self._shields:
                self._raise()

    def _raise(self) -> None:
        if self._thread is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(CancelledError))

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Holds the exception back while the context is open."""
        with self._lock:
            self._shields += 1
        try:
            yield None
        finally:
            with self._lock:
                self._shields -= 1
                due = self._pending and not self._shields and self._raise_in_thread
            if due:
                raise CancelledError()

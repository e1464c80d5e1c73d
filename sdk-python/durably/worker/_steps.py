"""Runs a worker's workflow code in a thread of its own, and goes on without it when a step doesn't return.

One thread takes the activations of a worker, straight from the core's mailbox, and answers them. A step that lasts
gives that place to another thread at once, so that it holds up nobody, and is cut off when it has lasted too long: its
answer is then a failure with the user's stack, an exception ends the code where it stands, and whatever the thread
does after that counts for nothing. Code that can't be ended, because it waits in a call into C or catches everything,
costs its thread and nothing else.
"""

from __future__ import annotations

import collections
import ctypes
import logging
import os
import queue
import select
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from durably import _bridge
from durably.worker import _watch
from durably.workflow._exceptions import CutOff

logger = logging.getLogger("durably.worker")

#: A step that has lasted this long (seconds) is left alone with its thread.
RELIEF = 0.2
#: A step that has lasted this long is cut off: as long as Temporal's Python SDK gives it.
LIMIT = 2.0
#: The same where a test waits to be told (`fail_fast`). Imports, which may take long the first time, have the other one.
TEST_LIMIT = 0.5
#: A step that has been under way for this long there is told of, however little of the processor it got: the server waits ten
#: seconds for its answer, and hears nothing of later attempts.
LOST = 8.0
#: The same while the worker shuts down: whoever has pressed Ctrl-C waits for it, and the server gives the task to another.
LAST_LIMIT = 0.5

# An exception in the middle of logging or of an import could leave a lock of the whole process locked.
_DELICATE = (os.path.dirname(logging.__file__) + os.sep, "<frozen importlib")
# Below these, innermost, is the user's code.
_OUR_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_BESIDE_CODE = _OUR_FOLDER + "_guard.py"
_PACKAGE_FOLDER = os.path.dirname(os.path.dirname(_OUR_FOLDER)) + os.sep
_STDLIB_FOLDER = os.path.dirname(os.path.abspath(threading.__file__)) + os.sep


#: File, line, function.
Frame = tuple[str, int, str]


class Step:
    """One activation under way. `reply` takes its completion, once."""

    __slots__ = ("activation", "reply")

    def __init__(self, activation: Any, reply: Callable[[Any], None]) -> None:
        self.activation = activation
        self.reply = reply


class Steps:
    """The threads of one worker's workflows."""

    def __init__(
        self,
        take: Callable[[Stepper, Any], None],
        leave_behind: Callable[[Step], None],
        cut_off: Callable[[Step, list[Frame]], None],
        closed: Callable[[], None],
        *,
        tells_tests: bool = False,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            take: Handles what came in the mailbox; in the thread given.
            leave_behind: A step is about to be cut off. Called, as is the next one, in the thread that watches; the step
                can't end before this has returned.
            cut_off: A step has been cut off, and the user's code stood there. Called in the thread that watches.
            closed: All is over; called in the last thread.
            tells_tests: A test waits for what becomes of the steps.
        """
        self.take = take
        self.leave_behind = leave_behind
        self.cut_off = cut_off
        self.lock = threading.Lock()
        self._closed = closed
        self.tells_tests = tells_tests
        self._is_closed = False
        self.is_pressed = False
        self._waiting: collections.deque[Any] = collections.deque()
        self._stepper: Stepper | None = None
        self.mailbox, self._wait = _waitable()

    def start(self) -> None:
        """Begins to take what comes."""
        self._stepper = Stepper(self)
        self._stepper.start()

    @property
    def limit(self) -> float:
        """How long (seconds) a step may last."""
        limit = min(LIMIT, TEST_LIMIT) if self.tells_tests else LIMIT
        return min(limit, LAST_LIMIT) if self.is_pressed else limit

    def press(self) -> None:
        """The worker shuts down: what lasts is not waited for."""
        self.is_pressed = True

    def close(self) -> None:
        """Ends the thread as soon as it is idle."""
        if self._stepper is None:
            self.mailbox.close()
            return
        self._is_closed = True
        self.mailbox.post(0, None)

    def relieve(self, stepper: Stepper) -> None:
        """Lets another thread take what comes; with the lock held."""
        if self._stepper is stepper:
            self.start()

    def next(self, stepper: Stepper) -> Any:
        """Waits for something to do; None if there is nothing more to do for this thread."""
        while True:
            with self.lock:
                if self._stepper is not stepper:
                    return None
                if self._waiting:
                    return self._waiting.popleft()
                if self._is_closed:
                    break
            self._wait()
            self._waiting.extend(value for _, value, _ in self.mailbox.drain() if value is not None)
        self.mailbox.close()
        self._closed()
        return None


class Stepper(threading.Thread):
    """A thread that runs steps, and what the watch knows of the one under way."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(name="durably-workflows", daemon=True)
        self._steps = steps
        self.step: Step | None = None
        self.number = 0
        self.is_watched = False
        self.is_cut_off = False
        self.meter = _watch.Meter()

    def run(self) -> None:
        self.meter.adopt_thread()
        while (given := self._steps.next(self)) is not None:
            try:
                self._steps.take(self, given)
            except CutOff:
                return
            except BaseException:
                # Whatever it was, others wait for this thread.
                logger.exception("an activation could not be handled")

    def begin(self, step: Step) -> None:
        """A step begins, in this thread."""
        self.number += 1
        self.step = step
        if not self.is_watched:
            _watch.add(self)

    def end(self) -> bool:
        """It has ended; returns whether its answer still counts."""
        with self._steps.lock:
            self.step = None
            if not self.is_cut_off:
                return True
            _raise_in(self.ident, None)
            return False

    def lasts(self, number: int, busy: float) -> None:
        """The step of that number has lasted so long; called now and then by the watch."""
        with self._steps.lock:
            step = self.step
            if step is None or self.number != number:
                return
            limit = self._steps.limit
            self.meter.is_pressed = self._steps.is_pressed
            is_lost = self._steps.tells_tests and self.meter.age() >= LOST
            if busy < min(RELIEF, limit) and not is_lost:
                return
            self._steps.relieve(self)
            if busy < limit and not is_lost:
                return
            frame = sys._current_frames().get(self.ident or 0)
            is_delicate = _is_delicate(frame)
            if is_delicate and busy < LIMIT and not self._steps.is_pressed:
                return
            frames = _user_frames(frame)
            is_first = not self.is_cut_off
            if is_first:
                self._steps.leave_behind(step)
                self.is_cut_off = True
            if not is_delicate:
                _raise_in(self.ident, CutOff)
            if not is_first:
                return
        self._steps.cut_off(step, frames)


def _waitable() -> tuple[_bridge.Mailbox, Callable[[], Any]]:
    """A mailbox for a thread, and what waits until there is something in it."""
    try:
        mailbox = _bridge.Mailbox()
        poller = select.poll()
        poller.register(mailbox.fileno(), select.POLLIN)
        return mailbox, poller.poll
    except (OSError, AttributeError):  # Windows
        wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        return _bridge.Mailbox(lambda: wake.put(None)), wake.get


def _raise_in(thread: int | None, error: Any) -> None:
    value = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread or 0), value)


def _is_delicate(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_DELICATE):
            return True
        frame = frame.f_back
    return False


def _user_frames(frame: FrameType | None) -> list[Frame]:
    """The part of a stack that the user's code and what it calls are in: file, line and function, outermost first.

    Empty where the stack is between two pieces of the user's code, in libraries and the worker alone.
    """
    found: list[Frame] = []
    is_users = False
    while frame is not None:
        filename = frame.f_code.co_filename
        if filename.startswith(_OUR_FOLDER) and filename != _BESIDE_CODE:
            if is_users:
                break
            # The user's code may have called it: that is further out.
        else:
            found.append((filename, frame.f_lineno, getattr(frame.f_code, "co_qualname", frame.f_code.co_name)))
            is_users = is_users or not filename.startswith((_PACKAGE_FOLDER, _STDLIB_FOLDER, "<"))
        frame = frame.f_back
    return found[::-1] if is_users else []

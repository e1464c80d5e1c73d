"""Watches steps of workflows, and tells each how long it has lasted.

One daemon thread for all workers of the process; it sleeps while no workflow runs. What counts is the time for which
the step's own thread computed, so that nothing is held against a workflow on a slow or busy machine, or while the
process is stopped; and the time in which that thread did nothing at all, since then it waits for something.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durably.worker._steps import Stepper

#: Seconds between two looks.
TICK = 0.1
# A thread that got less than this share of the time since the last look is taken to wait.
_IDLE_SHARE = 0.01


class Meter:
    """How long a thread's present step has lasted."""

    def __init__(self) -> None:
        self._clock: int | None = None
        self._number = 0
        self._cpu = 0.0
        self._busy = 0.0
        self._seen = 0.0
        #: All time counts, whoever had it: somebody waits for the step to end.
        self.is_pressed = False

    def adopt_thread(self) -> None:
        """Measures the calling thread from now on. Without clocks of threads (macOS, Windows), all time counts."""
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._clock = clock_of(threading.get_ident()) if clock_of is not None else None

    def read(self, number: int, elapsed: float) -> float:
        """Seconds for which the step of that number has lasted, `elapsed` after the last look."""
        cpu = time.clock_gettime(self._clock) if self._clock is not None else 0.0
        if number != self._number:
            self._number, self._busy, self._seen = number, 0.0, time.monotonic()
        else:
            used = cpu - self._cpu
            self._busy += used if used > elapsed * _IDLE_SHARE and not self.is_pressed else elapsed
        self._cpu = cpu
        return self._busy

    def age(self) -> float:
        """Seconds since the step was first seen, by the clock on the wall."""
        return time.monotonic() - self._seen


_busy = threading.Event()
_lock = threading.Lock()
_steppers: set[Stepper] = set()
_thread: threading.Thread | None = None


def add(stepper: Stepper) -> None:
    """Watches the thread for as long as it has steps."""
    global _thread
    with _lock:
        stepper.is_watched = True
        _steppers.add(stepper)
        _busy.set()
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="durably-watch", daemon=True)
            _thread.start()


def _run() -> None:
    last = time.monotonic()
    while True:
        _busy.wait()
        time.sleep(TICK)
        now = time.monotonic()
        # Time in which this thread did not run either is nobody's fault.
        elapsed, last = min(now - last, 2 * TICK), now
        with _lock:
            for stepper in list(_steppers):
                if stepper.step is not None:
                    continue
                # Idle: its next step brings it back. It may have begun meanwhile, hence the second look.
                stepper.is_watched = False
                if stepper.step is not None:
                    stepper.is_watched = True
                else:
                    _steppers.discard(stepper)
            running = list(_steppers)
            if not running:
                _busy.clear()
        for stepper in running:
            number = stepper.number
            if stepper.step is not None:
                stepper.lasts(number, stepper.meter.read(number, elapsed))

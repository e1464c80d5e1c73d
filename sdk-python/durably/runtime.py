"""The threads that clients and workers run on.

One runtime with two threads serves a process; it is made on first use, and made anew in a forked child. A runtime of
your own is only needed for another number of threads.
"""

from __future__ import annotations

import logging
from typing import ClassVar

from durably import _bridge, _core

__all__ = ["Runtime"]


class Runtime:
    """Threads for clients, given to `Client.connect(runtime=…)`. They end with the last client."""

    _default: ClassVar[Runtime | None] = None

    def __init__(self, *, threads: int = 2, log_level: int | None = None) -> None:
        """Starts the threads.

        Args:
            threads: How many.
            log_level: What the core logs at this level of `logging` or above goes to the logger "durably.core"; the
                level is one for the whole process. Default: that logger's level at this moment.

        Raises:
            RuntimeError: Threads can't be started.
            ValueError: `threads` is less than 1.
        """
        if threads < 1:
            raise ValueError("Runtime: threads must be at least 1")
        level = logging.getLogger("durably.core").getEffectiveLevel() if log_level is None else log_level
        self._bridge = _bridge.Runtime(threads, level)

    @staticmethod
    def default() -> Runtime:
        """The runtime of clients that are given none."""
        bridge = _core.default_runtime()
        if Runtime._default is None or Runtime._default._bridge is not bridge:
            Runtime._default = Runtime.__new__(Runtime)
            Runtime._default._bridge = bridge
        return Runtime._default

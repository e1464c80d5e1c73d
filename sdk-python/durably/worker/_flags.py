"""What this SDK does otherwise than in histories that were made before, by number: a flag that a step relied on is recorded with
its workflow task, and comes back when that is replayed."""

from __future__ import annotations

from typing import Any

RAISE_WHEN_CANCELLED_AT_THE_END = 1001
"""A cancellation that comes in the same step as the end of what is waited for is raised. Without it, it is forgotten, as by the
official SDK: its histories replay here. (Its own flags count from 1.)"""


class Flags:
    """The flags of one run."""

    def __init__(self) -> None:
        self.used: list[int] = []
        """In the present step."""
        self._available: frozenset[int] = frozenset()
        self._is_replaying = False

    def begin(self, activation: Any) -> None:
        """A step begins."""
        self.used = []
        self._available = frozenset(activation.available_flags)
        self._is_replaying = activation.is_replaying

    def use(self, flag: int) -> bool:
        """Whether to do as the flag says: always in a new step, in a replayed one if it was so then."""
        if self._is_replaying:
            return flag in self._available
        if flag not in self.used:
            self.used.append(flag)
        return True

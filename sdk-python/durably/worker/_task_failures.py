"""Tells of failed workflow tasks: in full when a run begins to fail, and then only how often.

The server retries a failed task for as long as it fails, so that one mistake would otherwise fill the log.
"""

from __future__ import annotations

import collections
import logging
import os
import traceback
from collections.abc import Iterable

from durably.converter._failure import text_of

logger = logging.getLogger("durably.worker")

_OUR_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB_FOLDER = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_SITE_PACKAGES = os.sep + "site-packages" + os.sep
#: Runs that are remembered.
_MOST_RUNS = 10_000


class TaskFailures:
    """What the log has been told of each failing run."""

    def __init__(self) -> None:
        self._runs: collections.OrderedDict[str, tuple[str, int]] = collections.OrderedDict()

    def failed(
        self, run_id: str, workflow_type: str, error: BaseException, *, place: str = "", stack: str = ""
    ) -> None:
        """A workflow task failed.

        Args:
            run_id: Of the run.
            workflow_type: Its type, or empty if it is not known.
            error: Why; with the stack that led to it, if it has one.
            place: `file:line` of the user's code, if the error's stack doesn't lead there.
            stack: Where that is, in lines.
        """
        place = place or place_of(error)
        what = f"{type(error).__name__}: {text_of(error)}" + (f" ({place})" if place else "")
        before, count = self._runs.get(run_id, ("", 0))
        count = count + 1 if what == before else 1
        self._runs[run_id] = (what, count)
        self._runs.move_to_end(run_id)
        if len(self._runs) > _MOST_RUNS:
            self._runs.popitem(last=False)
        if count == 1:
            logger.warning(
                "Workflow task of run %s%s failed, and is retried until it succeeds: %s%s",
                run_id,
                f" ({workflow_type})" if workflow_type else "",
                what,
                "\n" + stack if stack else "",
                exc_info=error if error.__traceback__ is not None else None,
            )
            return
        # 10, 100, 1000…: it still happens, and there is nothing new to say.
        level = logging.WARNING if count >= 10 and str(count).strip("0") == "1" else logging.DEBUG
        logger.log(level, "Workflow task of run %s has failed %d times in the same way: %s", run_id, count, what)

    def ended(self, run_id: str, workflow_type: str, error: BaseException) -> None:
        """The run itself failed, by what the core found."""
        self.succeeded(run_id)
        logger.warning("Workflow run %s (%s) failed: %s: %s", run_id, workflow_type, type(error).__name__, text_of(error))

    def succeeded(self, run_id: str) -> None:
        """A workflow task succeeded, or the run is over."""
        if self._runs:
            self._runs.pop(run_id, None)


def place_of(error: BaseException) -> str:
    """`file:line` of the innermost frame of the user's that the error came through; empty if there is none."""
    seen: set[int] = set()
    current: BaseException | None = error
    places: list[tuple[str, int]] = []
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        places += reversed([(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(current.__traceback__)])
        current = current.__cause__ or current.__context__
    return nearest(places)


def nearest(places: Iterable[tuple[str, int]]) -> str:
    """The first of these that is the user's, as `file:line`; libraries skipped where possible."""
    found = ""
    for filename, line in places:
        if filename.startswith((_OUR_FOLDER, "<")):
            continue
        if not filename.startswith(_STDLIB_FOLDER) and _SITE_PACKAGES not in filename:
            return f"{filename}:{line}"
        found = found or f"{filename}:{line}"
    return found

"""Tells of failed tasks: in full when something begins to fail, and then only how often.

The server retries a failed task for as long as it fails, so that one mistake would otherwise fill the log.
"""

from __future__ import annotations

import collections
import logging
import os
import traceback
from collections.abc import Hashable, Iterable
from types import TracebackType

from durably.converter._failure import text_of

logger = logging.getLogger("durably.worker")

_OUR_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB_FOLDER = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_SITE_PACKAGES = os.sep + "site-packages" + os.sep
#: Things that fail which are remembered.
_MOST = 10_000


class Repetitions:
    """How often the same has been said of each thing that fails."""

    def __init__(self) -> None:
        self._said: collections.OrderedDict[Hashable, tuple[str, int]] = collections.OrderedDict()

    def count(self, key: Hashable, what: str) -> int:
        """Says it once more; how often it was said in a row, this time included."""
        before, count = self._said.get(key, ("", 0))
        count = count + 1 if what == before else 1
        self._said[key] = (what, count)
        self._said.move_to_end(key)
        if len(self._said) > _MOST:
            self._said.popitem(last=False)
        return count

    def forget(self, key: Hashable) -> None:
        """It does not fail any more."""
        if self._said:
            self._said.pop(key, None)


def level_of(count: int) -> int:
    """How loud a repetition is: 10, 100, 1000...: it still happens, and there is nothing new to say."""
    return logging.WARNING if count >= 10 and str(count).strip("0") == "1" else logging.DEBUG


class TaskFailures:
    """What the log has been told of each failing run."""

    def __init__(self) -> None:
        self._repetitions = Repetitions()

    def failed(
        self,
        run_id: str,
        workflow_type: str,
        error: BaseException,
        *,
        workflow_id: str = "",
        place: str = "",
        stack: str = "",
    ) -> None:
        """A workflow task failed.

        Args:
            run_id: Of the run.
            workflow_type: Its type, or empty if it is not known.
            error: Why; with the stack that led to it, if it has one.
            workflow_id: Of the workflow, or empty if it is not known.
            place: `file:line` of the user's code, if the error's stack doesn't lead there.
            stack: Where that is, in lines.
        """
        place = place or place_of(error)
        what = f"{type(error).__name__}: {text_of(error)}" + (f" ({place})" if place else "")
        count = self._repetitions.count(run_id, what)
        run = _name_of(run_id, workflow_type, workflow_id)
        if count == 1:
            logger.warning(
                "Workflow task of run %s failed, and is retried until it succeeds: %s%s",
                run,
                what,
                "\n" + stack if stack else "",
                exc_info=exc_info_of(error) if not stack else None,
            )
            return
        logger.log(level_of(count), "Workflow task of run %s has failed %d times in the same way: %s", run, count, what)

    def ended(self, run_id: str, workflow_type: str, error: BaseException, *, workflow_id: str = "") -> None:
        """The run itself failed, by what the core found."""
        self.succeeded(run_id)
        run = _name_of(run_id, workflow_type, workflow_id)
        logger.warning("Workflow run %s failed: %s: %s", run, type(error).__name__, text_of(error))

    def succeeded(self, run_id: str) -> None:
        """A workflow task succeeded, or the run is over."""
        self._repetitions.forget(run_id)


def _name_of(run_id: str, workflow_type: str, workflow_id: str) -> str:
    run = f"{run_id} of workflow {workflow_id}" if workflow_id else run_id
    return f"{run} ({workflow_type})" if workflow_type else run


def exc_info_of(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    """The error for the log, with the user's frames only; None if it has no traceback."""
    if error.__traceback__ is None:
        return None
    return type(error), error, users_traceback(error.__traceback__)


def users_traceback(of: TracebackType | None) -> TracebackType | None:
    """The traceback without this package's frames; whole, if nothing else is in it."""
    entries = []
    current = of
    while current is not None:
        if not current.tb_frame.f_code.co_filename.startswith((_OUR_FOLDER, "<")):
            entries.append(current)
        current = current.tb_next
    kept: TracebackType | None = None
    for entry in reversed(entries):
        kept = TracebackType(kept, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return kept or of


def users_stack(error: BaseException) -> str:
    """The user's frames that the error came through, as lines."""
    return "".join(traceback.format_tb(users_traceback(error.__traceback__))) if error.__traceback__ else ""


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

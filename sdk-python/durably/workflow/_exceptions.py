"""Errors and outcomes that only workflow code meets."""

from __future__ import annotations

from typing import Any

from durably.exceptions import TemporalError


class NondeterminismError(TemporalError):
    """Workflow code did what can't be replayed. Fails the workflow task, not the workflow, unless listed in
    `failure_exception_types`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ReadOnlyContextError(TemporalError):
    """A query handler or an update's validator tried to change something: they may only read the workflow's state."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ContinueAsNewError(BaseException):
    """Raised by `continue_as_new`; let it pass. Not an `Exception`, so that `except Exception` doesn't stop it."""

    def __init__(self, *args: object) -> None:
        if type(self) is ContinueAsNewError:
            raise RuntimeError("Cannot instantiate ContinueAsNewError directly; call workflow.continue_as_new")
        super().__init__(*args)


class ContinueAsNew(ContinueAsNewError):
    """Carries the command that the run ends with."""

    def __init__(self, command: Any) -> None:
        super().__init__("Workflow continues as new")
        self.command = command


class Evicted(BaseException):
    """Unwinds workflow code of a run that is being forgotten, wherever it still calls the workflow API."""


class CutOff(BaseException):
    """Ends workflow code that doesn't return, where it stands."""


class DeadlockError(TemporalError):
    """A step of a workflow did not come to an end. Fails the workflow task."""


class UnfinishedSignalHandlersWarning(RuntimeWarning):
    """The workflow ended while a signal handler was still running; await `all_handlers_finished` before ending."""


class UnfinishedUpdateHandlersWarning(RuntimeWarning):
    """The workflow ended while an update handler was still running, and whoever waits for its answer gets an error instead;
    await `all_handlers_finished` before ending."""

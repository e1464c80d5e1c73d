"""What a client raises beside `RPCError`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durably.exceptions import TemporalError

if TYPE_CHECKING:
    from durably.client._executions import WorkflowExecutionStatus


class WorkflowFailureError(TemporalError):
    """The workflow did not complete. `cause` says how: an `ApplicationError`, `ActivityError`, `CancelledError`,
    `TerminatedError` or `TimeoutError` of `durably.exceptions`."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__("Workflow execution failed")
        # Not by `raise … from`: the cause is part of the value, wherever it is raised.
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """How the workflow ended."""
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowContinuedAsNewError(TemporalError):
    """The run continued as new, and its result was asked for without following runs."""

    def __init__(self, new_execution_run_id: str) -> None:
        super().__init__("Workflow continued as new")
        self.new_execution_run_id = new_execution_run_id
        """The next run."""


class WorkflowQueryRejectedError(TemporalError):
    """The query was not put to the workflow, because of its status."""

    def __init__(self, status: WorkflowExecutionStatus | None) -> None:
        super().__init__(f"Query rejected, status: {status.name if status else 'unknown'}")
        self.status = status
        """The workflow's status."""


class WorkflowQueryFailedError(TemporalError):
    """The workflow's query handler failed, or there is none of that name."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class WorkflowUpdateFailedError(TemporalError):
    """The update was rejected, its handler failed, or its workflow closed before it; `cause` says which and why."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__("Workflow update failed")
        # Not by `raise … from`: the cause is part of the value, wherever it is raised.
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """Why."""
        assert self.__cause__ is not None
        return self.__cause__


class RPCTimeoutOrCancelledError(TemporalError):
    """A call that waits timed out or was cancelled."""


class WorkflowUpdateRPCTimeoutOrCancelledError(RPCTimeoutOrCancelledError):
    """The wait for an update timed out or was cancelled. The update itself may go on."""

    def __init__(self) -> None:
        super().__init__("Timeout or cancellation waiting for update")


class AsyncActivityCancelledError(TemporalError):
    """The activity whose heartbeat was reported should stop."""

    def __init__(self, details: object = None) -> None:
        super().__init__("Activity cancelled")
        self.details = details

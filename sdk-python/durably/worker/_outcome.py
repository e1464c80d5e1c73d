"""How a run ends, and what an activation comes to: commands, or a failed workflow task."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from durably import _messages as msg
from durably.exceptions import FailureError, is_cancelled_exception
from durably.workflow._exceptions import (
    ContinueAsNew,
    CutOff,
    Evicted,
    NondeterminismError,
    UnfinishedSignalHandlersWarning,
    UnfinishedUpdateHandlersWarning,
)

if TYPE_CHECKING:
    from durably.worker._workflow_instance import WorkflowInstance


class Outcome:
    """What has become of a run so far."""

    def __init__(self, run: WorkflowInstance) -> None:
        self._run = run
        self._failure_types = (*run.options.failure_exception_types, *run.definition.failure_exception_types)
        self._closed = False
        self._closes_now = False
        self.cancel_requested = False
        self.task_error: BaseException | None = None
        """Why the present activation fails the workflow task, if it does."""

    async def of(self, fn: Callable[..., Any], *args: Any) -> None:
        """Run a main method or signal handler; what leaves it ends the workflow or fails the task."""
        try:
            await fn(*args)
        except (Evicted, CutOff):
            raise
        except BaseException as err:
            # Also SystemExit and the like: whoever waits for the run hears of them, and other runs go on.
            if self._run.evicted:
                raise
            self.settle(err)

    def settle(self, error: BaseException) -> None:
        """What an error does that left workflow code, or that arose before the code could run."""
        if isinstance(error, ContinueAsNew):
            self.close("continue_as_new", error.command)
        elif self.cancel_requested and is_cancelled_exception(error):
            self.close("cancel_workflow", msg.CancelWorkflow())
        elif isinstance(error, asyncio.CancelledError) or self.is_failure(error):
            self.close("fail_workflow", msg.FailWorkflow(failure=self.failure_of(error)))
        else:
            self.fail_task(error)

    def fail_task(self, error: BaseException) -> None:
        """Fail the present workflow task, unless it has failed already."""
        if self.task_error is None:
            self.task_error = error

    def is_failure(self, error: BaseException) -> bool:
        """Whether it fails the workflow rather than its task."""
        return isinstance(error, (FailureError, asyncio.TimeoutError, *self._failure_types))

    def failure_of(self, error: BaseException) -> Any:
        """The error as a `Failure` message; a converter may do as it likes."""
        before = self._run.set_deterministic(False)
        try:
            return self._run.options.failure_of(error)
        finally:
            self._run.set_deterministic(before)

    def close(self, kind: str, command: Any) -> None:
        """End the run with this command, unless it has ended."""
        run = self._run
        run.commands.issued.append(msg.WorkflowCommand(**{kind: command}))
        if self._closed:
            return
        self._closed = True
        self._closes_now = True

    def warn_of_unfinished(self) -> None:
        """Tell of handlers that are still running now that a step has ended the run."""
        closes, self._closes_now = self._closes_now, False
        run = self._run
        if not closes or run.is_replaying:
            return
        updates, signals = run.handlers.unfinished()
        mending = (
            "end with `await workflow.wait_condition(workflow.all_handlers_finished)` to let them finish, or give "
            "@workflow.{} unfinished_policy=HandlerUnfinishedPolicy.ABANDON."
        )
        if updates:
            warnings.warn(
                f"Workflow {run.workflow_id} finished while update handlers are still running: {', '.join(updates)}. They are "
                f"abandoned, and those who wait for their answers get an error; {mending.format('update')}",
                UnfinishedUpdateHandlersWarning,
                stacklevel=2,
            )
        if signals:
            warnings.warn(
                f"Workflow {run.workflow_id} finished while signal handlers are still running: {', '.join(signals)}. They are "
                f"abandoned; {mending.format('signal')}",
                UnfinishedSignalHandlersWarning,
                stacklevel=2,
            )

    def completion(self, run_id: str, weight: int) -> Any:
        """The `WorkflowCompletion` of the present activation; `weight` is what the run holds, in bytes."""
        error = self.task_error
        if error is not None:
            nondeterminism = isinstance(error, NondeterminismError)
            failure = msg.ActivationFailure(
                failure=self._run.options.failure_of(error), nondeterminism=nondeterminism
            )
            return msg.WorkflowCompletion(run_id=run_id, failure=failure)
        success = msg.ActivationSuccess(
            commands=self._run.commands.issued,
            used_flags=self._run.flags.used,
            cache_bytes=weight,
        )
        return msg.WorkflowCompletion(run_id=run_id, success=success)

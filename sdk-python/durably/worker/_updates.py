"""Updates of a run: whether each is accepted, and what its handler comes to.

The history shows an update from its acceptance on, and nothing at all of one that was turned away. So what decides about that
may only read, and leaves no trace in the run: no task, no number drawn, no condition that is looked at because of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from durably import _messages as msg
from durably.exceptions import CancelledError
from durably.worker import _interception as interception
from durably.workflow._exceptions import ContinueAsNewError, CutOff, ReadOnlyContextError
from durably.workflow._handlers import _UpdateDefinition
from durably.workflow._runtime import UpdateInfo, current_update

if TYPE_CHECKING:
    from durably.worker._workflow_instance import WorkflowInstance


class Updates:
    """The updates of one run."""

    def __init__(self, run: WorkflowInstance) -> None:
        self._run = run
        self.accepted = False
        """Whether one was in the present step."""

    def deliver(self, update: Any) -> None:
        """Decide about an `UpdateReceived` when its turn comes, behind what is ready already."""
        self._run.loop.call_soon(self._begin, update)

    def _begin(self, update: Any) -> None:
        run = self._run
        # For the task of the handler too, which copies this callback's context.
        current_update.set(UpdateInfo(update.id, update.name))
        try:
            call = self._validated(update)
        except CutOff:
            raise
        except BaseException as error:
            run.handlers.ended(update.id)
            if isinstance(error, ReadOnlyContextError) or not update.run_validator:
                # A validator that is wrong, or a history that has it as accepted.
                run.outcome.fail_task(error)
            else:
                self._answer(update, rejected=run.outcome.failure_of(_as_failure(error)))
            return
        self.accepted = True
        self._answer(update, accepted=msg.UpdateAccepted())
        run.loop.run_next(self._handle(update, call), name=f"update: {update.name}")

    def _validated(self, update: Any) -> interception.HandleUpdateInput:
        """The call of the handler of an update that is accepted; raises what turns it away."""
        run, handlers = self._run, self._run.handlers
        handler: _UpdateDefinition | None = handlers.updates.get(update.name) or handlers.updates.get(None)
        if handler is None:
            known = " ".join(sorted(name for name in handlers.updates if name))
            raise RuntimeError(
                f"Update handler for '{update.name}' expected but not found, and there is no dynamic handler. "
                f"known updates: [{known}]"
            )
        handlers.begun(update.id, handler, update.name, update.id)
        problem = handler.signature.mismatch(len(update.arguments)) if handler.name is not None else None
        if problem is not None and len(update.arguments) < handler.signature.required:
            raise TypeError(f"Update {update.name} {problem}")
        call = interception.update_input(update, handler, handlers.args(handler, update.name, update.arguments))
        if update.run_validator and handler.validator is not None:
            with run.reading():
                run.inbound.handle_update_validator(call)
            # Anew: a validator may have changed what it was given.
            call = interception.update_input(update, handler, handlers.args(handler, update.name, update.arguments))
        return call

    async def _handle(self, update: Any, call: interception.HandleUpdateInput) -> None:
        run = self._run
        try:
            result = run.payload_converter.to_payload(await run.inbound.handle_update_handler(call))
        except BaseException as error:
            if isinstance(error, CutOff) or run.evicted:
                raise
            self._failed(update, error)
        else:
            self._answer(update, succeeded=result)
        finally:
            run.handlers.ended(update.id)

    def _failed(self, update: Any, error: BaseException) -> None:
        outcome = self._run.outcome
        if isinstance(error, ContinueAsNewError):
            wrong = RuntimeError(f"Cannot continue as new from an update handler, as that of {update.name} does")
            wrong.__cause__ = error
            outcome.fail_task(wrong)
            return
        error = _as_failure(error)
        if outcome.is_failure(error):
            self._answer(update, failed=outcome.failure_of(error))
        else:
            outcome.fail_task(error)

    def _answer(self, update: Any, **answer: Any) -> None:
        command = msg.WorkflowCommand(update_answer=msg.UpdateAnswer(id=update.id, **answer))
        self._run.commands.issued.append(command)


def _as_failure(error: BaseException) -> BaseException:
    """asyncio's cancellation as ours, which others understand; every other error as it is."""
    if not isinstance(error, asyncio.CancelledError):
        return error
    cancelled = CancelledError(f"Cancellation raised within update {error}".rstrip())
    cancelled.__cause__ = error
    return cancelled

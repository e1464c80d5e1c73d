"""Other workflows of a run: its children, and those to which it sends signals and cancellations.

Whatever is sent is answered by the core. Until then the user's code waits, and if it is cancelled meanwhile, what was sent is
taken back or cancelled: the core's answer, and not the cancellation itself, is what the code gets to see.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from durably import _absent
from durably import _messages as msg
from durably._arguments import UNSET
from durably.exceptions import ApplicationError, WorkflowAlreadyStartedError
from durably.worker import _commands as commands
from durably.worker import _interception as interception
from durably.worker._flags import RAISE_WHEN_CANCELLED_AT_THE_END
from durably.worker._loop import Task
from durably.worker._scheduled import check_status, too_new, value_of
from durably.workflow._children import ChildWorkflowHandle, ChildWorkflowOptions
from durably.workflow._exceptions import NondeterminismError
from durably.workflow._external import signal_and_args

if TYPE_CHECKING:
    from durably.worker._workflow_instance import WorkflowInstance

_ALREADY_EXISTS = 1
_NAMESPACE_NOT_FOUND = 2


class PendingChild:
    """A child whose start or end the core owes us."""

    __slots__ = ("first_run", "options", "result", "start")

    def __init__(self, options: ChildWorkflowOptions, start: asyncio.Future[None], result: asyncio.Future[Any]) -> None:
        self.options = options
        self.start = start
        self.result = result
        self.first_run: str | None = None


class ChildTask(Task, ChildWorkflowHandle[Any, Any]):
    """What `start_child_workflow` returns."""

    pending: PendingChild
    run: WorkflowInstance

    @property
    def id(self) -> str:
        return self.pending.options.id

    @property
    def first_execution_run_id(self) -> str | None:
        return self.pending.first_run

    async def signal(self, signal: Any, arg: Any = UNSET, *more: Any, args: Sequence[Any] = (), **absent: Any) -> None:
        _absent.refuse("ChildWorkflowHandle.signal", absent)
        name, arguments = signal_and_args(signal, arg, more, args)
        self.run.check_writable("signal child workflow")
        await self.run.outbound.signal_child_workflow(
            interception.SignalChildWorkflowInput(name, arguments, self.pending.options.id)
        )


class Related:
    """What the core owes a run of other workflows, by the number of the command."""

    def __init__(self, run: WorkflowInstance) -> None:
        self._run = run
        self._children: dict[int, PendingChild] = {}
        self._last_child = 0
        self._signals: dict[int, asyncio.Future[None]] = {}
        self._last_signal = 0
        self._cancels: dict[int, asyncio.Future[None]] = {}
        self._last_cancel = 0

    def clear(self) -> None:
        """Forget everything."""
        self._children.clear()
        self._signals.clear()
        self._cancels.clear()

    # -- What the code asks for

    async def start_child(self, options: ChildWorkflowOptions) -> ChildTask:
        """Start a child; returns its handle when it has started."""
        run = self._run
        run.check_writable("start child workflow")
        self._last_child = seq = self._last_child + 1
        command = commands.start_child_workflow(seq, options, run.own_info(), run.payload_converter)
        run.commands.issue(options.static_summary, options.static_details, start_child_workflow=command)

        def request_cancel(reason: str) -> None:
            if not run.evicted:
                run.commands.issue(cancel_child_workflow=msg.CancelChildWorkflow(seq=seq, reason=reason))

        self._children[seq] = pending = PendingChild(options, run.loop.create_future(), run.loop.create_future())
        waits = self._wait(pending.result, request_cancel)
        task: ChildTask = run.loop.make_task(ChildTask, waits, f"child {options.name}")
        task.pending, task.run = pending, run
        await self._wait(pending.start, request_cancel, starting=True)
        return task

    async def signal_child(self, call: interception.SignalChildWorkflowInput) -> None:
        """Signal a child; returns when it has been delivered."""
        await self._signal({"child_workflow_id": call.child_workflow_id}, call)

    async def signal(self, call: interception.SignalExternalWorkflowInput) -> None:
        """Signal another workflow; returns when it has been delivered."""
        target = msg.ExternalWorkflow(
            namespace=call.namespace, workflow_id=call.workflow_id, run_id=call.workflow_run_id or ""
        )
        await self._signal({"workflow": target}, call)

    async def _signal(self, target: Any, call: Any) -> None:
        run = self._run
        self._last_signal = seq = self._last_signal + 1
        command = commands.signal_external_workflow(
            seq, target, call.signal, call.args, call.headers, run.payload_converter
        )
        run.commands.issue(signal_external_workflow=command)
        self._signals[seq] = future = run.loop.create_future()

        def take_back(_: str) -> None:
            if not run.evicted:
                run.commands.issue(cancel_signal_external_workflow=msg.CancelSignalExternalWorkflow(seq=seq))

        await self._wait(future, take_back)

    async def cancel(self, workflow_id: str, run_id: str | None, reason: str) -> None:
        """Ask another workflow to end as cancelled; returns when that has been delivered. It can't be taken back."""
        run = self._run
        self._last_cancel = seq = self._last_cancel + 1
        target = msg.ExternalWorkflow(
            namespace=run.own_info().namespace, workflow_id=workflow_id, run_id=run_id or ""
        )
        command = msg.RequestCancelExternalWorkflow(seq=seq, workflow=target, reason=reason)
        run.commands.issue(request_cancel_external_workflow=command)
        self._cancels[seq] = future = run.loop.create_future()
        await future

    async def _wait(
        self, future: asyncio.Future[Any], request_cancel: Callable[[str], None], *, starting: bool = False
    ) -> Any:
        """What the future comes to. Being cancelled requests a cancellation, each time, and goes on waiting; but while a child is
        `starting`, a cancellation of the workflow itself is raised at once."""
        while True:
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError as error:
                done = future.done()
                if not done or (starting and future.exception() is None):
                    # Also a child that has started in this very step: its handle never reaches anybody who could cancel it.
                    request_cancel(error.args[0] if error.args and isinstance(error.args[0], str) else "")
                if starting and self._run.outcome.cancel_requested:
                    raise
                if done and self._run.flags.use(RAISE_WHEN_CANCELLED_AT_THE_END):
                    raise
                task = asyncio.current_task()
                if sys.version_info >= (3, 11) and task is not None:
                    # Else whoever counts cancellations, such as asyncio.timeout, takes this one for not heard of.
                    task.uncancel()
                if done:
                    return future.result()

    # -- What the core answers

    def resolve(self, job: Any) -> bool:
        """Take the job, if it is about other workflows."""
        if (started := job.resolve_child_workflow_start) is not None:
            self._resolve_start(started)
        elif (ended := job.resolve_child_workflow) is not None:
            self._resolve_child(ended)
        elif (signalled := job.resolve_signal_external_workflow) is not None:
            self._resolve_delivery("signal", self._signals, signalled)
        elif (cancelled := job.resolve_request_cancel_external_workflow) is not None:
            self._resolve_delivery("cancellation", self._cancels, cancelled)
        else:
            return False
        return True

    def _resolve_start(self, job: Any) -> None:
        pending = self._children.get(job.seq)
        if pending is None or pending.start.done():
            raise NondeterminismError(f"the history starts child workflow {job.seq}, which the code hasn't started")
        if job.started is not None:
            pending.first_run = job.started.run_id
            pending.start.set_result(None)
            return
        if job.failed is None and job.cancelled is None:
            raise too_new("the start of a child workflow")
        del self._children[job.seq]
        _fail(pending.start, self._error(job.cancelled) if job.cancelled is not None else _start_error(job.failed))
        # Nobody ever gets the handle.
        pending.result.set_result(None)

    def _resolve_child(self, job: Any) -> None:
        pending = self._children.pop(job.seq, None)
        if pending is None:
            raise NondeterminismError(f"the history ends child workflow {job.seq}, which the code hasn't started")
        check_status(job.result, "the end of a child workflow")
        try:
            value = value_of(self._run, job.result, pending.options.ret_type)
        except Exception as error:
            # Raised where the workflow waits for the result, so that the stack shows which child it was.
            _fail(pending.result, error)
        else:
            pending.result.set_result(value)

    def _resolve_delivery(self, what: str, pending: dict[int, asyncio.Future[None]], job: Any) -> None:
        future = pending.pop(job.seq, None)
        if future is None:
            raise NondeterminismError(f"the history delivers {what} {job.seq}, which the code hasn't sent")
        if future.done():
            # The wait for it was cancelled.
            return
        if job.failure is None:
            future.set_result(None)
        else:
            _fail(future, self._error(job.failure))

    def _error(self, failure: Any) -> BaseException:
        run = self._run
        return run.options.failure_converter.from_failure(failure, run.payload_converter)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    future.set_exception(error)
    # Nobody has to look at it: the code may wait for something else.
    future.exception()


def _start_error(failed: Any) -> BaseException:
    """Why a child could not be started."""
    if failed.cause == _ALREADY_EXISTS:
        return WorkflowAlreadyStartedError(failed.workflow_id, failed.workflow_type)
    child = f"child workflow {failed.workflow_id} ({failed.workflow_type})"
    if failed.cause == _NAMESPACE_NOT_FOUND:
        return ApplicationError(f"{child} was not started: there is no such namespace", type="NamespaceNotFound")
    return ApplicationError(f"{child} was not started: the server's reason has number {failed.cause}", type="StartFailed")

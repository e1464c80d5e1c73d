"""Timers and activities of a run: started by its code, resolved by the core."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from durably import _messages as msg
from durably.worker import _commands as commands
from durably.worker._activity_task import ActivityTask, PendingActivity
from durably.worker._loop import TimerHandle
from durably.workflow._activities import ActivityHandle, ActivityOptions
from durably.workflow._exceptions import NondeterminismError

if TYPE_CHECKING:
    from durably.worker._workflow_instance import WorkflowInstance


class Scheduled:
    """What the core owes a run."""

    def __init__(self, run: WorkflowInstance) -> None:
        self._run = run
        self._timers: dict[int, TimerHandle] = {}
        self._last_timer = 0
        self._summary: str | None = None
        self._activities: dict[int, PendingActivity] = {}
        self._last_activity = 0

    def clear(self) -> None:
        """Forget everything."""
        self._timers.clear()
        self._activities.clear()

    # -- Timers

    def describe_next_timer(self, summary: str | None) -> None:
        """Gives the timer that is about to be started its line for tools."""
        self._summary = summary

    def start_timer(self, seconds: float, handle: TimerHandle) -> None:
        """Start a durable timer; the handle's callback runs when it fires."""
        summary, self._summary = self._summary, None
        self._run.check_writable("start timer")
        self._last_timer = seq = self._last_timer + 1
        handle.seq = seq
        self._timers[seq] = handle
        self._run.commands.issue(summary, start_timer=commands.start_timer(seq, seconds))

    def cancel_timer(self, handle: TimerHandle) -> None:
        """Cancel it, unless it has fired."""
        seq = handle.seq
        if self._timers.pop(seq, None) is not None and not self._run.evicted:
            handle.seq = 0
            self._run.commands.issue(cancel_timer=msg.CancelTimer(seq=seq))

    def fire_timer(self, fired: Any) -> None:
        """A timer has fired."""
        handle = self._timers.pop(fired.seq, None)
        if handle is not None:
            handle.seq = 0
            self._run.loop.push_ready(handle)
        elif fired.seq > self._last_timer:
            raise NondeterminismError(f"the history fires timer {fired.seq}, which the code hasn't started")
        # Else a signal of the same activation made the code cancel it: signals go first.

    # -- Activities

    def start_activity(self, options: ActivityOptions) -> ActivityHandle[Any]:
        """Schedule an activity."""
        run = self._run
        run.check_writable("start activity")
        self._last_activity = seq = self._last_activity + 1
        eager = not (run.options.disable_eager_activity_execution or options.disable_eager_execution)
        command = commands.schedule_activity(seq, options, run.own_info(), run.payload_converter, eager=eager)
        run.commands.issue(options.summary, schedule_activity=command)

        def request_cancel() -> None:
            if not run.evicted:
                run.commands.issue(request_cancel_activity=msg.RequestCancelActivity(seq=seq))

        pending = PendingActivity(run.loop.create_future(), options.ret_type, request_cancel)
        self._activities[seq] = pending
        task: ActivityTask = run.loop.make_task(ActivityTask, pending.wait(), f"activity {options.name}")
        task.pending = pending
        return task

    def resolve_activity(self, job: Any) -> None:
        """An activity has ended."""
        pending = self._activities.pop(job.seq, None)
        if pending is None:
            raise NondeterminismError(f"the history resolves activity {job.seq}, which the code hasn't scheduled")
        future: asyncio.Future[Any] = pending.future
        check_status(job.result, "the end of an activity")
        if future.done():
            return
        try:
            value = value_of(self._run, job.result, pending.ret_type)
        except Exception as err:
            # Raised where the workflow waits for the result, so that the stack shows which activity it was.
            future.set_exception(err)
            # Nobody has to look at it: the handle may have been dropped.
            future.exception()
        else:
            future.set_result(value)


def check_status(result: Any, what: str) -> None:
    """A resolution without a status that is known here is that of a later core, and must not pass for any other."""
    if result is None or (result.completed is None and result.failed is None and result.cancelled is None):
        raise too_new(what)


def too_new(what: str) -> RuntimeError:
    """Fails the task: the core sent what is none of this SDK's."""
    return RuntimeError(f"the core sent {what} that this SDK doesn't know; update the durably package")


def value_of(run: WorkflowInstance, result: Any, ret_type: Any) -> Any:
    """What an activity or a child has returned, decoded; raises what it failed with."""
    success = result.completed
    if success is None:
        failure = result.failed if result.failed is not None else result.cancelled
        raise run.options.failure_converter.from_failure(failure, run.payload_converter)
    return None if success.result is None else run.payload_converter.from_payload(success.result, ret_type)

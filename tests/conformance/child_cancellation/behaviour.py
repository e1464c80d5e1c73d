"""Cancelling a child workflow: with the four ways of waiting, before its start is sent, and with its parent.

What each parent saw, and the order of its history's events, is the same in every language that has the way of waiting.
"""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError, ChildWorkflowError
from temporalio.workflow import ChildWorkflowCancellationType


@workflow.defn
class TidiesUp:
    """Waits to be cancelled; then to be told that all is tidy, and ends as cancelled, or completes all the same."""

    def __init__(self) -> None:
        self.tidy = False
        self.seen = "running"

    @workflow.signal
    def is_tidy(self) -> None:
        self.tidy = True

    @workflow.query
    def state(self) -> str:
        return self.seen

    @workflow.run
    async def run(self, decline: bool) -> str:
        try:
            await workflow.wait_condition(lambda: False)
        except asyncio.CancelledError:
            self.seen = "tidying up"
            await workflow.wait_condition(lambda: self.tidy)
            if not decline:
                raise
        return "finished"


@workflow.defn
class Cancels:
    """Starts a child, cancels it when it is told to, and tells how the wait for it ended."""

    def __init__(self) -> None:
        self.go = False
        self.stay = True
        self.ended = ""

    @workflow.signal
    def cancel_it(self) -> None:
        self.go = True

    @workflow.signal
    def leave(self) -> None:
        self.stay = False

    @workflow.query
    def child_ended(self) -> str:
        return self.ended

    @workflow.run
    async def run(self, child: str, how: str, decline: bool) -> str:
        handle = await workflow.start_child_workflow(
            TidiesUp.run, decline, id=child, cancellation_type=ChildWorkflowCancellationType[how]
        )
        await workflow.wait_condition(lambda: self.go)
        handle.cancel()
        try:
            self.ended = await handle
        except ChildWorkflowError as error:
            assert isinstance(error.cause, CancelledError), repr(error.cause)
            self.ended = "cancelled"
        await workflow.wait_condition(lambda: not self.stay)
        return self.ended


@workflow.defn
class NeverStarts:
    """Cancels a child in the step in which it starts it: nothing is sent."""

    @workflow.run
    async def run(self, child: str) -> str:
        starting = asyncio.create_task(workflow.start_child_workflow(TidiesUp.run, False, id=child))
        await asyncio.sleep(0)
        starting.cancel()
        try:
            await starting
        except ChildWorkflowError as error:
            assert isinstance(error.cause, CancelledError), repr(error.cause)
            return "cancelled"
        return "started"


@workflow.defn
class Waits:
    """Waits for its child, and knows nothing of cancellation."""

    @workflow.run
    async def run(self, child: str, how: str) -> str:
        return await workflow.execute_child_workflow(
            TidiesUp.run, False, id=child, cancellation_type=ChildWorkflowCancellationType[how]
        )


@workflow.defn
class Shields:
    """Its own cancellation is not its child's."""

    @workflow.run
    async def run(self, child: str) -> str:
        handle = await workflow.start_child_workflow(TidiesUp.run, False, id=child)
        try:
            await asyncio.shield(handle)
        except asyncio.CancelledError:
            return "left it alone"
        return "never cancelled"


WORKFLOWS = [TidiesUp, Cancels, NeverStarts, Waits, Shields]

# Event types of Temporal's API: the child's, as the parent sees them.
NAMES = {
    29: "initiated",
    31: "started",
    32: "completed",
    34: "canceled",
    36: "terminated",
    22: "request initiated",
    23: "request failed",
    24: "requested",
}


async def events_of(handle: Any) -> list[int]:
    return [event.event_type async for event in handle.fetch_history_events()]


async def told(handle: Any) -> list[str]:
    """What the history says of the child, in order."""
    return [NAMES[event] for event in await events_of(handle) if event in NAMES]


CANCEL_REQUESTED = 20  # WORKFLOW_EXECUTION_CANCEL_REQUESTED
CHILD_STARTED = 31
TASK_COMPLETED = 7


async def check(env: Any) -> None:
    async def started(handle: Any) -> None:
        """The child has started, and the parent's code has heard of it: a task completed after that."""

        async def child_has_started() -> bool:
            events = await events_of(handle)
            return CHILD_STARTED in events and events[-1] == TASK_COMPLETED

        await env.eventually(child_has_started, "the parent knows that the child has started")

    async def tidies_up(child: Any) -> None:
        async def heard() -> bool:
            return await child.query(TidiesUp.state) == "tidying up"

        await env.eventually(heard, "the child has heard of the cancellation")

    async def cancelled(how: str, decline: bool) -> tuple[Any, Any]:
        """A parent that has cancelled its child, and the child."""
        child = env.client.get_workflow_handle(env.new_id())
        handle = await env.start(Cancels.run, child.id, how, decline)
        env.started.append(child)
        await started(handle)
        await handle.signal(Cancels.cancel_it)
        return handle, child

    async def has_ended(handle: Any) -> None:
        async def ended() -> bool:
            return bool(await handle.query(Cancels.child_ended))

        await env.eventually(ended, "the wait for the child has ended")

    # The parent waits until the child has ended, however it ends. (WAIT_CANCELLATION_REQUESTED is the same in the official
    # core, whatever its documentation says.)
    for how, decline, ends in [
        ("WAIT_CANCELLATION_COMPLETED", False, "canceled"),
        ("WAIT_CANCELLATION_COMPLETED", True, "completed"),
        ("WAIT_CANCELLATION_REQUESTED", False, "canceled"),
    ]:
        handle, child = await cancelled(how, decline)
        await tidies_up(child)
        assert await handle.query(Cancels.child_ended) == "", "the child is still tidying up"
        await child.signal(TidiesUp.is_tidy)
        await handle.signal(Cancels.leave)
        assert await handle.result() == ("finished" if decline else "cancelled")
        assert await told(handle) == ["initiated", "started", "request initiated", "requested", ends]

    # The parent goes on while the child is still tidying up.
    handle, child = await cancelled("TRY_CANCEL", False)
    await has_ended(handle)
    await tidies_up(child)
    await child.signal(TidiesUp.is_tidy)

    async def child_has_ended() -> bool:
        return "canceled" in await told(handle)

    await env.eventually(child_has_ended, "the parent's history says that the child has ended")
    await handle.signal(Cancels.leave)
    assert await handle.result() == "cancelled"
    expected = ["initiated", "started", "request initiated", "requested", "canceled"]
    assert await told(handle) == expected, await told(handle)

    # The child is not asked; it ends with its parent.
    handle, child = await cancelled("ABANDON", False)
    await has_ended(handle)
    assert await child.query(TidiesUp.state) == "running"
    await handle.signal(Cancels.leave)
    assert await handle.result() == "cancelled"
    assert await told(handle) == ["initiated", "started"], await told(handle)

    # Nothing was sent.
    handle = await env.start(NeverStarts.run, env.new_id())
    assert await handle.result() == "cancelled"
    assert await told(handle) == [], await told(handle)

    await with_the_parent(env, started, tidies_up)


async def with_the_parent(env: Any, started: Any, tidies_up: Any) -> None:
    """The parent itself is cancelled."""
    child = env.client.get_workflow_handle(env.new_id())
    handle = await env.start(Waits.run, child.id, "WAIT_CANCELLATION_COMPLETED")
    await started(handle)
    await handle.cancel()
    await tidies_up(child)
    assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
    await child.signal(TidiesUp.is_tidy)
    assert await status_of(handle) == WorkflowExecutionStatus.CANCELED
    assert await status_of(child) == WorkflowExecutionStatus.CANCELED
    assert CANCEL_REQUESTED in await events_of(child)

    # With this one the parent doesn't wait; what becomes of the child is up to the parent close policy: TERMINATE.
    child = env.client.get_workflow_handle(env.new_id())
    handle = await env.start(Waits.run, child.id, "ABANDON")
    await started(handle)
    await handle.cancel()
    assert await status_of(handle) == WorkflowExecutionStatus.CANCELED
    assert await status_of(child) == WorkflowExecutionStatus.TERMINATED
    assert CANCEL_REQUESTED not in await events_of(child)

    child = env.client.get_workflow_handle(env.new_id())
    handle = await env.start(Shields.run, child.id)
    await started(handle)
    await handle.cancel()
    assert await handle.result() == "left it alone"
    assert await told(handle) == ["initiated", "started"], await told(handle)


async def status_of(handle: Any) -> WorkflowExecutionStatus:
    """How it ended."""
    try:
        await handle.result()
    except WorkflowFailureError:
        pass
    status = (await handle.describe()).status
    assert status is not None
    return status

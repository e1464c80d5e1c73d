"""What becomes of a child that is open when its parent ends: it is terminated, asked to end, or left alone.

The policy holds however the parent ends, also if it continues as new.
"""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError, TerminatedError
from temporalio.workflow import ParentClosePolicy


@workflow.defn
class Goes:
    """Goes on until it is told that it may end."""

    def __init__(self) -> None:
        self.may_end = False

    @workflow.signal
    def end(self) -> None:
        self.may_end = True

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.may_end)
        return "by itself"


@workflow.defn
class Ends:
    """Starts a child, and ends in this way without waiting for it."""

    @workflow.run
    async def run(self, child: str, policy: str, ends: str) -> str:
        if not child:
            return "the next run"
        options: dict[str, Any] = {} if policy == "default" else {"parent_close_policy": ParentClosePolicy[policy]}
        await workflow.start_child_workflow(Goes.run, id=child, **options)
        if ends == "fails":
            raise ApplicationError("deliberate")
        if ends == "continues as new":
            workflow.continue_as_new(args=["", "", ""])
        if ends != "completes":
            await workflow.wait_condition(lambda: False)
        return "done"


WORKFLOWS = [Goes, Ends]

# Event types of Temporal's API.
CHILD_STARTED = 31
TASK_COMPLETED = 7

WAYS = ["completes", "fails", "continues as new", "is terminated", "is cancelled", "times out"]
OUTCOMES = {
    "TERMINATE": WorkflowExecutionStatus.TERMINATED,
    "REQUEST_CANCEL": WorkflowExecutionStatus.CANCELED,
    "ABANDON": WorkflowExecutionStatus.COMPLETED,
}


async def check(env: Any) -> None:
    async def one(way: str, policy: str, expected: WorkflowExecutionStatus) -> None:
        status, child = await ended(env, policy, way)
        assert status == expected, f"{policy}, the parent {way}: {status}"
        if policy == "TERMINATE":
            reason = await why(child)
            assert reason == "by parent close policy", reason

    for way in WAYS:
        await asyncio.gather(*(one(way, policy, expected) for policy, expected in OUTCOMES.items()))
    # UNSPECIFIED is what the server makes of it; left out, it is TERMINATE in every SDK.
    for policy in ("default", "UNSPECIFIED"):
        status, _ = await ended(env, policy, "completes")
        assert status == WorkflowExecutionStatus.TERMINATED, policy


async def ended(env: Any, policy: str, way: str) -> tuple[Any, Any]:
    """How the child ended, and the child."""
    child = env.client.get_workflow_handle(env.new_id())
    # Long enough for a busy machine to start a child in.
    limit = {"run_timeout": timedelta(seconds=4)} if way == "times out" else {}
    parent = await env.start(Ends.run, child.id, policy, way, **limit)

    async def child_has_started() -> bool:
        """And the parent's code has heard of it: a task completed after that."""
        events = [event.event_type async for event in parent.fetch_history_events()]
        return CHILD_STARTED in events and events[-1] == TASK_COMPLETED

    if way in ("is terminated", "is cancelled"):
        await env.eventually(child_has_started, "the child has started")
        await (parent.terminate() if way == "is terminated" else parent.cancel())
    try:
        await parent.result()
    except WorkflowFailureError:
        assert way not in ("completes", "continues as new"), way
    if policy == "ABANDON":
        # It goes on, and hears what it is told.
        assert (await child.describe()).status == WorkflowExecutionStatus.RUNNING
        await child.signal(Goes.end)
    try:
        assert await child.result() == "by itself"
    except WorkflowFailureError:
        pass
    env.started.append(child)
    return (await child.describe()).status, child


async def why(child: Any) -> str:
    """The reason given by whoever terminated it."""
    try:
        await child.result()
    except WorkflowFailureError as error:
        assert isinstance(error.cause, TerminatedError)
        return str(error.cause.message)
    raise AssertionError("not terminated")

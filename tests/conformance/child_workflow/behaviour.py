"""Child workflows: started by reference and by name, awaited at once or in two steps, and all the ways in which they end.

What each parent returns is the same in every language; so are the histories that it leaves.
"""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowFailureError
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    RetryState,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowAlreadyStartedError,
)
from temporalio.service import RPCError, RPCStatusCode

ALREADY_STARTED = "WorkflowAlreadyStarted"


@workflow.defn
class Greets:
    @workflow.run
    async def run(self, name: str) -> str:
        return f"hello {name}"


@workflow.defn
class Relatives:
    """Returns the workflow ids of its parent and of the topmost one."""

    @workflow.run
    async def run(self) -> list[str]:
        info = workflow.info()
        return [info.parent.workflow_id if info.parent else "", info.root.workflow_id if info.root else ""]


@workflow.defn
class Collects:
    """Collects three words."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.signal
    def word(self, word: str) -> None:
        self.words.append(word)

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: len(self.words) == 3)
        return " ".join(self.words)


@workflow.defn
class Fails:
    @workflow.run
    async def run(self) -> None:
        try:
            raise ApplicationError("the reason", type="Root")
        except ApplicationError as error:
            raise ApplicationError("deliberate", {"code": 7}, type="Deliberate", non_retryable=True) from error


@workflow.defn
class Flaky:
    """Fails until its attempt of this number, and returns that."""

    @workflow.run
    async def run(self, succeeds_at: int) -> int:
        attempt = workflow.info().attempt
        if attempt < succeeds_at:
            raise ApplicationError(f"attempt {attempt}", type="NotYet")
        return attempt


@workflow.defn
class CountsDown:
    """Continues as new until nothing is left; returns whether its last run is another than its first."""

    @workflow.run
    async def run(self, left: int) -> bool:
        if left > 0:
            workflow.continue_as_new(left - 1)
        return workflow.info().run_id != workflow.info().first_execution_run_id


def outcome(error: BaseException) -> list[Any]:
    """A failure as a list that is the same in every language, its causes after it."""
    told: list[Any] = []
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ChildWorkflowError):
            told.append(["child", cause.workflow_type, RetryState(cause.retry_state or 0).name])
        elif isinstance(cause, ApplicationError):
            told.append(["application", cause.type, cause.message, list(cause.details)])
        elif isinstance(cause, TimeoutError):
            told.append(["timeout", TimeoutType(cause.type or 0).name])
        elif isinstance(cause, TerminatedError):
            told.append(["terminated"])
        elif isinstance(cause, CancelledError):
            told.append(["cancelled"])
        elif isinstance(cause, WorkflowAlreadyStartedError):
            told.append([ALREADY_STARTED, cause.workflow_id, cause.workflow_type])
        else:
            told.append([type(cause).__name__, str(cause)])
        cause = cause.__cause__
    return told


@workflow.defn
class Tells:
    """Runs the child of this type, and returns its result or how it failed."""

    @workflow.run
    async def run(self, kind: str, id: str, args: list[Any], options: dict[str, Any]) -> Any:
        try:
            return await workflow.execute_child_workflow(
                kind,
                args=args,
                id=id,
                task_queue=options.get("queue"),
                run_timeout=timedelta(seconds=options["seconds"]) if "seconds" in options else None,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(milliseconds=1), maximum_attempts=options["attempts"]
                )
                if "attempts" in options
                else None,
                id_reuse_policy=WorkflowIDReusePolicy[options.get("reuse", "ALLOW_DUPLICATE")],
                memo=options.get("memo"),
            )
        except (ChildWorkflowError, WorkflowAlreadyStartedError) as error:
            return outcome(error)


@workflow.defn
class PassesOn:
    """Lets the failure of its child fail itself."""

    @workflow.run
    async def run(self, id: str) -> None:
        await workflow.execute_child_workflow(Fails.run, id=id)


@workflow.defn
class TwoSteps:
    """Starts a child, sends it words, and only then waits for it."""

    def __init__(self) -> None:
        self.first_run = ""
        self.go = False

    @workflow.query
    def started(self) -> str:
        return self.first_run

    @workflow.signal
    def send(self) -> None:
        self.go = True

    @workflow.run
    async def run(self, id: str) -> str:
        child = await workflow.start_child_workflow(Collects.run, id=id)
        assert child.id == id
        self.first_run = child.first_execution_run_id or ""
        await workflow.wait_condition(lambda: self.go)
        await child.signal(Collects.word, "one")
        await child.signal("word", "two")
        await child.signal(Collects.word, "three")
        return await child


@workflow.defn
class Twice:
    """Starts two children of one id, one after the other."""

    @workflow.run
    async def run(self, id: str) -> list[Any]:
        first = await workflow.start_child_workflow(Collects.run, id=id)
        try:
            await workflow.start_child_workflow(Greets.run, "nobody", id=id)
        except WorkflowAlreadyStartedError as error:
            told = outcome(error)
        for word in ("it", "goes", "on"):
            await first.signal(Collects.word, word)
        return [told, await first]


@workflow.defn
class InParallel:
    """Twelve children, of which three are under way at a time; each fourth one fails."""

    @workflow.run
    async def run(self, id: str) -> list[str]:
        slots = asyncio.Semaphore(3)

        async def one(number: int) -> str:
            async with slots:
                if number % 4 == 3:
                    await workflow.execute_child_workflow(Fails.run, id=f"{id}-{number}")
                return await workflow.execute_child_workflow(Greets.run, str(number), id=f"{id}-{number}")

        ended = await asyncio.gather(*(one(number) for number in range(12)), return_exceptions=True)
        return [
            "failed" if isinstance(end, ChildWorkflowError) else str(end) for end in ended
        ]


WORKFLOWS = [Greets, Relatives, Collects, Fails, Flaky, CountsDown, Tells, PassesOn, TwoSteps, Twice, InParallel]

STARTED_CHILD = ["START_CHILD_WORKFLOW_EXECUTION_INITIATED", "CHILD_WORKFLOW_EXECUTION_STARTED"]
DELIBERATE = [["application", "Deliberate", "deliberate", [{"code": 7}]], ["application", "Root", "the reason", []]]

# Event types of Temporal's API: the children's.
NAMES = {
    29: STARTED_CHILD[0],
    30: "START_CHILD_WORKFLOW_EXECUTION_FAILED",
    31: STARTED_CHILD[1],
    32: "CHILD_WORKFLOW_EXECUTION_COMPLETED",
    33: "CHILD_WORKFLOW_EXECUTION_FAILED",
    34: "CHILD_WORKFLOW_EXECUTION_CANCELED",
    35: "CHILD_WORKFLOW_EXECUTION_TIMED_OUT",
    36: "CHILD_WORKFLOW_EXECUTION_TERMINATED",
}


async def children_in(handle: Any) -> list[str]:
    """What the history says of children, in order."""
    events = [event async for event in handle.fetch_history_events()]
    return [NAMES[event.event_type] for event in events if event.event_type in NAMES]


async def check(env: Any) -> None:
    async def tells(kind: str, *args: Any, ends: str, **options: Any) -> Any:
        """Runs a parent of one child; its history must say that the child started, and ended like this."""
        child = env.new_id()
        handle = await env.start(Tells.run, kind, child, list(args), options)
        result = await handle.result()
        assert await children_in(handle) == [*STARTED_CHILD, f"CHILD_WORKFLOW_EXECUTION_{ends}"], kind
        env.started.append(env.client.get_workflow_handle(child))
        return result

    assert await tells("Greets", "Ada", ends="COMPLETED") == "hello Ada"
    assert await tells("CountsDown", 3, ends="COMPLETED") is True
    assert await tells("Flaky", 3, ends="COMPLETED", attempts=5) == 3
    failed = await tells("Flaky", 9, ends="FAILED", attempts=2)
    assert failed == [["child", "Flaky", "MAXIMUM_ATTEMPTS_REACHED"], ["application", "NotYet", "attempt 2", []]], failed
    failed = await tells("Fails", ends="FAILED")
    assert failed == [["child", "Fails", "RETRY_POLICY_NOT_SET"], *DELIBERATE], failed
    failed = await tells("Fails", ends="FAILED", attempts=3)
    assert failed == [["child", "Fails", "NON_RETRYABLE_FAILURE"], *DELIBERATE], failed
    # A grandchild: its failure arrives at the top, where it came through in between.
    failed = await tells("PassesOn", env.new_id(), ends="FAILED")
    assert failed == [
        ["child", "PassesOn", "RETRY_POLICY_NOT_SET"], ["child", "Fails", "RETRY_POLICY_NOT_SET"], *DELIBERATE
    ], failed
    failed = await tells("Collects", ends="TIMED_OUT", seconds=1)
    assert failed == [["child", "Collects", "RETRY_POLICY_NOT_SET"], ["timeout", "START_TO_CLOSE"]], failed
    handle = await env.start(PassesOn.run, env.new_id())
    try:
        await handle.result()
    except WorkflowFailureError as error:
        assert outcome(error.cause) == [["child", "Fails", "RETRY_POLICY_NOT_SET"], *DELIBERATE], outcome(error.cause)
    else:
        raise AssertionError("not failed")

    await relatives(env)
    await options_arrive(env)
    await ended_from_outside(env)
    await ids(env)

    # In two steps; what is pending can be seen in between.
    child = env.new_id()
    handle = await env.start(TwoSteps.run, child)

    async def child_has_started() -> bool:
        return bool(await handle.query(TwoSteps.started))

    await env.eventually(child_has_started, "the child has started")
    described = await handle.describe()
    (pending,) = described.raw_description.pending_children
    assert (pending.workflow_id, pending.workflow_type_name) == (child, "Collects"), pending
    assert pending.run_id == await handle.query(TwoSteps.started)
    assert (await env.client.get_workflow_handle(child).describe()).run_id == pending.run_id
    await handle.signal(TwoSteps.send)
    assert await handle.result() == "one two three"
    assert not (await handle.describe()).raw_description.pending_children

    handle = await env.start(InParallel.run, env.new_id())
    assert await handle.result() == ["failed" if n % 4 == 3 else f"hello {n}" for n in range(12)]


async def relatives(env: Any) -> None:
    """Who is whose child, asked of the child and of the server."""
    child, grandchild = env.new_id(), env.new_id()
    parent = await env.start(Tells.run, "Relatives", child, [], {})
    assert await parent.result() == [parent.id, parent.id]
    top = await env.start(Tells.run, "Tells", child, ["Relatives", grandchild, [], {}], {})
    assert await top.result() == [child, top.id]
    info = (await env.client.get_workflow_handle(grandchild).describe()).raw_description.workflow_execution_info
    assert info.parent_execution.workflow_id == child, info
    assert info.root_execution.workflow_id == top.id, info
    assert info.root_execution.run_id == top.first_execution_run_id, info
    # Nobody's child is its own root.
    assert await env.execute(Relatives.run) in (["", ""], ["", env.started[-1].id])


async def options_arrive(env: Any) -> None:
    """What the parent gives arrives at the child."""
    child = env.new_id()
    handle = await env.start(Tells.run, "Greets", child, ["Ada"], {"seconds": 77, "attempts": 4, "memo": {"note": "x"}})
    await handle.result()
    described = await env.client.get_workflow_handle(child).describe()
    assert await described.memo() == {"note": "x"} and described.task_queue == env.task_queue
    events = [event async for event in env.client.get_workflow_handle(child).fetch_history_events()]
    started = events[0].workflow_execution_started_event_attributes
    assert started.workflow_run_timeout.seconds == 77 and started.retry_policy.maximum_attempts == 4, started
    assert started.parent_workflow_execution.workflow_id == handle.id, started
    assert started.parent_workflow_execution.run_id == handle.first_execution_run_id, started
    events = [event async for event in handle.fetch_history_events()]
    (initiated,) = [event for event in events if event.event_type == 29]
    attributes = initiated.start_child_workflow_execution_initiated_event_attributes
    assert attributes.parent_close_policy == 1, "TERMINATE is the default"
    assert attributes.workflow_id == child and attributes.task_queue.name == env.task_queue, attributes
    # Nobody polls this queue: the child has started all the same, and ends with its parent.
    child = env.new_id()
    handle = await env.start(Tells.run, "Greets", child, ["Ada"], {"queue": f"{env.task_queue}-none"})

    async def started_there() -> bool:
        try:
            return bool((await env.client.get_workflow_handle(child).describe()).task_queue == f"{env.task_queue}-none")
        except RPCError as error:
            assert error.status == RPCStatusCode.NOT_FOUND, error
            return False

    await env.eventually(started_there, "the child is there")
    await handle.terminate()


async def ended_from_outside(env: Any) -> None:
    """Somebody else terminates or cancels the child."""
    for ends, told in [("TERMINATED", ["terminated"]), ("CANCELED", ["cancelled"])]:
        child = env.new_id()
        handle = await env.start(Tells.run, "Collects", child, [], {})

        async def started() -> bool:
            return (await children_in(handle)) == STARTED_CHILD

        await env.eventually(started, "the child has started")
        outside = env.client.get_workflow_handle(child)
        await (outside.terminate(reason="enough") if ends == "TERMINATED" else outside.cancel())
        failed = await handle.result()
        assert failed[0][:2] == ["child", "Collects"] and failed[1:] == [told], failed
        assert (await children_in(handle))[-1] == f"CHILD_WORKFLOW_EXECUTION_{ends}"


async def ids(env: Any) -> None:
    """An id that is taken."""
    child = env.new_id()
    handle = await env.start(Twice.run, child)
    assert await handle.result() == [[[ALREADY_STARTED, child, "Greets"]], "it goes on"]
    assert "START_CHILD_WORKFLOW_EXECUTION_FAILED" in await children_in(handle)
    # It is closed now: whether it may be used again, the parent says.
    assert await env.execute(Tells.run, "Greets", child, ["Ada"], {}) == "hello Ada"
    told = await env.execute(Tells.run, "Greets", child, ["Ada"], {"reuse": "REJECT_DUPLICATE"})
    assert told == [[ALREADY_STARTED, child, "Greets"]], told
    told = await env.execute(Tells.run, "Greets", child, ["Ada"], {"reuse": "ALLOW_DUPLICATE_FAILED_ONLY"})
    assert told == [[ALREADY_STARTED, child, "Greets"]], told
    # A parent can't be its own child.
    own = env.new_id()
    told = await env.execute(Tells.run, "Greets", own, ["Ada"], {}, id=own)
    assert told == [[ALREADY_STARTED, own, "Greets"]], told

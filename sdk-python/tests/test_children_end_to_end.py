"""Child workflows over a server, with a cache and with none; whatever ran replays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from families import Family, family, until

from durably import converter, workflow
from durably.api.common.v1 import Payload
from durably.client import Client, WorkflowExecutionStatus
from durably.common import Priority, RetryPolicy, WorkflowIDReusePolicy
from durably.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    RetryState,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowAlreadyStartedError,
)
from durably.worker import Worker
from durably.workflow import ChildWorkflowCancellationType, ParentClosePolicy

CHILD = "CHILD_WORKFLOW_EXECUTION"
CANCEL = "EXTERNAL_WORKFLOW_EXECUTION"


@dataclass
class Order:
    item: str
    count: int


@workflow.defn
class Ships:
    @workflow.run
    async def run(self, order: Order) -> str:
        if order.count > 100:
            raise ApplicationError("too many", order, type="TooMany")
        return f"{order.count} {order.item}"


@workflow.defn
class Chained:
    """Fails with an error that has a cause; `depth` generations further down."""

    @workflow.run
    async def run(self, depth: int) -> None:
        if depth > 0:
            await workflow.execute_child_workflow(Chained.run, depth - 1)
        try:
            raise ApplicationError("inside", type="Inner")
        except ApplicationError as error:
            raise ApplicationError("outside", 7, type="Outer", non_retryable=True) from error


@workflow.defn
class Tells:
    """What it knows of itself."""

    @workflow.run
    async def run(self) -> dict[str, Any]:
        info = workflow.info()
        return {
            "parent": [info.parent.workflow_id, info.parent.run_id, info.parent.namespace] if info.parent else None,
            "root": [info.root.workflow_id, info.root.run_id] if info.root else None,
            "workflow_id": info.workflow_id,
            "task_queue": info.task_queue,
            "timeouts": [
                str(limit) for limit in (info.execution_timeout, info.run_timeout, info.task_timeout)
            ],
            "attempts": info.retry_policy.maximum_attempts if info.retry_policy else None,
            "memo": workflow.memo(),
            "priority": info.priority.priority_key,
        }


@workflow.defn
class AsksForAll:
    @workflow.run
    async def run(self, child: str) -> Any:
        return await workflow.execute_child_workflow(
            Tells.run,
            id=child,
            task_queue=workflow.info().task_queue,
            execution_timeout=300,
            run_timeout=timedelta(minutes=4),
            task_timeout=7.5,
            retry_policy=RetryPolicy(maximum_attempts=9),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            memo={"note": [1, "x"]},
            static_summary="one line",
            static_details="more lines",
            priority=Priority(priority_key=2),
        )


@workflow.defn
class Waits:
    """Until it is told to end; when it is cancelled, it waits for that once more."""

    def __init__(self) -> None:
        self.end = False
        self.cancelled = ""

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.query
    def why(self) -> str:
        return self.cancelled

    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.wait_condition(lambda: self.end)
        except asyncio.CancelledError:
            self.cancelled = f"because {workflow.cancellation_reason()}"
            await workflow.wait_condition(lambda: self.end)
            raise
        return "finished"


@workflow.defn
class Runs:
    """Runs a child of any type; how it ended is the result."""

    def __init__(self) -> None:
        self.stop = False
        self.ended: Any = None

    @workflow.signal
    def cancel_it(self) -> None:
        self.stop = True

    @workflow.query
    def outcome(self) -> Any:
        return self.ended

    @workflow.run
    async def run(self, kind: str, child: str, args: list[Any], options: dict[str, Any]) -> Any:
        try:
            handle = await workflow.start_child_workflow(
                kind,
                args=args,
                id=child,
                run_timeout=options.get("seconds"),
                retry_policy=RetryPolicy(initial_interval=0.001, maximum_attempts=options["attempts"])
                if "attempts" in options
                else None,
                id_reuse_policy=WorkflowIDReusePolicy[options.get("reuse", "ALLOW_DUPLICATE")],
                cancellation_type=ChildWorkflowCancellationType[options.get("cancel", "WAIT_CANCELLATION_COMPLETED")],
                parent_close_policy=ParentClosePolicy[options.get("close", "TERMINATE")],
            )
            if options.get("cancels"):
                await workflow.wait_condition(lambda: self.stop)
                handle.cancel("enough")
            self.ended = await handle
        except (ChildWorkflowError, WorkflowAlreadyStartedError) as error:
            self.ended = told(error)
        if options.get("cancels"):
            # Lets whoever watches see what the child does now.
            await workflow.wait_condition(lambda: not self.stop)
        return self.ended

    @workflow.signal
    def leave(self) -> None:
        self.stop = False


def told(error: BaseException | None) -> list[Any]:
    """A failure and its causes."""
    if error is None:
        return []
    if isinstance(error, ChildWorkflowError):
        assert error.namespace
        state = error.retry_state.name if error.retry_state else None
        return [["child", error.workflow_type, state], *told(error.cause)]
    if isinstance(error, ApplicationError):
        return [["application", error.type, error.message, *error.details], *told(error.cause)]
    if isinstance(error, WorkflowAlreadyStartedError):
        return [["taken", error.workflow_id, error.workflow_type]]
    return [[type(error).__name__], *told(error.cause)]


@workflow.defn
class Flaky:
    @workflow.run
    async def run(self, succeeds_at: int) -> int:
        if workflow.info().attempt < succeeds_at:
            raise ApplicationError(f"attempt {workflow.info().attempt}", type="NotYet")
        return workflow.info().attempt


@workflow.defn
class CountsDown:
    @workflow.run
    async def run(self, left: int) -> list[bool]:
        if left > 0:
            workflow.continue_as_new(left - 1)
        info = workflow.info()
        return [info.run_id == info.first_execution_run_id, info.parent is not None]


@workflow.defn
class Batch:
    """As users write it: so many children, ten of which are under way at a time."""

    @workflow.run
    async def run(self, id: str, count: int) -> list[Any]:
        semaphore = asyncio.Semaphore(10)
        under_way = most = 0

        async def one(number: int) -> str:
            nonlocal under_way, most
            async with semaphore:
                under_way += 1
                most = max(most, under_way)
                try:
                    order = Order("cups", 101 if number % 50 == 49 else number % 50)
                    return await workflow.execute_child_workflow(Ships.run, order, id=f"{id}-{number}")
                finally:
                    under_way -= 1

        results = await asyncio.gather(*(one(number) for number in range(count)), return_exceptions=True)
        return [most, *(told(r) if isinstance(r, BaseException) else r for r in results)]


@workflow.defn
class Races:
    """Takes the first of two children, and cancels the other."""

    @workflow.run
    async def run(self, quick: str, slow: str) -> list[Any]:
        children = [
            await workflow.start_child_workflow(Ships.run, Order("cup", 1), id=quick),
            await workflow.start_child_workflow(
                Waits.run, id=slow, cancellation_type=ChildWorkflowCancellationType.TRY_CANCEL
            ),
        ]
        done, pending = await workflow.wait(children, return_when=asyncio.FIRST_COMPLETED)
        for child in pending:
            child.cancel()
        ended = await asyncio.gather(*pending, return_exceptions=True)
        return [done[0].result(), [told(error)[-1] for error in ended if isinstance(error, BaseException)]]


@workflow.defn
class Leaves:
    """Ends in some way while its child is open."""

    @workflow.run
    async def run(self, child: str, policy: str, how: str) -> str:
        if not child:
            return "the next run"
        await workflow.start_child_workflow(Waits.run, id=child, parent_close_policy=ParentClosePolicy[policy])
        if how == "fails":
            raise ApplicationError("left")
        if how == "continues":
            workflow.continue_as_new(args=["", "", ""])
        if how != "completes":
            await workflow.wait_condition(lambda: False)
        return "left"


@workflow.defn
class Never:
    """Cancels a child before its start is sent."""

    @workflow.run
    async def run(self, child: str) -> Any:
        starting = asyncio.create_task(workflow.start_child_workflow(Waits.run, id=child))
        await asyncio.sleep(0)
        starting.cancel("not now")
        try:
            await starting
        except ChildWorkflowError as error:
            return told(error)


WORKFLOWS = [
    Ships, Chained, Tells, AsksForAll, Waits, Runs, Flaky, CountsDown, Batch, Races, Leaves, Never,
]  # fmt: skip


@pytest.fixture(params=[1000, 0], ids=["cached", "uncached"])
async def home(request: pytest.FixtureRequest, client: Client, queue: str) -> AsyncIterator[Family]:
    async with family(client, queue, request.param, WORKFLOWS) as found:
        yield found


async def test_each_option_arrives_at_the_child(home: Family) -> None:
    child = home.new_id()
    parent = await home.start(AsksForAll.run, child)
    assert await parent.result() == {
        "parent": [parent.id, parent.first_execution_run_id, "default"],
        "root": [parent.id, parent.first_execution_run_id],
        "workflow_id": child,
        "task_queue": home.queue,
        "timeouts": ["0:05:00", "0:04:00", "0:00:07.500000"],
        "attempts": 9,
        "memo": {"note": [1, "x"]},
        "priority": 2,
    }
    assert await home.names(parent, CHILD) == [
        "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
        "CHILD_WORKFLOW_EXECUTION_STARTED",
        "CHILD_WORKFLOW_EXECUTION_COMPLETED",
    ]
    (initiated,) = [e for e in await home.events(parent) if e.start_child_workflow_execution_initiated_event_attributes]
    assert b"one line" in initiated.user_metadata.summary.data and b"more lines" in initiated.user_metadata.details.data


async def test_a_workflow_that_is_nobodys_child(home: Family) -> None:
    told_of_itself = await home.execute(Tells.run)
    assert told_of_itself["parent"] is None


async def runs(home: Family, kind: str, *args: Any, **options: Any) -> Any:
    return await home.execute(Runs.run, kind, home.new_id(), list(args), options)


async def test_children_end_in_all_ways(home: Family) -> None:
    assert await runs(home, "Ships", Order("cup", 2)) == "2 cup"
    assert await runs(home, "Ships", Order("cup", 101)) == [
        ["child", "Ships", "RETRY_POLICY_NOT_SET"], ["application", "TooMany", "too many", {"item": "cup", "count": 101}]
    ]  # fmt: skip
    inner = [["application", "Outer", "outside", 7], ["application", "Inner", "inside"]]
    unset = [["child", "Chained", "RETRY_POLICY_NOT_SET"]]
    assert await runs(home, "Chained", 0) == unset + inner
    assert await runs(home, "Chained", 2) == unset * 3 + inner
    assert await runs(home, "Waits", seconds=1) == [["child", "Waits", "RETRY_POLICY_NOT_SET"], ["TimeoutError"]]


async def test_a_failure_comes_to_the_client_as_it_is(home: Family) -> None:
    failure = await home.failure(await home.start(Chained.run, 1))
    assert isinstance(failure, ChildWorkflowError) and failure.retry_state == RetryState.RETRY_POLICY_NOT_SET
    assert told(failure)[1:] == [["application", "Outer", "outside", 7], ["application", "Inner", "inside"]]


async def test_a_child_that_runs_out_of_time(home: Family) -> None:
    parent = await home.start(Leaves.run, home.new_id(), "TERMINATE", "waits", run_timeout=timedelta(seconds=1))
    failure = await home.failure(parent)
    assert isinstance(failure, TimeoutError) and failure.type == TimeoutType.START_TO_CLOSE


async def test_a_child_that_is_retried_or_continues_reports_once(home: Family) -> None:
    assert await runs(home, "Flaky", 3, attempts=5) == 3
    assert await runs(home, "Flaky", 9, attempts=2) == [
        ["child", "Flaky", "MAXIMUM_ATTEMPTS_REACHED"], ["application", "NotYet", "attempt 2"]
    ]  # fmt: skip
    assert await runs(home, "Chained", 0, attempts=4) == [
        ["child", "Chained", "NON_RETRYABLE_FAILURE"],
        ["application", "Outer", "outside", 7],
        ["application", "Inner", "inside"],
    ]
    assert await runs(home, "CountsDown", 3) == [False, True]
    for parent in home.started:
        ends = await home.names(parent, "CHILD_WORKFLOW_EXECUTION_COMPLETED", "CHILD_WORKFLOW_EXECUTION_FAILED")
        assert len(ends) == 1


async def test_a_child_that_somebody_else_ends(home: Family) -> None:
    for how, ended in [("terminate", TerminatedError), ("cancel", CancelledError)]:
        child = home.of(home.new_id())
        parent = await home.start(Runs.run, "Waits", child.id, [], {})
        await home.knows_its_child(parent)
        if how == "terminate":
            await child.terminate(reason="enough")
        else:
            await child.cancel()
            await child.signal(Waits.finish)
        (first, *rest) = await parent.result()
        assert first[:2] == ["child", "Waits"] and rest == [[ended.__name__]]


async def test_an_id_that_is_taken(home: Family) -> None:
    taken = home.new_id()
    other = await home.start(Waits.run, id=taken)
    assert await home.execute(Runs.run, "Ships", taken, [Order("a", 1)], {}) == [["taken", taken, "Ships"]]
    await other.signal(Waits.finish)
    assert await other.result() == "finished"
    rejecting = {"reuse": "REJECT_DUPLICATE"}
    assert await home.execute(Runs.run, "Ships", taken, [Order("a", 1)], rejecting) == [["taken", taken, "Ships"]]
    assert await home.execute(Runs.run, "Ships", taken, [Order("a", 1)], {}) == "1 a"
    own = home.new_id()
    assert await home.execute(Runs.run, "Ships", own, [Order("a", 1)], {}, id=own) == [["taken", own, "Ships"]]


async def test_many_children_of_which_ten_are_under_way(home: Family) -> None:
    most, *results = await home.execute(Batch.run, home.new_id(), 200)
    assert most == 10
    for number, result in enumerate(results):
        if number % 50 == 49:
            assert result[1][:3] == ["application", "TooMany", "too many"]
        else:
            assert result == f"{number % 50} cups"


async def test_a_race_of_children(home: Family) -> None:
    slow = home.of(home.new_id())
    assert await home.execute(Races.run, home.new_id(), slow.id) == ["1 cup", [["CancelledError"]]]


# -- Cancellation


async def is_asked_to_end(child: Any) -> None:
    async def has_heard() -> bool:
        return bool(await child.query(Waits.why))

    await until(has_heard)


async def cancels(home: Family, how: str) -> tuple[Any, Any]:
    """A parent that has cancelled its child, and the child."""
    child = home.of(home.new_id())
    parent = await home.start(Runs.run, "Waits", child.id, [], {"cancel": how, "cancels": True})
    await home.knows_its_child(parent)
    await parent.signal(Runs.cancel_it)
    return parent, child


CANCELLED = [["child", "Waits", "NON_RETRYABLE_FAILURE"], ["CancelledError"]]


@pytest.mark.parametrize("how", ["WAIT_CANCELLATION_COMPLETED", "WAIT_CANCELLATION_REQUESTED"])
async def test_cancelling_a_child_and_waiting_for_it(home: Family, how: str) -> None:
    parent, child = await cancels(home, how)
    await is_asked_to_end(child)
    assert await child.query(Waits.why) == "because enough"
    assert await parent.query(Runs.outcome) is None
    await child.signal(Waits.finish)
    assert await home.status(child) == WorkflowExecutionStatus.CANCELED
    await parent.signal(Runs.leave)
    assert (await parent.result())[-1] == ["CancelledError"]
    assert await home.names(parent, CHILD, CANCEL) == [
        "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
        "CHILD_WORKFLOW_EXECUTION_STARTED",
        "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
        "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED",
        "CHILD_WORKFLOW_EXECUTION_CANCELED",
    ]


async def test_cancelling_a_child_and_going_on(home: Family) -> None:
    parent, child = await cancels(home, "TRY_CANCEL")
    await is_asked_to_end(child)

    async def has_gone_on() -> bool:
        return await parent.query(Runs.outcome) is not None

    await until(has_gone_on)
    await child.signal(Waits.finish)
    assert await home.status(child) == WorkflowExecutionStatus.CANCELED
    await parent.signal(Runs.leave)
    assert await parent.result() == CANCELLED


async def test_giving_a_child_up(home: Family) -> None:
    parent, child = await cancels(home, "ABANDON")

    async def has_gone_on() -> bool:
        return await parent.query(Runs.outcome) is not None

    await until(has_gone_on)
    assert await child.query(Waits.why) == ""
    await child.signal(Waits.finish)
    assert await child.result() == "finished"
    await parent.signal(Runs.leave)
    assert await parent.result() == CANCELLED
    assert await home.names(parent, CANCEL) == []


async def test_cancelling_a_child_before_its_start_is_sent(home: Family) -> None:
    parent = await home.start(Never.run, home.new_id())
    assert await parent.result() == CANCELLED
    assert await home.names(parent, CHILD) == []


async def test_cancelling_the_parent(home: Family) -> None:
    child = home.of(home.new_id())
    parent = await home.start(Runs.run, "Waits", child.id, [], {})
    await home.knows_its_child(parent)
    await parent.cancel()
    await is_asked_to_end(child)
    assert (await parent.describe()).status == WorkflowExecutionStatus.RUNNING
    await child.signal(Waits.finish)
    assert (await parent.result())[-1] == ["CancelledError"]
    assert await home.status(child) == WorkflowExecutionStatus.CANCELED


# -- What becomes of children whose parent ends


@pytest.mark.parametrize("how", ["completes", "fails", "continues", "is terminated", "is cancelled", "times out"])
async def test_children_whose_parent_has_ended(home: Family, how: str) -> None:
    async def check(policy: str, expected: WorkflowExecutionStatus) -> None:
        child = home.of(home.new_id())
        # Long enough for a busy machine to start a child in.
        limit = {"run_timeout": timedelta(seconds=4)} if how == "times out" else {}
        parent = await home.start(Leaves.run, child.id, policy, how, **limit)
        if how in ("is terminated", "is cancelled"):
            await home.knows_its_child(parent)
            await (parent.terminate() if how == "is terminated" else parent.cancel())
        await home.status(parent)
        if policy == "REQUEST_CANCEL":
            await is_asked_to_end(child)
        if policy in ("REQUEST_CANCEL", "ABANDON"):
            await child.signal(Waits.finish)
        assert await home.status(child) == expected, policy

    await asyncio.gather(
        check("TERMINATE", WorkflowExecutionStatus.TERMINATED),
        check("UNSPECIFIED", WorkflowExecutionStatus.TERMINATED),
        check("REQUEST_CANCEL", WorkflowExecutionStatus.CANCELED),
        check("ABANDON", WorkflowExecutionStatus.COMPLETED),
    )


class Hides(converter.PayloadCodec):
    """Nobody but its clients can read what it has encoded."""

    async def encode(self, payloads: Sequence[Any]) -> list[Any]:
        return [Payload(metadata={"encoding": b"hidden"}, data=p.SerializeToString()[::-1]) for p in payloads]

    async def decode(self, payloads: Sequence[Any]) -> list[Any]:
        # What doesn't come from `encode` can't be decoded, and no payload is left out or decoded twice.
        assert all(payload.metadata["encoding"] == b"hidden" for payload in payloads)
        return [Payload.FromString(payload.data[::-1]) for payload in payloads]


async def test_a_codec_has_all_that_goes_to_a_child_and_comes_back(client: Client, queue: str) -> None:
    hiding = Client(client.service_client, data_converter=converter.DataConverter(payload_codec=Hides()))
    home = Family(hiding, queue)
    async with Worker(hiding, task_queue=queue, workflows=WORKFLOWS):
        assert await runs(home, "Ships", Order("secret", 1)) == "1 secret"
        failed = await runs(home, "Ships", Order("secret", 101))
        assert failed[1] == ["application", "TooMany", "too many", {"item": "secret", "count": 101}]
        assert (await home.execute(AsksForAll.run, home.new_id()))["memo"] == {"note": [1, "x"]}
    for parent in home.started:
        plain = client.get_workflow_handle(parent.id)
        text = b"".join([event.SerializeToString() for event in await home.events(plain)])
        assert b"secret" not in text and b"one line" not in text

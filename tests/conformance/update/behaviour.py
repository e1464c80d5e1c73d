"""Updates change a run and answer: waited for by stage, asked for again by id, in order, and with anything inside.

What they answer is the same in every language; the words of errors are each SDK's own.
"""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import (
    RPCError,
    RPCStatusCode,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import ApplicationError, CancelledError

ACCEPTED, COMPLETED = 41, 43  # event types of Temporal's API
UNKNOWN_ID = "no-such-update"


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn
class Adds:
    """A child: one more than it is given."""

    @workflow.run
    async def run(self, number: int) -> int:
        return number + 1


@workflow.defn
class Account:
    """Keeps a balance, and a list of what was done to it."""

    def __init__(self) -> None:
        self.balance = 0
        self.done: list[str] = []
        self.turns: set[str] = set()
        self.end = ""

    @workflow.signal
    def note(self, what: str) -> None:
        self.done.append(what)

    @workflow.signal
    def take_turn(self, name: str) -> None:
        self.turns.add(name)

    @workflow.signal
    def finish(self, how: str) -> None:
        self.end = how

    @workflow.query
    def all_done(self) -> list[str]:
        return self.done

    @workflow.update
    def add(self, number: int) -> int:
        self.balance += number
        self.done.append(f"add {number}")
        return self.balance

    @workflow.update
    def nothing(self) -> None:
        self.done.append("nothing")

    @workflow.update(name="with two")
    async def with_two(self, first: str, second: list[int]) -> list[Any]:
        return [second, first]

    @workflow.update
    async def wait_turn(self, name: str) -> str:
        """Begins at once, ends when `take_turn` has its name."""
        self.done.append(f"begin {name}")
        await workflow.wait_condition(lambda: name in self.turns)
        self.done.append(f"end {name}")
        return f"it was {name}'s turn"

    @workflow.update
    async def work(self, number: int) -> int:
        """A timer, an activity, a child, and another handler."""
        await asyncio.sleep(0.01)
        number = await workflow.execute_activity(double, number, start_to_close_timeout=timedelta(seconds=10))
        number = await workflow.execute_child_workflow(Adds.run, number, id=f"{workflow.info().workflow_id}-{number}")
        return self.add(number)

    @workflow.update
    async def fail(self, late: bool) -> None:
        if late:
            await asyncio.sleep(0.01)
        raise ApplicationError("no money", "a detail", type="Poor")

    @workflow.update
    async def fail_with_cancel(self) -> None:
        await asyncio.sleep(0.01)
        raise CancelledError("the update is off")

    @workflow.update
    async def who(self) -> list[str]:
        before = workflow.current_update_info()
        await asyncio.sleep(0.01)
        after = workflow.current_update_info()
        assert before is not None and before == after
        return [before.id, before.name]

    @workflow.run
    async def run(self) -> int:
        assert workflow.current_update_info() is None
        await workflow.wait_condition(lambda: self.end != "")
        if self.end == "next":
            workflow.continue_as_new()
        if self.end == "patiently":
            await workflow.wait_condition(workflow.all_handlers_finished)
        return self.balance


WORKFLOWS = [Account, Adds]
ACTIVITIES = [double]


async def failure_of(result: Any) -> BaseException:
    try:
        await result
    except WorkflowUpdateFailedError as error:
        return error.cause
    raise AssertionError("the update has not failed")


async def status_of(call: Any) -> RPCStatusCode:
    try:
        await call
    except RPCError as error:
        return error.status
    raise AssertionError("the call has not failed")


async def kinds(handle: Any) -> list[int]:
    return [e.event_type for e in (await handle.fetch_history()).events if e.event_type in (ACCEPTED, COMPLETED)]


async def check(env: Any) -> None:
    await check_answers(env)
    await check_stages(env)
    await check_order(env)
    await check_failures(env)
    await check_ends(env)
    await check_nobody_there(env)


async def check_answers(env: Any) -> None:
    handle = await env.start(Account.run)
    assert [await handle.execute_update(Account.add, n) for n in (1, 2, 3)] == [1, 3, 6]
    assert await handle.execute_update(Account.nothing) is None
    assert await handle.execute_update(Account.with_two, args=["a", [1, 2]]) == [[1, 2], "a"]
    assert await handle.execute_update("add", 4) == 10
    # 2 * 5 + 1
    assert await handle.execute_update(Account.work, 5) == 21
    assert await handle.execute_update(Account.who, id="by this id") == ["by this id", "who"]
    made = await handle.start_update(Account.who, wait_for_stage=WorkflowUpdateStage.COMPLETED)
    assert made.id and await made.result() == [made.id, "who"]
    # What was signalled before is there when the update begins.
    await handle.signal(Account.note, "signalled")
    await handle.execute_update(Account.add, 0)
    done = await handle.query(Account.all_done)
    assert done == ["add 1", "add 2", "add 3", "nothing", "add 4", "add 11", "signalled", "add 0"], done
    await handle.signal(Account.finish, "now")
    assert await handle.result() == 21
    assert await kinds(handle) == [ACCEPTED, COMPLETED] * 10


async def check_stages(env: Any) -> None:
    """An update that is accepted and not completed; by its id others get the same answer."""
    handle = await env.start(Account.run)
    stage = WorkflowUpdateStage.ACCEPTED
    first = await handle.start_update(Account.wait_turn, "Ann", id="ann", wait_for_stage=stage)
    assert (first.id, first.workflow_id) == ("ann", handle.id) and first.workflow_run_id == handle.result_run_id
    again = await handle.start_update(Account.wait_turn, "Ann", id="ann", wait_for_stage=stage)
    elsewhere = env.client.get_workflow_handle(handle.id).get_update_handle("ann")
    typed = handle.get_update_handle_for(Account.wait_turn, "ann")
    waiting = [asyncio.create_task(each.result()) for each in (first, again, elsewhere, typed)]
    executing = asyncio.create_task(handle.execute_update(Account.wait_turn, "Ann", id="ann"))
    assert await handle.query(Account.all_done) == ["begin Ann"]
    await handle.signal(Account.take_turn, "Ann")
    assert await asyncio.gather(*waiting, executing) == ["it was Ann's turn"] * 5
    # Also long after, with other arguments, under another name, and when the run is closed.
    assert await handle.execute_update(Account.wait_turn, "Bob", id="ann") == "it was Ann's turn"
    assert await handle.execute_update("no such handler", id="ann") == "it was Ann's turn"
    assert await handle.query(Account.all_done) == ["begin Ann", "end Ann"]
    assert await kinds(handle) == [ACCEPTED, COMPLETED]
    await handle.signal(Account.finish, "now")
    assert await handle.result() == 0
    assert await elsewhere.result() == "it was Ann's turn"
    assert await env.client.get_workflow_handle(handle.id).get_update_handle("ann").result() == "it was Ann's turn"
    assert await status_of(handle.get_update_handle(UNKNOWN_ID).result()) == RPCStatusCode.NOT_FOUND
    try:
        await handle.start_update(Account.add, 1, wait_for_stage=WorkflowUpdateStage.ADMITTED)
    except ValueError:
        pass
    else:
        raise AssertionError("nobody can wait for ADMITTED")


async def check_order(env: Any) -> None:
    """Several under way: they begin in the order in which they were accepted, and each ends when it can."""
    handle = await env.start(Account.run)
    names = ["a", "b", "c", "d", "e"]
    stage = WorkflowUpdateStage.ACCEPTED
    updates = [await handle.start_update(Account.wait_turn, n, wait_for_stage=stage) for n in names]
    for name in reversed(names):
        await handle.signal(Account.take_turn, name)
    assert await asyncio.gather(*(u.result() for u in updates)) == [f"it was {n}'s turn" for n in names]
    done = await handle.query(Account.all_done)
    assert done[:5] == [f"begin {n}" for n in names] and sorted(done[5:]) == [f"end {n}" for n in names], done
    # At once: as many answers as there are updates, and nothing lost or done twice.
    sums = await asyncio.gather(*(handle.execute_update(Account.add, 1) for _ in range(10)))
    assert sorted(sums) == list(range(1, 11))
    await handle.signal(Account.finish, "now")
    assert await handle.result() == 10


async def check_failures(env: Any) -> None:
    """A handler that fails: its caller is told, and the run goes on."""
    handle = await env.start(Account.run)
    for late in (False, True):
        failure = await failure_of(handle.execute_update(Account.fail, late, id=f"fails {late}"))
        assert isinstance(failure, ApplicationError) and (failure.message, failure.type) == ("no money", "Poor")
        assert list(failure.details) == ["a detail"]
        again = await failure_of(handle.get_update_handle(f"fails {late}").result())
        assert isinstance(again, ApplicationError) and again.type == "Poor"
    assert isinstance(await failure_of(handle.execute_update(Account.fail_with_cancel)), CancelledError)
    assert await kinds(handle) == [ACCEPTED, COMPLETED] * 3
    # Nobody handles it: refused, and nothing in the history.
    failure = await failure_of(handle.execute_update("no such handler", 1))
    assert "no such handler" in str(failure), failure
    assert await kinds(handle) == [ACCEPTED, COMPLETED] * 3
    assert await handle.execute_update(Account.add, 1) == 1
    await handle.signal(Account.finish, "now")
    assert await handle.result() == 1


async def check_ends(env: Any) -> None:
    """What becomes of an update whose run ends before it."""
    for how in ("now", "next", "terminated"):
        handle = await env.start(Account.run)
        stage = WorkflowUpdateStage.ACCEPTED
        update = await handle.start_update(Account.wait_turn, "nobody", id="early", wait_for_stage=stage)
        waiting = asyncio.create_task(failure_of(update.result()))
        if how == "terminated":
            await handle.terminate()
        else:
            await handle.signal(Account.finish, how)
        failure = await waiting
        assert isinstance(failure, ApplicationError), failure
        assert failure.type == "AcceptedUpdateCompletedWorkflow" and failure.non_retryable, failure
        again = handle.get_update_handle("early", workflow_run_id=handle.result_run_id)
        same = await failure_of(again.result())
        assert isinstance(same, ApplicationError) and same.type == failure.type
        if how == "next":
            # The next run knows nothing of it, and has updates of its own.
            newest = env.client.get_workflow_handle(handle.id)
            assert await newest.execute_update(Account.add, 5, id="early") == 5
            await newest.signal(Account.finish, "now")
            assert await newest.result() == 5
    # A run that waits for its handlers.
    handle = await env.start(Account.run)
    update = await handle.start_update(Account.wait_turn, "Ann", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    await handle.signal(Account.finish, "patiently")
    assert await handle.query(Account.all_done) == ["begin Ann"]
    await handle.signal(Account.take_turn, "Ann")
    assert await update.result() == "it was Ann's turn"
    assert await handle.result() == 0


async def check_nobody_there(env: Any) -> None:
    """Closed and missing runs, and one for which no worker polls."""
    handle = await env.start(Account.run)
    await handle.signal(Account.finish, "now")
    await handle.result()
    assert await status_of(handle.execute_update(Account.add, 1)) == RPCStatusCode.NOT_FOUND
    missing = env.client.get_workflow_handle(env.new_id())
    assert await status_of(missing.execute_update(Account.add, 1)) == RPCStatusCode.NOT_FOUND
    assert await status_of(missing.get_update_handle(UNKNOWN_ID).result()) == RPCStatusCode.NOT_FOUND
    alone = await env.client.start_workflow(Account.run, id=env.new_id(), task_queue=f"{env.task_queue}-nobody")
    for call in (
        alone.execute_update(Account.add, 1, rpc_timeout=timedelta(seconds=1)),
        asyncio.wait_for(alone.execute_update(Account.add, 1), 1),
    ):
        try:
            await call
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            continue
        raise AssertionError("nobody can have answered")
    await alone.terminate()

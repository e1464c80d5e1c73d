"""Update-with-start: one call that updates the run of an id, and starts it first if there is none."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import (
    RPCError,
    RPCStatusCode,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

STARTED, ACCEPTED, COMPLETED = 1, 41, 43  # event types of Temporal's API


@workflow.defn
class Cart:
    """Collects what is put into it."""

    def __init__(self) -> None:
        self.things: list[str] = []
        self.paid = False

    @workflow.update
    def put(self, thing: str) -> int:
        self.things.append(thing)
        return len(self.things)

    @put.validator
    def validate_put(self, thing: str) -> None:
        if thing == "":
            raise ApplicationError("nothing to put", type="Nothing")

    @workflow.update
    async def put_when_paid(self, thing: str) -> str:
        await workflow.wait_condition(lambda: self.paid)
        self.things.append(thing)
        return thing

    @workflow.signal
    def pay(self) -> None:
        self.paid = True

    @workflow.run
    async def run(self, owner: str) -> list[str]:
        await workflow.wait_condition(lambda: self.paid)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return [owner, *self.things]


WORKFLOWS = [Cart]
FAIL, USE, TERMINATE = (
    WorkflowIDConflictPolicy.FAIL,
    WorkflowIDConflictPolicy.USE_EXISTING,
    WorkflowIDConflictPolicy.TERMINATE_EXISTING,
)


async def status_of(call: Any) -> RPCStatusCode:
    try:
        await call
    except RPCError as error:
        return error.status
    raise AssertionError("the call has not failed")


async def check(env: Any) -> None:
    def start(owner: str, id: str, policy: WorkflowIDConflictPolicy, **options: Any) -> WithStartWorkflowOperation:
        return WithStartWorkflowOperation(
            Cart.run, owner, id=id, task_queue=env.task_queue, id_conflict_policy=policy, **options
        )

    async def put(thing: str, operation: WithStartWorkflowOperation, **options: Any) -> Any:
        return await env.client.execute_update_with_start_workflow(
            Cart.put, thing, start_workflow_operation=operation, **options
        )

    await check_a_start(env, start, put)
    await check_who_is_there(env, start, put)
    await check_refusals(env, start, put)


async def check_a_start(env: Any, start: Any, put: Any) -> None:
    """Nobody is there: each policy starts a run, and its first task has the update."""
    for policy in (FAIL, USE):
        id = env.new_id()
        operation = start("Ann", id, policy)
        assert await put("milk", operation) == 1
        handle = await operation.workflow_handle()
        assert handle.id == id and handle.result_run_id and handle.first_execution_run_id == handle.result_run_id
        kinds = [event.event_type for event in (await handle.fetch_history()).events]
        # Started; the task scheduled, started, completed; the update accepted and completed.
        assert kinds == [STARTED, 5, 6, 7, ACCEPTED, COMPLETED], kinds
        await handle.signal(Cart.pay)
        assert await handle.result() == ["Ann", "milk"]
        env.started.append(handle)
    # One that is only accepted; its workflow is known by then.
    id = env.new_id()
    operation = start("Bob", id, FAIL)
    update = await env.client.start_update_with_start_workflow(
        "put_when_paid",
        "bread",
        id="bread",
        start_workflow_operation=operation,
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
    )
    handle = await operation.workflow_handle()
    assert (update.id, update.workflow_id, update.workflow_run_id) == ("bread", id, handle.result_run_id)
    await handle.signal(Cart.pay)
    assert await update.result() == "bread" and await handle.result() == ["Bob", "bread"]
    env.started.append(handle)


async def check_who_is_there(env: Any, start: Any, put: Any) -> None:
    """A run is there already."""
    id = env.new_id()
    first = start("Ann", id, USE)
    assert await put("milk", first, id="milk") == 1
    handle = await first.workflow_handle()
    second = start("Bob", id, USE)
    assert await put("bread", second) == 2
    assert (await second.workflow_handle()).result_run_id == handle.result_run_id
    # Asked once more by its id: the answer of then.
    assert await put("something else", start("Bob", id, USE), id="milk") == 1
    # FAIL: nothing happens, and both halves say why.
    third = start("Bob", id, FAIL)
    for refused in (put("eggs", third), third.workflow_handle()):
        try:
            await refused
        except WorkflowAlreadyStartedError as error:
            assert error.workflow_id == id and error.run_id == handle.result_run_id, error
        else:
            raise AssertionError("the id is in use")
    # But an update that is there already is found by its id.
    assert await put("milk", start("Bob", id, FAIL), id="milk") == 1
    await handle.signal(Cart.pay)
    assert await handle.result() == ["Ann", "milk", "bread"]
    env.started.append(handle)
    # It is closed: a new run, unless the reuse policy says otherwise.
    closed = start("Bob", id, USE, id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE)
    for refused in (put("eggs", closed), closed.workflow_handle()):
        try:
            await refused
        except WorkflowAlreadyStartedError as error:
            assert error.workflow_id == id, error
        else:
            raise AssertionError("the id was in use")
    fourth = start("Bob", id, USE)
    assert await put("eggs", fourth) == 1
    newest = await fourth.workflow_handle()
    assert newest.result_run_id != handle.result_run_id
    # Twenty at once.
    counts = await asyncio.gather(*(put(f"egg {n}", start("Bob", id, USE)) for n in range(10)))
    assert sorted(counts) == list(range(2, 12)), counts
    # One that takes the place of the run that is there.
    fifth = start("Cid", id, TERMINATE)
    assert await put("salt", fifth) == 1
    last = await fifth.workflow_handle()
    old = env.client.get_workflow_handle(id, run_id=newest.result_run_id)
    assert (await old.describe()).status == WorkflowExecutionStatus.TERMINATED
    await last.signal(Cart.pay)
    assert await last.result() == ["Cid", "salt"]
    env.started.append(last)


async def check_refusals(env: Any, start: Any, put: Any) -> None:
    # The update is turned away, and the run that was started for it goes on.
    id = env.new_id()
    operation = start("Ann", id, FAIL)
    try:
        await put("", operation)
    except WorkflowUpdateFailedError as error:
        assert isinstance(error.cause, ApplicationError) and error.cause.type == "Nothing"
    else:
        raise AssertionError("the update was not rejected")
    handle = await operation.workflow_handle()
    assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
    await handle.signal(Cart.pay)
    assert await handle.result() == ["Ann"]
    env.started.append(handle)
    # What the client itself refuses.
    for make in (
        lambda: put("milk", operation),  # it was used
        lambda: put("milk", start("Ann", env.new_id(), WorkflowIDConflictPolicy.UNSPECIFIED)),
        lambda: env.client.start_update_with_start_workflow(
            Cart.put,
            "milk",
            start_workflow_operation=start("Ann", env.new_id(), FAIL),
            wait_for_stage=WorkflowUpdateStage.ADMITTED,
        ),
    ):
        try:
            await make()
        except (ValueError, RuntimeError):
            continue
        raise AssertionError("that can't be asked for")
    # What the server refuses.
    for options in ({"cron_schedule": "* * * * *"}, {"start_delay": timedelta(seconds=1)}):
        refused = start("Ann", env.new_id(), FAIL, **options)
        assert await status_of(put("milk", refused)) == RPCStatusCode.INVALID_ARGUMENT, options
        assert await status_of(refused.workflow_handle()) == RPCStatusCode.INVALID_ARGUMENT, options

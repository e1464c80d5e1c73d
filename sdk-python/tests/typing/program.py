"""A user's program that `mypy --strict` must accept, with the types that it must infer. Never run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from typing_extensions import assert_type

from durably import activity, workflow
from durably.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from durably.common import RawValue, RetryPolicy, SearchAttributeKey, WorkflowIDConflictPolicy
from durably.exceptions import ActivityError, ApplicationError
from durably.worker import Worker

TEN = timedelta(seconds=10)


@dataclass
class Order:
    id: str


@activity.defn
async def charge(order: Order) -> int:
    activity.heartbeat("half")
    return len(order.id) + activity.info().attempt


@activity.defn(name="note")
def take_note(text: str) -> None: ...


@activity.defn
async def reserve(order: Order, count: int) -> list[str]:
    return []


@activity.defn
def nothing() -> str:
    return ""


class Store:
    @activity.defn
    async def ship(self, order: Order) -> str:
        return order.id

    @activity.defn
    def stock(self) -> int:
        return 1


@workflow.defn
class Shipment:
    @workflow.run
    async def run(self, order: Order) -> int:
        return 1

    @workflow.signal
    async def hurry(self, days: int) -> None: ...

    @workflow.signal
    def address(self, street: str, number: int) -> None: ...


@workflow.defn
class Pause:
    @workflow.run
    async def run(self) -> None: ...


@workflow.defn(name="Order", failure_exception_types=[ValueError])
class OrderWorkflow:
    @workflow.init
    def __init__(self, order: Order) -> None:
        self.approved = False

    @workflow.run
    async def run(self, order: Order) -> str:
        policy = RetryPolicy(maximum_attempts=3)
        assert_type(
            await workflow.execute_activity(charge, order, start_to_close_timeout=TEN, retry_policy=policy), int
        )
        assert_type(await workflow.execute_activity(reserve, order, 2, start_to_close_timeout=TEN), list[str])
        assert_type(await workflow.execute_activity(reserve, args=[order, 2], start_to_close_timeout=TEN), list[str])
        assert_type(await workflow.execute_activity(nothing, start_to_close_timeout=TEN), str)
        await workflow.execute_activity(take_note, "x", start_to_close_timeout=TEN)
        assert_type(await workflow.execute_activity("x", 1, 2, start_to_close_timeout=TEN), Any)
        assert_type(await workflow.execute_activity("x", 1, start_to_close_timeout=TEN, result_type=int), int)
        assert_type(await workflow.execute_activity_method(Store.ship, order, start_to_close_timeout=TEN), str)
        assert_type(await workflow.execute_activity_method(Store.stock, start_to_close_timeout=TEN), int)
        handle = workflow.start_activity(charge, order, start_to_close_timeout=TEN)
        assert_type(await handle, int)
        handle.cancel()
        first, second = await asyncio.gather(
            workflow.execute_activity(charge, order, start_to_close_timeout=TEN),
            workflow.execute_activity(nothing, start_to_close_timeout=TEN),
        )
        assert_type(first, int)
        assert_type(second, str)
        done, _ = await workflow.wait([handle])
        assert_type(done[0].result(), int)
        await workflow.sleep(timedelta(days=1), summary="a day")
        await workflow.wait_condition(lambda: self.approved, timeout=5)
        options = workflow.ActivityConfig(start_to_close_timeout=TEN)
        await workflow.execute_activity(charge, order, **options)
        try:
            workflow.logger.info("%s", workflow.info().workflow_id)
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError):
                raise ApplicationError("no", type="No", non_retryable=True) from error
        assert_type(await workflow.execute_child_workflow(Shipment.run, order), int)
        assert_type(await workflow.execute_child_workflow(Shipment.run, args=[order], id="s", run_timeout=5), int)
        assert_type(await workflow.execute_child_workflow(Pause.run), None)
        assert_type(await workflow.execute_child_workflow("x", 1, result_type=int), int)
        assert_type(await workflow.execute_child_workflow("x", args=[1, 2]), Any)
        child = await workflow.start_child_workflow(
            Shipment.run,
            order,
            cancellation_type=workflow.ChildWorkflowCancellationType.TRY_CANCEL,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
        assert_type(child, workflow.ChildWorkflowHandle[Shipment, int])
        assert_type(await child, int)
        await child.signal(Shipment.hurry, 5)
        await child.signal(Shipment.address, args=["street", 1])
        await child.signal("hurry", 5)
        child_options = workflow.ChildWorkflowConfig(task_queue="q")
        await workflow.start_child_workflow(Pause.run, **child_options)
        other = workflow.get_external_workflow_handle_for(Shipment.run, "s")
        assert_type(other, workflow.ExternalWorkflowHandle[Shipment])
        await other.signal(Shipment.hurry, 5)
        await other.cancel(reason="enough")
        shipments = await asyncio.gather(
            *(workflow.execute_child_workflow(Shipment.run, order) for _ in range(3)), return_exceptions=True
        )
        assert_type(shipments, list[int | BaseException])
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(order)
        return str(workflow.uuid4()) + str(workflow.random().random())

    @workflow.signal
    async def approve(self, by: str) -> None:
        self.approved = True

    @workflow.signal(name="other", unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    def other(self) -> None: ...

    @workflow.query
    def status(self) -> str:
        return "fine"

    @workflow.query(dynamic=True)
    def anything(self, name: str, args: Sequence[RawValue]) -> int:
        return len(args)

    @workflow.update
    async def change(self, days: int) -> str:
        info = workflow.current_update_info()
        return info.id if info is not None else ""

    @change.validator
    def validate_change(self, days: int) -> None:
        workflow.set_update_handler("late", self.status, validator=lambda: None)

    @workflow.update(name="Stop", description="Ends it", unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    def stop(self) -> None: ...

    @workflow.update(name="move")
    async def move(self, street: str, number: int) -> bool:
        return True

    @workflow.update(dynamic=True)
    def any_change(self, name: str, args: Sequence[RawValue]) -> int:
        return len(args)


async def main() -> None:
    client = await Client.connect("embedded:")
    async with Worker(client, task_queue="q", workflows=[OrderWorkflow], activities=[charge, take_note, Store().ship]):
        handle = await client.start_workflow(OrderWorkflow.run, Order("1"), id="1", task_queue="q")
        assert_type(handle, WorkflowHandle[OrderWorkflow, str])
        assert_type(await handle.result(), str)
        await handle.signal(OrderWorkflow.approve, "ann")
        await handle.signal(OrderWorkflow.other)
        assert_type(await handle.query(OrderWorkflow.status), str)
        assert_type(await handle.execute_update(OrderWorkflow.change, 5), str)
        assert_type(await handle.execute_update(OrderWorkflow.stop), None)
        assert_type(await handle.execute_update(OrderWorkflow.move, args=["street", 1], rpc_timeout=5), bool)
        assert_type(await handle.execute_update("change", 5, result_type=str), Any)
        stage = WorkflowUpdateStage.ACCEPTED
        update = await handle.start_update(OrderWorkflow.change, 5, wait_for_stage=stage, id="u")
        assert_type(update, WorkflowUpdateHandle[str])
        assert_type(await update.result(rpc_timeout=TEN), str)
        assert_type(handle.get_update_handle_for(OrderWorkflow.move, "u"), WorkflowUpdateHandle[bool])
        assert_type(handle.get_update_handle("u"), WorkflowUpdateHandle[Any])
        start = WithStartWorkflowOperation(
            OrderWorkflow.run, Order("1"), id="1", task_queue="q", id_conflict_policy=WorkflowIDConflictPolicy.FAIL
        )
        changed = await client.execute_update_with_start_workflow(
            OrderWorkflow.change, 5, start_workflow_operation=start
        )
        assert_type(changed, str)
        started = await client.start_update_with_start_workflow(
            OrderWorkflow.stop, start_workflow_operation=start, wait_for_stage=stage
        )
        assert_type(started, WorkflowUpdateHandle[None])
        assert_type(await start.workflow_handle(), WorkflowHandle[OrderWorkflow, str])
        result = await client.execute_workflow(OrderWorkflow.run, Order("1"), id="1", task_queue="q")
        assert_type(result, str)
    assert_type(SearchAttributeKey.for_int("n"), SearchAttributeKey[int])

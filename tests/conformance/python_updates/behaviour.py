"""Updates where languages differ, as Python has them: what a handler may raise, when those set by code are there, what order things
have within a step, and what happens behind the end of a run."""

import asyncio
from dataclasses import dataclass
from typing import Any

from temporalio import workflow
from temporalio.client import WithStartWorkflowOperation, WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, CancelledError

TIMER_STARTED = 17  # event types of Temporal's API
TASK_FAILED = 7 + 2


class Unlucky(Exception):
    pass


@dataclass
class Order:
    item: str


@workflow.defn(failure_exception_types=[Unlucky])
class Raises:
    def __init__(self) -> None:
        self.end = False

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.update
    async def throw(self, what: str) -> None:
        if what == "declared":
            raise Unlucky("none left")
        if what == "cancelled":
            raise asyncio.CancelledError
        if what == "timeout":
            await asyncio.wait_for(workflow.wait_condition(lambda: False), 0.01)
        if what == "plain":
            raise LookupError("a mistake")
        if what == "continue as new":
            workflow.continue_as_new()

    @workflow.update
    def order(self, order: Order) -> str:
        return order.item

    @workflow.update
    def validated(self, what: str) -> None:
        pass

    @validated.validator
    def validate(self, what: str) -> None:
        if what == "cancelled":
            raise asyncio.CancelledError
        if what == "plain":
            raise LookupError("a reason")
        if what == "timer":
            asyncio.get_running_loop().call_later(1, print)
        if what == "random":
            workflow.random()

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.end)


@workflow.defn
class Ordered:
    """What happened in which order; `late` is set by the main method."""

    def __init__(self) -> None:
        self.log: list[str] = ["init"]
        self.end = self.has_ended = False

    @workflow.update
    async def early(self) -> list[str]:
        self.log.append("early begins")
        await asyncio.sleep(0)
        self.log.append("early ends")
        return self.log

    @workflow.update
    async def stop(self) -> list[str]:
        self.end = True
        await workflow.wait_condition(lambda: self.has_ended)
        self.log.append("behind the end")
        return self.log

    @workflow.run
    async def run(self) -> list[str]:
        self.log.append("run begins")
        workflow.set_update_handler("late", lambda: self.log)
        await workflow.wait_condition(lambda: self.end)
        self.log.append("run ends")
        self.has_ended = True
        return list(self.log)


@workflow.defn
class LeavesATask:
    @workflow.run
    async def run(self) -> str:
        async def later() -> None:
            await workflow.sleep(1)

        self.task = asyncio.create_task(later())
        return "done"


WORKFLOWS = [Raises, Ordered, LeavesATask]


async def failure_of(call: Any) -> BaseException:
    try:
        await call
    except WorkflowUpdateFailedError as error:
        return error.cause
    raise AssertionError("the update has not failed")


async def fails_its_task(env: Any, name: str, what: str, words: str) -> None:
    """The update's caller waits, while a workflow task fails with these words."""
    handle = await env.client.start_workflow(Raises.run, id=env.new_id(), task_queue=env.task_queue)
    waiting = asyncio.create_task(handle.execute_update(name, what))
    messages: list[str] = []

    async def has_failed() -> bool:
        for event in (await handle.fetch_history()).events:
            if event.event_type == TASK_FAILED:
                messages.append(event.workflow_task_failed_event_attributes.failure.message)
        return bool(messages)

    await env.eventually(has_failed, f"{name} {what} fails the task")
    assert words in messages[0], messages
    assert not waiting.done() and (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
    await handle.terminate()
    await asyncio.gather(waiting, return_exceptions=True)


async def check(env: Any) -> None:
    handle = await env.start(Raises.run)
    failure = await failure_of(handle.execute_update(Raises.throw, "declared"))
    assert isinstance(failure, ApplicationError) and (failure.message, failure.type) == ("none left", "Unlucky")
    assert isinstance(await failure_of(handle.execute_update(Raises.throw, "cancelled")), CancelledError)
    failure = await failure_of(handle.execute_update(Raises.throw, "timeout"))
    assert isinstance(failure, ApplicationError) and failure.type == "TimeoutError", repr(failure)
    # Of whatever kind: an update that can't be read, or that a validator won't have, is turned away.
    await failure_of(handle.execute_update("order", "no order"))
    await failure_of(handle.execute_update("order", {"thing": "x"}))
    assert await handle.execute_update("order", {"item": "x"}) == "x"
    failure = await failure_of(handle.execute_update(Raises.validated, "plain"))
    assert isinstance(failure, ApplicationError) and (failure.message, failure.type) == ("a reason", "LookupError")
    assert isinstance(await failure_of(handle.execute_update(Raises.validated, "cancelled")), CancelledError)
    await handle.signal(Raises.finish)
    await handle.result()

    await fails_its_task(env, "throw", "plain", "a mistake")
    await fails_its_task(env, "throw", "continue as new", "Cannot continue as new from an update handler")
    await fails_its_task(env, "validated", "timer", "While in read-only function, action attempted")
    await fails_its_task(env, "validated", "random", "While in read-only function, action attempted")
    await check_order(env)


async def check_order(env: Any) -> None:
    async def with_start(update: Any) -> tuple[Any, Any]:
        """The outcome of an update that is in the first workflow task, and its run."""
        operation = WithStartWorkflowOperation(
            Ordered.run, id=env.new_id(), task_queue=env.task_queue, id_conflict_policy=WorkflowIDConflictPolicy.FAIL
        )
        call = env.client.execute_update_with_start_workflow(update, start_workflow_operation=operation)
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        handle = await operation.workflow_handle()
        env.started.append(handle)
        return outcome, handle

    # It comes before the main method, which has set no handlers by then.
    outcome, handle = await with_start(Ordered.early)
    assert outcome == ["init", "early begins", "early ends"], outcome
    log = ["init", "early begins", "early ends", "run begins"]
    assert await handle.execute_update("late") == log
    # The run ends in the middle of it, and it is answered all the same.
    assert await handle.execute_update(Ordered.stop) == [*log, "run ends", "behind the end"]
    assert await handle.result() == [*log, "run ends"]

    outcome, handle = await with_start("late")
    assert isinstance(outcome, WorkflowUpdateFailedError) and "late" in str(outcome.cause), repr(outcome)
    assert await handle.execute_update("late") == ["init", "run begins"]
    await handle.execute_update(Ordered.stop)

    # What other tasks ask for behind the end stands before it.
    handle = await env.start(LeavesATask.run)
    assert await handle.result() == "done"
    kinds = [event.event_type for event in (await handle.fetch_history()).events]
    assert kinds[-2:] == [TIMER_STARTED, 2], kinds

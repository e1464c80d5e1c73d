"""Which exceptions fail a workflow instead of its task, wherever they are raised: the worker's types and the workflow's own."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker


class OutOfStock(Exception):
    pass


@dataclass
class Order:
    count: int


@workflow.defn
class Raises:
    """Raises where it is told to, once it is signalled."""

    def __init__(self) -> None:
        self.told = ""

    @workflow.run
    async def run(self, where: str) -> None:
        if where == "main":
            raise OutOfStock("none left")
        if where == "task":
            async with asyncio.TaskGroup() as group:
                group.create_task(self.fail_later())
        await workflow.wait_condition(self.condition)

    async def fail_later(self) -> None:
        await workflow.sleep(0.01)
        raise OutOfStock("none left")

    def condition(self) -> bool:
        if self.told == "condition":
            raise OutOfStock("none left")
        return False

    @workflow.signal
    async def tell(self, where: str) -> None:
        self.told = where
        if where == "handler":
            raise OutOfStock("none left")
        if where == "handler after a sleep":
            await self.fail_later()


@workflow.defn(failure_exception_types=[OutOfStock])
class RaisesByItself:
    @workflow.run
    async def run(self) -> None:
        raise OutOfStock("none left")


@workflow.defn
class Takes:
    @workflow.run
    async def run(self, order: Order) -> int:
        return order.count


@workflow.defn(name="Changes")
class Before:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(3600)

    @workflow.query
    def is_there(self) -> bool:
        return True


@workflow.defn(name="Changes")
class After:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("x", start_to_close_timeout=timedelta(minutes=1))

    @workflow.signal
    def poke(self) -> None:
        pass


@workflow.defn(name="Changes", failure_exception_types=[workflow.NondeterminismError])
class AfterByItself(After):
    @workflow.run
    async def run(self) -> None:
        await super().run()


async def failure_of(handle: Any) -> ApplicationError:
    try:
        await handle.result()
    except WorkflowFailureError as error:
        assert isinstance(error.cause, ApplicationError), repr(error.cause)
        return error.cause
    raise AssertionError("it has not failed")


async def fails_its_task(env: Any, handle: Any) -> None:
    """Whether a workflow task has failed and the run goes on."""

    async def has_failed() -> bool:
        history = await handle.fetch_history()
        return any(event.HasField("workflow_task_failed_event_attributes") for event in history.events)

    await env.eventually(has_failed, "a workflow task fails")
    assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
    await handle.terminate()


async def check(env: Any) -> None:
    queue = env.task_queue
    common = {"task_queue": queue, "workflows": [Raises, RaisesByItself, Takes], **env.worker_options}
    places = ["main", "handler", "handler after a sleep", "condition"]
    for listed in (OutOfStock, Exception):
        async with Worker(env.client, workflow_failure_exception_types=[listed], **common):
            for where in places:
                handle = await env.start(Raises.run, where)
                if where != "main":
                    await handle.signal(Raises.tell, where)
                failure = await failure_of(handle)
                assert (failure.message, failure.type) == ("none left", "OutOfStock"), f"{where}: {failure!r}"
            # What leaves the main function is the group's, which only the wider list has.
            handle = await env.start(Raises.run, "task")
            if listed is Exception:
                assert (await failure_of(handle)).type == "ExceptionGroup"
            else:
                await fails_its_task(env, handle)
    async with Worker(env.client, workflow_failure_exception_types=[LookupError], **common):
        for where in places:
            handle = await env.start(Raises.run, where)
            if where != "main":
                await handle.signal(Raises.tell, where)
            await fails_its_task(env, handle)
        assert (await failure_of(await env.start(RaisesByItself.run))).type == "OutOfStock"
        await fails_its_task(env, await env.start("Takes", {"number": 1}))
    async with Worker(env.client, workflow_failure_exception_types=[Exception], **common):
        for argument in ("text", [1], {}, {"count": "x"}):
            await failure_of(await env.start("Takes", argument))
    await check_changes(env)


async def check_changes(env: Any) -> None:
    """Code that disagrees with its history is one of these exceptions."""
    for number, (code, types) in enumerate(
        [(After, [workflow.NondeterminismError]), (After, [Exception]), (AfterByItself, []), (After, [LookupError])]
    ):
        env.task_queue = f"{env.task_queue}-{number}"
        options = {"task_queue": env.task_queue, "max_cached_workflows": 0, **env.worker_options}
        async with Worker(env.client, workflows=[Before], **options):
            handle = await env.start(Before.run)
            assert await handle.query(Before.is_there)
        async with Worker(env.client, workflows=[code], workflow_failure_exception_types=types, **options):
            await handle.signal("poke")
            if types == [LookupError]:
                await fails_its_task(env, handle)
            else:
                failure = await failure_of(handle)
                assert "determinism" in failure.message and not failure.non_retryable, failure.message

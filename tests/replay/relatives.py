"""Workflows with children and with messages to other workflows, as `programs.py` has the rest."""

import asyncio
import importlib
import os
from datetime import timedelta

SDK = os.environ.get("SDK", "durably")
workflow = importlib.import_module(f"{SDK}.workflow")
exceptions = importlib.import_module(f"{SDK}.exceptions")


@workflow.defn
class Child:
    """Does as it is told: echoes, fails, goes on as another run, or waits for a signal."""

    def __init__(self) -> None:
        self.word = ""

    @workflow.signal
    async def go(self, word: str) -> None:
        self.word = word

    @workflow.run
    async def run(self, how: str) -> str:
        if how == "fail":
            raise exceptions.ApplicationError("no van", type="NoVan", non_retryable=True)
        if how == "again":
            workflow.continue_as_new("echo")
        if how == "wait":
            await workflow.wait_condition(lambda: self.word != "")
        return f"{how} {self.word}"


def child(name: str, how: str, **options):
    return workflow.execute_child_workflow("Child", how, id=f"{workflow.info().workflow_id}-{name}", **options)


async def begun(name: str, how: str, **options):
    return await workflow.start_child_workflow("Child", how, id=f"{workflow.info().workflow_id}-{name}", **options)


async def outcome(awaitable) -> str:
    try:
        return str(await awaitable)
    except BaseException as error:
        return type(error).__name__ + "/" + type(error.__cause__).__name__


@workflow.defn
class Family:
    """Children in a row and side by side, that fail and that can't start; signals to them and to others; a made id."""

    @workflow.run
    async def run(self, count: int) -> str:
        seen = [await child("first", "echo")]
        both = asyncio.gather(child("fails", "fail"), child("again", "again"), asyncio.sleep(0.05), return_exceptions=True)
        seen += [type(result).__name__ for result in await both]
        waits = await begun("waits", "wait")
        seen.append(await outcome(child("waits", "echo")))
        sibling = await begun("sibling", "wait")
        await waits.signal("go", "now")
        await workflow.get_external_workflow_handle(sibling.id).signal("go", "on")
        seen += await asyncio.gather(waits, sibling)
        asked = await begun("asked", "wait")
        await workflow.get_external_workflow_handle(asked.id).cancel()
        seen.append(await outcome(asked))
        seen.append(await outcome(workflow.get_external_workflow_handle("nobody").signal("go", "on")))
        seen.append(await outcome(workflow.get_external_workflow_handle("nobody").cancel()))
        slots = asyncio.Semaphore(3)

        async def one() -> str:
            async with slots:
                return await workflow.execute_child_workflow("Child", "echo")

        seen += await asyncio.gather(*(one() for _ in range(count)))
        return f"{', '.join(seen)}, {workflow.uuid4()}"


@workflow.defn
class ChildCancellations:
    """Children that are cancelled in each way, and before they were sent."""

    @workflow.run
    async def run(self, _: int) -> str:
        seen = []
        kinds = workflow.ChildWorkflowCancellationType
        for kind in ("TRY_CANCEL", "WAIT_CANCELLATION_COMPLETED", "WAIT_CANCELLATION_REQUESTED", "ABANDON"):
            handle = await begun(kind, "wait", cancellation_type=getattr(kinds, kind))
            await asyncio.sleep(0.05)
            handle.cancel()
            seen.append(await outcome(handle))
            task = asyncio.create_task(begun(f"{kind}-early", "wait", cancellation_type=getattr(kinds, kind)))
            await asyncio.sleep(0)
            task.cancel()
            seen.append(await outcome(task))
        late = await begun("late", "wait")
        await late.signal("go", "home")
        seen.append(await outcome(late))
        late.cancel()
        await asyncio.sleep(0.05)
        return ", ".join(seen)


@workflow.defn
class CleansUpChildren:
    """Cancelled by its client, with one child under way, and starts another on its way out."""

    @workflow.run
    async def run(self, _: int) -> str:
        try:
            return await child("waits", "wait")
        finally:
            await asyncio.shield(child("cleans", "echo"))


RELATIVES = [Child, Family, ChildCancellations, CleansUpChildren]

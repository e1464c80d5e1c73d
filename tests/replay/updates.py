"""A workflow that is updated while it runs, and what a client does to it. What it does shows in its result, so that a replay that
differs is found."""

import asyncio
import importlib
import os
from datetime import timedelta

SDK = os.environ.get("SDK", "durably")
workflow = importlib.import_module(f"{SDK}.workflow")
exceptions = importlib.import_module(f"{SDK}.exceptions")
client_module = importlib.import_module(f"{SDK}.client")
common = importlib.import_module(f"{SDK}.common")

SHORT = timedelta(seconds=10)


@workflow.defn
class Updated:
    """Takes orders by update; what happened, in its order, is the result."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.open: set[str] = set()
        self.lock = asyncio.Lock()
        self.end = False

    @workflow.signal
    async def let_go(self, name: str) -> None:
        self.open.add(name)
        self.log.append(f"let {name} go")

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.update
    def at_once(self, text: str) -> str:
        self.log.append(f"at once {text}")
        return text

    @at_once.validator
    def not_empty(self, text: str) -> None:
        if not text:
            raise exceptions.ApplicationError("empty")

    @workflow.update
    async def work(self, number: int) -> str:
        """An activity, a timer and a child, one update after the other."""
        async with self.lock:
            self.log.append(f"work {number}")
            done = await workflow.execute_activity("charge", number, start_to_close_timeout=SHORT)
            await asyncio.sleep(0.01)
            child = await workflow.execute_child_workflow("Child", "echo")
            self.log.append(f"done {done} {child}")
            return str(workflow.uuid4())

    @workflow.update
    async def wait(self, name: str) -> str:
        self.log.append(f"wait {name}")
        try:
            await workflow.wait_condition(lambda: name in self.open, timeout=3600)
        finally:
            self.log.append(f"end {name}")
        info = workflow.current_update_info()
        return f"{info.id} {info.name}"

    @workflow.update
    async def fail(self, late: bool) -> None:
        if late:
            await asyncio.gather(asyncio.sleep(0.01), asyncio.sleep(0.02))
        raise exceptions.ApplicationError("no", type="No")

    @workflow.update
    async def linger(self) -> None:
        """Still runs when the workflow ends, and asks for more in its last step."""
        await workflow.wait_condition(lambda: "end" in self.log)
        workflow.start_activity("charge", 0, start_to_close_timeout=SHORT)
        await workflow.wait_condition(lambda: False)

    @workflow.run
    async def run(self, count: int) -> str:
        self.log.append(f"run {count}")
        workflow.set_update_handler("late", lambda: self.log.append("late"))
        ended = [asyncio.create_task(self.tell(n)) for n in range(count)]
        await workflow.wait_condition(lambda: self.end)
        await asyncio.gather(*ended)
        self.log.append("end")
        return f"{', '.join(self.log)}, {workflow.uuid4()}"

    async def tell(self, number: int) -> None:
        await workflow.wait_condition(lambda: f"n{number}" in self.open)
        await asyncio.sleep(0.001 * number)
        self.log.append(f"told {number}")


async def record(client, queue: str):
    """Starts it and updates it in every way; returns its handle."""
    start = client_module.WithStartWorkflowOperation(
        "Updated", 2, id="Updated-2", task_queue=queue, id_conflict_policy=common.WorkflowIDConflictPolicy.FAIL
    )
    accepted = client_module.WorkflowUpdateStage.ACCEPTED
    await client.execute_update_with_start_workflow("at_once", "with the start", start_workflow_operation=start)
    handle = client.get_workflow_handle("Updated-2")

    async def fails(update: str, *args: object) -> None:
        try:
            await handle.execute_update(update, args=args)
        except client_module.WorkflowUpdateFailedError:
            return
        raise AssertionError(f"{update} has not failed")

    await fails("at_once", "")
    await handle.execute_update("late")
    working = [await handle.start_update("work", n, wait_for_stage=accepted) for n in range(3)]
    await fails("no such update")
    waiting = [await handle.start_update("wait", name, id=name, wait_for_stage=accepted) for name in ("x", "n0", "n1")]
    await fails("fail", True)
    await asyncio.gather(*(update.result() for update in working), fails("fail", False))
    for name in ("n1", "x", "n0"):
        await handle.signal("let_go", name)
        await fails("at_once", "")
    await asyncio.gather(*(update.result() for update in waiting))
    await asyncio.gather(*(handle.execute_update("at_once", str(n)) for n in range(5)))
    await handle.start_update("linger", wait_for_stage=accepted)
    await handle.signal("finish")
    return handle


UPDATED = [Updated]

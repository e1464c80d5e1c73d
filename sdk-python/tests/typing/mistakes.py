"""Mistakes that `mypy --strict` must find: each line with `# error` and no other. Never run."""

from __future__ import annotations

from datetime import timedelta

from durably import activity, workflow
from durably.client import WorkflowHandle

TEN = timedelta(seconds=10)


@activity.defn
async def charge(order: str, cents: int) -> int:
    return cents


@activity.defn
def take_note(text: str) -> None: ...


@workflow.defn
class Child:
    @workflow.run
    async def run(self, text: str) -> int:
        return 1

    @workflow.signal
    def note(self, text: str) -> None: ...


class Other:
    @workflow.signal
    def note(self, text: str) -> None: ...


@workflow.defn
class Mistaken:
    @workflow.run
    async def run(self) -> str:
        await workflow.execute_activity(charge, 1, 2, start_to_close_timeout=TEN)  # error
        await workflow.execute_activity(charge, "o", start_to_close_timeout=TEN)  # error
        await workflow.execute_activity(take_note, 5, start_to_close_timeout=TEN)  # error
        await workflow.execute_activity(take_note, "x", start_to_close_timeout="10s")  # error
        await workflow.execute_activity(take_note, "x", start_to_close=TEN)  # error
        wrong: str = await workflow.execute_activity(charge, "o", 2, start_to_close_timeout=TEN)  # error
        await workflow.execute_child_workflow(Child.run, 5)  # error
        await workflow.execute_child_workflow(Child.run, "x", timeout=5)  # error
        await workflow.execute_child_workflow(Child.run, "x", parent_close_policy="ABANDON")  # error
        child = await workflow.start_child_workflow(Child.run, "x")
        await child.signal(Child.note, 5)  # error
        await child.signal(Other.note, "x")  # error
        number: str = await child  # error
        await workflow.get_external_workflow_handle_for(Child.run, 5)  # error
        return wrong + number

    @workflow.signal  # error
    def answers(self) -> int:
        return 1

    @workflow.update
    async def change(self, days: int) -> str:
        return ""

    @change.validator  # error
    def validate_change(self, days: str) -> None: ...


async def calls(handle: WorkflowHandle[Mistaken, str]) -> None:
    await handle.execute_update(Mistaken.change, "x")  # error
    await handle.execute_update(Mistaken.change)  # error
    await handle.start_update(Mistaken.change, 5)  # error
    number: int = await handle.execute_update(Mistaken.change, 5)  # error
    await handle.execute_update(Mistaken.change, 5, wait_for_stage=number)  # error

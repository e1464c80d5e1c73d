"""Signals arrive in the order in which they were acknowledged, none lost, also before the first workflow task."""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue


@workflow.defn
class Collects:
    def __init__(self) -> None:
        self.got: list[Any] = []

    @workflow.signal
    def add(self, value: Any) -> None:
        self.got.append(value)

    @workflow.signal(name="add-two")
    async def add_two(self, first: Any, second: Any) -> None:
        await workflow.sleep(0.01)
        self.got.append([first, second])

    @workflow.signal(dynamic=True)
    async def other(self, name: str, args: Sequence[RawValue]) -> None:
        self.got.append(name)

    @workflow.run
    async def run(self, count: int) -> list[Any]:
        await workflow.wait_condition(lambda: len(self.got) >= count)
        return self.got


WORKFLOWS = [Collects]


async def check(env: Any) -> None:
    handle = await env.start(Collects.run, 50)
    for i in range(50):
        await handle.signal(Collects.add, i)
    assert await handle.result() == list(range(50))

    handle = await env.start(Collects.run, 3)
    await handle.signal("anything")
    await handle.signal(Collects.add_two, args=["a", {"b": 1}])
    await handle.signal("add", None)
    got = await handle.result()
    assert sorted(map(repr, got)) == sorted(map(repr, ["anything", ["a", {"b": 1}], None])), got

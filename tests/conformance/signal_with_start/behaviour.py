"""Signal-with-start: starts a run with its signal in one step, or signals the run that is open."""

from typing import Any

from temporalio import workflow


@workflow.defn
class Greets:
    def __init__(self) -> None:
        self.names: list[str] = []

    @workflow.signal
    def greet(self, name: str) -> None:
        self.names.append(name)

    @workflow.run
    async def run(self, count: int) -> list[str]:
        await workflow.wait_condition(lambda: len(self.names) >= count)
        return self.names


WORKFLOWS = [Greets]


async def check(env: Any) -> None:
    name = env.new_id()
    first = await env.start(Greets.run, 2, id=name, start_signal="greet", start_signal_args=["Ann"])
    second = await env.start(Greets.run, 2, id=name, start_signal="greet", start_signal_args=["Bob"])
    assert await first.result() == ["Ann", "Bob"]
    assert await second.result() == ["Ann", "Bob"]
    env.started.pop()
    history = [event async for event in first.fetch_history_events()]
    assert [event.event_type for event in history][:2] == [1, 26], "the start is followed by its signal"

"""Queries answer from a run's state without changing it: while it runs, after it has ended, and with errors."""

from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowQueryFailedError


@workflow.defn
class Answers:
    def __init__(self) -> None:
        self.stage = "new"
        self.end = False

    @workflow.query
    def where(self) -> str:
        return self.stage

    @workflow.query(name="with-args")
    def with_args(self, a: int, b: int) -> int:
        return a + b

    @workflow.query
    def broken(self) -> str:
        raise ValueError("this query is broken")

    @workflow.signal
    def go(self) -> None:
        self.stage = "gone"

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.run
    async def run(self) -> str:
        self.stage = "running"
        await workflow.wait_condition(lambda: self.end)
        self.stage = "ended"
        return "ended"


WORKFLOWS = [Answers]


async def check(env: Any) -> None:
    handle = await env.start(Answers.run)
    assert await handle.query(Answers.where) == "running"
    await handle.signal(Answers.go)
    assert await handle.query(Answers.where) == "gone", "a query sees the signals acknowledged before it"
    assert await handle.query(Answers.with_args, args=[2, 3]) == 5
    for name, words in [("broken", "this query is broken"), ("no-such-query", "no-such-query")]:
        try:
            await handle.query(name)
        except WorkflowQueryFailedError as error:
            assert words in str(error), str(error)
        else:
            raise AssertionError(f"{name} has not failed")
    await handle.signal(Answers.finish)
    assert await handle.result() == "ended"
    assert await handle.query(Answers.where) == "ended", "a closed run answers as well"
    kinds = [event.event_type async for event in handle.fetch_history_events()]
    assert kinds.count(1) == 1 and kinds[-1] == 2, kinds  # one start; completed at the end

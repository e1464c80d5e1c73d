"""A validator turns an update away before anything of it is recorded: no event, no change, and its id is free again."""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError

ACCEPTED, COMPLETED = 41, 43  # event types of Temporal's API


@workflow.defn
class Stock:
    """Holds a number of things; nobody can take more than there are."""

    def __init__(self) -> None:
        self.left = 10
        self.validated = 0
        self.sold: list[str] = []
        self.end = False
        self.open: set[str] = set()

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.signal
    def let_go(self, name: str) -> None:
        self.open.add(name)

    @workflow.query
    def left_over(self) -> int:
        return self.left

    @workflow.update
    async def take(self, name: str, count: int) -> int:
        self.left -= count
        await workflow.wait_condition(lambda: name in self.open or name == "now")
        self.sold.append(f"{count} to {name}")
        return self.left

    @take.validator
    def validate_take(self, name: str, count: int) -> None:
        if count > self.left:
            raise ApplicationError(f"only {self.left} left", self.left, type="TooMany")

    @workflow.update(name="give back")
    def give_back(self, count: int) -> int:
        self.left += count
        return self.left

    @give_back.validator
    def refuse(self, count: int) -> None:
        if count < 0:
            raise ValueError("nobody gives less than nothing")

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.end)
        return self.sold


WORKFLOWS = [Stock]


async def rejection(call: Any) -> BaseException:
    try:
        await call
    except WorkflowUpdateFailedError as error:
        return error.cause
    raise AssertionError("the update was not rejected")


async def events(handle: Any) -> list[int]:
    return [event.event_type for event in (await handle.fetch_history()).events]


async def check(env: Any) -> None:
    handle = await env.start(Stock.run)
    assert await handle.execute_update(Stock.take, args=["now", 4]) == 6
    before = await events(handle)

    # Nothing is left of what is turned away, however it is asked for; whoever started it hears it by the result.
    for stage in (WorkflowUpdateStage.ACCEPTED, WorkflowUpdateStage.COMPLETED):
        update = await handle.start_update(Stock.take, args=["now", 7], id="too many", wait_for_stage=stage)
        failure = await rejection(update.result())
        assert isinstance(failure, ApplicationError) and failure.type == "TooMany", failure
        assert failure.message == "only 6 left" and list(failure.details) == [6]
    failure = await rejection(handle.execute_update(Stock.give_back, -1))
    assert "nobody gives less than nothing" in str(failure)
    assert await handle.query(Stock.left_over) == 6
    assert await events(handle) == before, await events(handle)

    # Its id can be used once more, by one that is accepted.
    assert await handle.execute_update(Stock.take, args=["now", 6], id="too many") == 0
    assert await handle.execute_update(Stock.take, args=["now", 100], id="too many") == 0, "it is known by now"
    kinds = [kind for kind in await events(handle) if kind in (ACCEPTED, COMPLETED)]
    assert kinds == [ACCEPTED, COMPLETED] * 2, kinds

    # One that is under way counts for the next one's validator: of ten that ask for three, three get them.
    assert await handle.execute_update(Stock.give_back, 10) == 10
    stage = WorkflowUpdateStage.ACCEPTED
    started = [handle.start_update(Stock.take, args=[f"c{n}", 3], wait_for_stage=stage) for n in range(10)]
    updates = await asyncio.gather(*started)
    assert await handle.query(Stock.left_over) == 1
    for n in range(10):
        await handle.signal(Stock.let_go, f"c{n}")
    answers = await asyncio.gather(*(update.result() for update in updates), return_exceptions=True)
    assert answers.count(1) == 3, answers
    for answer in answers:
        if answer != 1:
            assert isinstance(answer, WorkflowUpdateFailedError), repr(answer)
            assert isinstance(answer.cause, ApplicationError) and answer.cause.type == "TooMany", repr(answer.cause)

    await handle.signal(Stock.finish)
    assert len(await handle.result()) == 5
    kinds = [kind for kind in await events(handle) if kind in (ACCEPTED, COMPLETED)]
    assert sorted(kinds) == [ACCEPTED] * 6 + [COMPLETED] * 6, kinds

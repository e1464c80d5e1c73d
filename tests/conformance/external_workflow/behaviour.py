"""Signals and cancellations from one workflow to another: delivered once, or refused with an error.

What the sender gets is the same in every language; the words of errors are each SDK's own.
"""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError


@workflow.defn
class Listens:
    """Collects what it hears until it hears the last word; ends as cancelled when that is asked for."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    @workflow.signal
    def note(self, number: int, text: str) -> None:
        self.heard.append([number, text])

    @workflow.signal
    def nothing(self) -> None:
        self.heard.append("nothing")

    @workflow.query
    def so_far(self) -> list[Any]:
        return self.heard

    @workflow.run
    async def run(self) -> list[Any]:
        await workflow.wait_condition(lambda: [0, "last"] in self.heard)
        return self.heard


def kind(error: BaseException) -> str:
    """What a failed delivery is, in words that all languages share."""
    if isinstance(error, CancelledError):
        return "cancelled"
    if isinstance(error, ApplicationError):
        return "not found"
    return type(error).__name__


@workflow.defn
class Speaks:
    """Sends these words one after the other."""

    @workflow.run
    async def run(self, to: str, run_id: str, words: list[str]) -> str:
        handle = workflow.get_external_workflow_handle_for(Listens.run, to, run_id=run_id or None)
        try:
            for number, word in enumerate(words, 1):
                if word == "nothing":
                    await handle.signal(Listens.nothing)
                else:
                    await handle.signal("note", args=[0 if word == "last" else number, word])
        except (ApplicationError, CancelledError) as error:
            return kind(error)
        return "delivered"


@workflow.defn
class SpeaksAtOnce:
    """Sends so many words without waiting in between."""

    @workflow.run
    async def run(self, to: str, count: int) -> None:
        handle = workflow.get_external_workflow_handle(to)
        await asyncio.gather(*(handle.signal("note", args=[n, "word"]) for n in range(1, count + 1)))
        await handle.signal("note", args=[0, "last"])


@workflow.defn
class Cancels:
    @workflow.run
    async def run(self, to: str, run_id: str) -> str:
        try:
            await workflow.get_external_workflow_handle(to, run_id=run_id or None).cancel()
        except (ApplicationError, CancelledError) as error:
            return kind(error)
        return "delivered"


@workflow.defn
class TakesBack:
    """Cancels a signal in the step in which it sends it: nothing is sent."""

    @workflow.run
    async def run(self, to: str) -> str:
        handle = workflow.get_external_workflow_handle(to)
        sending = asyncio.create_task(handle.signal("note", args=[1, "never"]))
        await asyncio.sleep(0)
        sending.cancel()
        try:
            await sending
        except (ApplicationError, CancelledError) as error:
            return kind(error)
        return "delivered"


WORKFLOWS = [Listens, Speaks, SpeaksAtOnce, Cancels, TakesBack]

# Event types of Temporal's API: what the sender's history says.
NAMES = {
    22: "cancel initiated",
    23: "cancel failed",
    24: "cancel delivered",
    37: "signal initiated",
    38: "signal failed",
    39: "signal delivered",
}


async def told(handle: Any) -> list[str]:
    events = [event.event_type async for event in handle.fetch_history_events()]
    return [NAMES[event] for event in events if event in NAMES]


async def check(env: Any) -> None:
    async def sends(result: str, run: Any, *args: Any, **options: Any) -> None:
        """Runs a sender, which must end with this."""
        handle = await env.start(run, *args, **options)
        assert await handle.result() == result, (args, await handle.result())
        what = "cancel" if run == Cancels.run else "signal"
        outcome = "delivered" if result == "delivered" else "failed"
        pairs = [f"{what} initiated", f"{what} {outcome}"]
        assert await told(handle) == pairs * (len(args[2]) if run == Speaks.run and result == "delivered" else 1)

    listener = await env.start(Listens.run)
    first_run = listener.first_execution_run_id
    await sends("delivered", Speaks.run, listener.id, "", ["one", "nothing", "three"])
    await sends("delivered", Speaks.run, listener.id, first_run, ["with its run"])
    assert await listener.query(Listens.so_far) == [[1, "one"], "nothing", [3, "three"], [1, "with its run"]]

    handle = await env.start(TakesBack.run, listener.id)
    assert await handle.result() == "cancelled"
    assert await told(handle) == []

    await sends("delivered", Speaks.run, listener.id, "", ["last"])
    assert await listener.result() == [[1, "one"], "nothing", [3, "three"], [1, "with its run"], [0, "last"]]

    # Each is delivered once. Those that are sent in one step may arrive in any order.
    listener = await env.start(Listens.run)
    await env.execute(SpeaksAtOnce.run, listener.id, 50)
    assert sorted(await listener.result()) == [[0, "last"], *([n, "word"] for n in range(1, 51))]

    # Nobody is there: the id is unknown, the run is another one, or it has ended.
    await sends("not found", Speaks.run, env.new_id(), "", ["one"])
    await sends("not found", Speaks.run, listener.id, "", ["one"])
    await sends("not found", Speaks.run, listener.id, first_run, ["one"])
    await sends("not found", Cancels.run, env.new_id(), "")
    own = env.new_id()
    await sends("not found", Speaks.run, own, "", ["one"], id=own)
    own = env.new_id()
    await sends("not found", Cancels.run, own, "", id=own)

    for with_run in (False, True):
        listener = await env.start(Listens.run)
        await sends("delivered", Cancels.run, listener.id, listener.first_execution_run_id if with_run else "")
        try:
            await listener.result()
        except WorkflowFailureError as error:
            assert isinstance(error.cause, CancelledError), repr(error.cause)
        else:
            raise AssertionError("not cancelled")
        assert (await listener.describe()).status == WorkflowExecutionStatus.CANCELED
    # It has ended: there is nothing left to cancel.
    await sends("delivered", Cancels.run, listener.id, "")

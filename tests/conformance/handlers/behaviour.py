"""Handlers of signals, queries and updates: which one is called, what tools are told of them, and what becomes of those that run
when their workflow ends.

Which handler gets a message is the same in every language; how a run without a handler takes an update is each SDK's own.
"""

import asyncio
import warnings
from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowQueryFailedError, WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.workflow import HandlerUnfinishedPolicy


def texts(args: Sequence[RawValue]) -> list[str]:
    return [workflow.payload_converter().from_payload(arg.payload, str) for arg in args]


@workflow.defn
class Switchboard:
    """Handlers with names and dynamic ones, from the start and set while it runs."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.end = False

    @workflow.signal(name="say", description="Something to write down")
    def on_say(self, word: str) -> None:
        self.heard.append(f"say {word}")

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.signal(dynamic=True, description="All other signals")
    async def any_signal(self, name: str, args: Sequence[RawValue]) -> None:
        self.heard.append(f"any {name} {texts(args)}")

    @workflow.query(description="What was heard")
    def all_heard(self) -> list[str]:
        return self.heard

    @workflow.query(dynamic=True)
    def any_query(self, name: str, args: Sequence[RawValue]) -> str:
        return f"any {name} {texts(args)}"

    @workflow.update(description="Answers at once")
    def ask(self, word: str) -> str:
        return f"ask {word}"

    @workflow.update(dynamic=True)
    async def any_update(self, name: str, args: Sequence[RawValue]) -> str:
        await asyncio.sleep(0.01)
        return f"any {name} {texts(args)}"

    @any_update.validator
    def validate_any(self, name: str, args: Sequence[RawValue]) -> None:
        if "no" in texts(args):
            raise ApplicationError(f"{name} is refused", type="Refused")

    @workflow.run
    async def run(self) -> list[str]:
        workflow.set_current_details("at the switchboard")
        await workflow.wait_condition(lambda: self.end)
        return self.heard


@workflow.defn
class Grows:
    """Gets its handlers one after the other: `step` sets the next ones."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.steps = 0

    @workflow.signal
    def step(self) -> None:
        self.steps += 1

    def hear(self, word: str) -> None:
        self.heard.append(f"named {word}")

    async def hear_any(self, name: str, args: Sequence[RawValue]) -> None:
        self.heard.append(f"{name} {texts(args)}")

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.steps >= 1)
        # Signals that nobody handles wait for the first who does, in order.
        workflow.set_signal_handler("word", self.hear)
        workflow.set_query_handler("heard", lambda: self.heard)
        workflow.set_update_handler("change", lambda word: f"changed {word}")
        await workflow.wait_condition(lambda: self.steps >= 2)
        workflow.set_dynamic_signal_handler(self.hear_any)
        workflow.set_dynamic_query_handler(self.answer_any)
        workflow.set_dynamic_update_handler(self.change_any, validator=self.validate_any)
        workflow.set_update_handler("change", self.change, validator=self.validate)
        await workflow.wait_condition(lambda: self.steps >= 3)
        workflow.set_signal_handler("word", None)
        workflow.set_query_handler("heard", None)
        workflow.set_update_handler("change", None)
        await workflow.wait_condition(lambda: self.steps >= 4)
        return self.heard

    def answer_any(self, name: str, args: Sequence[RawValue]) -> str:
        return f"any {name} {texts(args)}"

    async def change_any(self, name: str, args: Sequence[RawValue]) -> str:
        return f"any {name} {texts(args)}"

    def validate_any(self, name: str, args: Sequence[RawValue]) -> None:
        if name == "refused":
            raise ApplicationError("refused", type="Refused")

    async def change(self, word: str) -> str:
        await asyncio.sleep(0.01)
        return f"changed {word} later"

    def validate(self, word: str) -> None:
        if word == "no":
            raise ApplicationError("no", type="Refused")


@workflow.defn
class Leaves:
    """Ends while its handlers run, or after them."""

    def __init__(self) -> None:
        self.how = ""
        self.go_on = False
        self.ended: list[str] = []

    @workflow.signal
    def leave(self, how: str) -> None:
        self.how = how

    @workflow.signal
    def let_go(self) -> None:
        self.go_on = True

    async def wait(self, name: str) -> None:
        await workflow.wait_condition(lambda: self.go_on)
        self.ended.append(name)

    @workflow.signal
    async def signal_that_warns(self) -> None:
        await self.wait("signal that warns")

    @workflow.signal(unfinished_policy=HandlerUnfinishedPolicy.ABANDON)
    async def signal_that_is_left(self) -> None:
        await self.wait("signal that is left")

    @workflow.update
    async def update_that_warns(self) -> str:
        await self.wait("update that warns")
        return "done"

    @workflow.update(unfinished_policy=HandlerUnfinishedPolicy.ABANDON)
    async def update_that_is_left(self) -> str:
        await self.wait("update that is left")
        return "done"

    @workflow.query
    def all_finished(self) -> bool:
        return workflow.all_handlers_finished()

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.how != "")
        if self.how == "after all":
            await workflow.wait_condition(workflow.all_handlers_finished)
        if self.how == "with an error":
            raise ApplicationError("leaves")
        return self.ended


WORKFLOWS = [Switchboard, Grows, Leaves]


async def refusal(call: Any) -> BaseException:
    try:
        await call
    except WorkflowUpdateFailedError as error:
        return error.cause
    raise AssertionError("the update was not refused")


async def check(env: Any) -> None:
    await check_switchboard(env)
    await check_grows(env)
    await check_leaves(env)


async def check_switchboard(env: Any) -> None:
    handle = await env.start(Switchboard.run)
    await handle.signal("say", "one")
    await handle.signal("shout", args=["two", "three"])
    await handle.signal("whisper")
    heard = ["say one", "any shout ['two', 'three']", "any whisper []"]
    assert await handle.query(Switchboard.all_heard) == heard
    assert await handle.query("what", args=["x", "y"]) == "any what ['x', 'y']"
    assert await handle.execute_update(Switchboard.ask, "me") == "ask me"
    assert await handle.execute_update("tell", "me") == "any tell ['me']"
    failure = await refusal(handle.execute_update("tell", "no"))
    assert isinstance(failure, ApplicationError) and failure.type == "Refused" and "tell" in failure.message
    # A validator of the dynamic handler is not for those with a name.
    assert await handle.execute_update(Switchboard.ask, "no") == "ask no"

    metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    definition = metadata.definition
    assert definition.type == "Switchboard" and metadata.current_details == "at the switchboard"
    signals = [(each.name, each.description) for each in definition.signal_definitions]
    queries = [(each.name, each.description) for each in definition.query_definitions]
    updates = [(each.name, each.description) for each in definition.update_definitions]
    assert signals == [("", "All other signals"), ("finish", ""), ("say", "Something to write down")], signals
    # Those that every workflow has are listed too; which ones is each SDK's own.
    assert [q for q in queries if not q[0].startswith("__")] == [("", ""), ("all_heard", "What was heard")], queries
    assert {"__stack_trace", "__temporal_workflow_metadata"} <= {name for name, _ in queries}, queries
    assert updates == [("", ""), ("ask", "Answers at once")], updates
    # On the wire it is JSON of that message, whose names are in camel case.
    raw = await handle.query("__temporal_workflow_metadata", result_type=RawValue)
    assert raw.payload.metadata["encoding"] == b"json/protobuf"
    assert raw.payload.metadata["messageType"] == b"temporal.api.sdk.v1.WorkflowMetadata"
    assert b'"updateDefinitions"' in raw.payload.data and b'"currentDetails"' in raw.payload.data
    stacks = await handle.query("__stack_trace", result_type=str)
    assert "in run" in stacks or "Switchboard.run" in stacks, stacks

    await handle.signal(Switchboard.finish)
    assert await handle.result() == heard


async def check_grows(env: Any) -> None:
    handle = await env.start(Grows.run)
    for word in ("a", "b"):
        await handle.signal("word", word)
    await handle.signal("other", "c")
    assert "change" in str(await refusal(handle.execute_update("change", "a")))
    await handle.signal(Grows.step)
    assert await handle.query("heard") == ["named a", "named b"]
    assert await handle.execute_update("change", "a") == "changed a"
    assert await handle.execute_update("change", "no") == "changed no", "there is no validator yet"
    assert "another" in str(await refusal(handle.execute_update("another", "a")))
    await handle.signal("other", "d")
    await handle.signal(Grows.step)
    assert await handle.query("heard") == ["named a", "named b", "other ['c']", "other ['d']"]
    assert await handle.execute_update("change", "a") == "changed a later"
    failure = await refusal(handle.execute_update("change", "no"))
    assert isinstance(failure, ApplicationError) and failure.type == "Refused"
    assert await handle.execute_update("another", "a") == "any another ['a']"
    assert isinstance(await refusal(handle.execute_update("refused", "a")), ApplicationError)
    assert await handle.query("another", "a") == "any another ['a']"
    await handle.signal("word", "e")
    await handle.signal(Grows.step)
    assert await handle.query("heard", "x") == "any heard ['x']"
    assert await handle.execute_update("change", "no") == "any change ['no']"
    await handle.signal("word", "f")
    await handle.signal(Grows.step)
    heard = ["named a", "named b", "other ['c']", "other ['d']", "named e", "word ['f']"]
    assert await handle.result() == heard
    try:
        await (await env.start(Grows.run)).query("heard")
    except WorkflowQueryFailedError as error:
        assert "heard" in str(error)
    else:
        raise AssertionError("there is no such handler yet")
    await env.started.pop().terminate()


async def check_leaves(env: Any) -> None:
    async def begin(*names: str) -> Any:
        """A run with one handler of each of these names under way."""
        handle = await env.start(Leaves.run)
        assert await handle.query(Leaves.all_finished) is True
        for name in names:
            if name.startswith("update"):
                stage = WorkflowUpdateStage.ACCEPTED
                updates.append(await handle.start_update(name, id=name, wait_for_stage=stage))
            else:
                await handle.signal(name)
        assert await handle.query(Leaves.all_finished) is False
        return handle

    async def warned(how: str, *names: str) -> list[str]:
        """What was warned of when it left; a warning names the handlers, and the update by its id."""
        handle = await begin(*names)
        said: list[warnings.WarningMessage]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            await handle.signal(Leaves.leave, how)
            assert await failure_or_result(handle) == ("leaves" if how == "with an error" else [])
        kinds = (workflow.UnfinishedSignalHandlersWarning, workflow.UnfinishedUpdateHandlersWarning)
        told = [each for each in said if issubclass(each.category, kinds)]
        assert all(name in str(each.message) for each, name in zip(told, sorted(names, reverse=True))), told
        return sorted(each.category.__name__ for each in told)

    updates: list[Any] = []
    signals_too, updates_too = "UnfinishedSignalHandlersWarning", "UnfinishedUpdateHandlersWarning"
    assert await warned("now", "signal_that_warns") == [signals_too]
    assert await warned("now", "update_that_warns") == [updates_too]
    assert await warned("with an error", "update_that_warns", "signal_that_warns") == [signals_too, updates_too]
    assert await warned("now", "signal_that_is_left", "update_that_is_left") == []
    for update in updates:
        failure = await refusal(update.result())
        assert isinstance(failure, ApplicationError) and failure.type == "AcceptedUpdateCompletedWorkflow"
    updates.clear()
    names = ["signal_that_warns", "update_that_warns", "signal_that_is_left", "update_that_is_left"]
    handle = await begin(*names)
    await handle.signal(Leaves.leave, "after all")
    assert await handle.query(Leaves.all_finished) is False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await handle.signal(Leaves.let_go)
        ended = await handle.result()
    assert ended == [name.replace("_", " ") for name in names], ended
    assert [await update.result() for update in updates] == ["done", "done"]


async def failure_or_result(handle: Any) -> Any:
    try:
        return await handle.result()
    except Exception as error:
        return str(error.__cause__)

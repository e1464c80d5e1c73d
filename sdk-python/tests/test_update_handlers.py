"""Handlers of a run: what those that only read may do, which one gets a message, who is told of them, and how they are defined."""

from __future__ import annotations

import asyncio
import random
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from activations import PAYLOADS, Run, evict, fire, query, signal, started, update

from durably import workflow
from durably.common import RawValue

TEN = timedelta(seconds=10)


# -- Validators that do more than read

READ_ONLY: dict[str, Callable[[Any], Any]] = {
    "activity": lambda run: workflow.start_activity("x", start_to_close_timeout=TEN),
    "child": lambda run: workflow.start_child_workflow("x").send(None),
    "signal": lambda run: workflow.get_external_workflow_handle("x").signal("y").send(None),
    "timer": lambda run: workflow.sleep(1).send(None),
    "loop timer": lambda run: asyncio.get_running_loop().call_later(1, print),
    "condition": lambda run: workflow.wait_condition(lambda: True).send(None),
    "handler": lambda run: workflow.set_update_handler("x", lambda: None),
    "random": lambda run: workflow.random(),
    "uuid": lambda run: workflow.uuid4(),
    "new random": lambda run: workflow.new_random(),
    "task": lambda run: asyncio.create_task(run.later()),
    "callback": lambda run: asyncio.get_running_loop().call_soon(print),
    "future": lambda run: run.future.set_result(None),
    "details": lambda run: workflow.set_current_details("x"),
    "continue as new": lambda run: workflow.continue_as_new(),
}


@workflow.defn
class OnlyReads:
    @workflow.run
    async def run(self) -> list[Any]:
        self.future = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(self.wait())
        await workflow.sleep(1)
        waiting.cancel()
        return [workflow.random().random(), random.random(), str(workflow.uuid4()), len({asyncio.Future(), waiting})]

    async def wait(self) -> None:
        await self.future

    async def later(self) -> None:
        pass

    @workflow.update
    def act(self, what: str) -> None:
        pass

    @act.validator
    def only_read(self, what: str) -> None:
        assert workflow.unsafe.is_read_only()
        if what == "stdlib random":
            random.random()
            raise ValueError(f"{random.random()}")
        READ_ONLY[what](self)

    @workflow.query
    def ask(self, what: str) -> str:
        if what == "stdlib random":
            return str(random.random())
        return repr(READ_ONLY[what](self))


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("what", READ_ONLY)
def test_a_validator_that_does_more_than_read_fails_the_task(what: str) -> None:
    assert "While in read-only function, action attempted" in started(OnlyReads).fails(update("act", what))


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("what", READ_ONLY)
def test_so_does_a_query_which_fails_and_leaves_no_trace(what: str) -> None:
    run = started(OnlyReads)
    (answer,) = run.activate(query("ask", what))
    assert "While in read-only function, action attempted" in answer.query_answer.failed.message
    run.activate(fire(1))
    undisturbed = started(OnlyReads)
    undisturbed.activate(fire(1))
    assert run.result == undisturbed.result


def test_numbers_drawn_by_those_who_only_read_are_not_the_runs() -> None:
    run, undisturbed = started(OnlyReads), started(OnlyReads)
    run.activate(update("act", "stdlib random"), after=0)
    run.activate(query("ask", "stdlib random"), after=0)
    assert run.trace[0].startswith("u rejected 0.") and run.trace[1] == "query_answer"
    run.activate(fire(1))
    undisturbed.activate(fire(1))
    assert run.result == undisturbed.result


def test_a_validator_that_would_wait_for_the_world_is_told_so() -> None:
    @workflow.defn
    class Waits:
        @workflow.run
        async def run(self) -> None:
            await workflow.sleep(1)

        @workflow.update
        def change(self) -> None: ...

        @change.validator
        def validate_change(self) -> None:
            time.sleep(60)  # tidy-allow: sleep: it is the mistake

    run = started(Waits)
    run.activate(update("change"))
    assert run.trace[0].startswith("u rejected time.sleep is not possible in workflow code") and len(run.trace) == 1


def test_a_validator_gets_arguments_of_its_own() -> None:
    @workflow.defn
    class Changes:
        @workflow.run
        async def run(self) -> None:
            await workflow.sleep(1)

        @workflow.update
        def add(self, items: list[int]) -> list[int]:
            return items

        @add.validator
        def validate_add(self, items: list[int]) -> None:
            items.clear()

    run = started(Changes)
    run.activate(update("add", [1, 2]))
    assert run.trace == ["u accepted", "u succeeded [1,2]"]


# -- Which handler, and who asks


@workflow.defn
class Switches:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(1)
        workflow.set_update_handler("late", self.late, validator=self.not_empty)
        workflow.set_dynamic_update_handler(self.any, validator=lambda name, args: self.not_empty(name))
        await workflow.sleep(1)
        handler = workflow.get_update_handler("late")
        assert handler is not None and await handler("x") == "late x"
        assert workflow.get_dynamic_update_handler() is not None and workflow.get_update_handler("other") is None
        workflow.set_update_handler("late", None)
        await workflow.sleep(1)

    async def late(self, text: str) -> str:
        return f"late {text}"

    async def any(self, name: str, args: Sequence[RawValue]) -> str:
        return f"any {name} {len(args)}"

    def not_empty(self, text: str) -> None:
        if not text or text == "empty":
            raise ValueError("empty")


def test_handlers_set_while_it_runs() -> None:
    run = Run(Switches)
    run.start(update("late", "x"))
    run.activate(update("late", "x"))
    assert all(said.startswith("u rejected") for said in run.trace if said.startswith("u")), run.trace
    run.activate(fire(1))
    run.trace.clear()
    run.activate(update("late", "x"), update("late", ""), update("other", 1, 2), update("empty"))
    assert run.trace == [
        "u accepted",
        'u succeeded "late x"',
        "u rejected empty",
        "u accepted",
        'u succeeded "any other 2"',
        "u rejected empty",
    ]
    run.activate(fire(2))
    run.trace.clear()
    run.activate(update("late", "x"))
    assert run.trace == ["u accepted", 'u succeeded "any late 1"']


@workflow.defn
class Who:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def look(self) -> None:
        self.seen.append(workflow.current_update_info())

    @workflow.run
    async def run(self) -> None:
        self.look()
        await workflow.wait_condition(lambda: len(self.seen) > 4)
        self.look()

    @workflow.signal
    async def sign(self) -> None:
        self.look()

    async def aside(self) -> None:
        await workflow.sleep(1)
        self.look()

    @workflow.update
    async def who(self) -> None:
        self.look()
        await asyncio.create_task(self.aside())

    @who.validator
    def validate_who(self) -> None:
        self.look()


def test_an_update_is_known_to_all_that_runs_for_it() -> None:
    run = Run(Who)
    run.start()
    run.activate(update("who", id="me"), signal("sign"))
    run.activate(fire(1))
    info = workflow.UpdateInfo(id="me", name="who")
    assert run.instance.instance.seen == [None, info, info, None, info, None]
    assert workflow.current_update_info() is None


# -- Handlers that are still running at the end


@workflow.defn
class Leaves:
    def __init__(self) -> None:
        self.end = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.end)

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.signal
    async def stay(self) -> None:
        await workflow.sleep(100)

    @workflow.update(name="linger on")
    async def linger(self) -> None:
        await workflow.sleep(100)

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def leave(self) -> None:
        await workflow.sleep(100)

    @workflow.query
    def finished(self) -> bool:
        return workflow.all_handlers_finished()


def test_unfinished_handlers_are_warned_of_by_kind() -> None:
    run = started(Leaves)
    run.activate(update("linger on", id="a"), update("linger on", id="b"), update("leave", id="c"), signal("stay"))
    with pytest.warns() as said:
        run.activate(signal("finish"))
    updates, signals = said
    assert updates.category is workflow.UnfinishedUpdateHandlersWarning
    assert "linger on (id a), linger on (id b)" in str(updates.message) and "leave" not in str(updates.message)
    assert signals.category is workflow.UnfinishedSignalHandlersWarning and "stay" in str(signals.message)


@pytest.mark.parametrize("replaying", [False, True])
def test_nothing_is_warned_of_without_a_reason(replaying: bool) -> None:
    run = started(Leaves)
    run.activate(update("linger on" if replaying else "leave"))
    run.replaying = replaying
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.activate(signal("finish"))
    assert run.trace[-1] == "complete_workflow"


# -- What tools are told


def test_handlers_are_listed_by_kind_and_name_with_what_they_are_for() -> None:
    @workflow.defn(name="Listed")
    class Lists:
        @workflow.run
        async def run(self) -> None:
            workflow.set_current_details("waiting")
            workflow.set_update_handler("added", lambda: None)
            await workflow.sleep(1)

        @workflow.update(dynamic=True, description="The rest")
        def rest(self, name: str, args: Sequence[RawValue]) -> None: ...

        @workflow.update(name="change", description="Changes it")
        def update_it(self) -> None: ...

        @workflow.signal(description="Heard")
        def hear(self) -> None: ...

        @workflow.query(name="Who", description="Asks who")
        def who(self) -> str:
            return ""

    run = started(Lists)
    (answer,) = run.activate(query("__temporal_workflow_metadata"))
    metadata = PAYLOADS.from_payload(answer.query_answer.succeeded)
    definition = metadata.definition
    assert (definition.type, metadata.current_details) == ("Listed", "waiting")

    def told(each: Any) -> list[tuple[str, str]]:
        return [(item.name, item.description) for item in each]

    assert told(definition.update_definitions) == [("", "The rest"), ("added", ""), ("change", "Changes it")]
    assert told(definition.signal_definitions) == [("hear", "Heard")]
    built_in = [("__stack_trace", ""), ("__temporal_workflow_metadata", "")]
    assert told(definition.query_definitions) == [("Who", "Asks who"), *built_in]


# -- Definitions


def test_a_class_tells_what_is_wrong_with_its_updates() -> None:
    with pytest.raises(ValueError, match="Update validator method validate parameters do not match update method change"):

        @workflow.defn
        class OtherParameters:
            @workflow.run
            async def run(self) -> None: ...

            @workflow.update
            def change(self, number: int) -> None: ...

            @change.validator  # type: ignore[arg-type]
            def validate(self, number: str) -> None: ...

    with pytest.raises(ValueError, match="Multiple update methods found for change"):

        @workflow.defn
        class Twice:
            @workflow.run
            async def run(self) -> None: ...

            @workflow.update
            def change(self) -> None: ...

            @workflow.update(name="change")
            def other(self) -> None: ...

    class Base:
        @workflow.update
        def change(self) -> None: ...

    with pytest.raises(ValueError, match="@workflow.update defined on a base class's change but not on the override"):

        @workflow.defn
        class Overrides(Base):
            @workflow.run
            async def run(self) -> None: ...

            def change(self) -> None: ...  # type: ignore[override]

    with pytest.raises(ValueError, match="must not be an async function"):

        class Async:
            @workflow.update
            def change(self) -> None: ...

            @change.validator  # type: ignore[arg-type]
            async def validate(self) -> None: ...

    with pytest.raises(RuntimeError, match="Validator already set for update change"):

        class TwoValidators:
            @workflow.update
            def change(self) -> None: ...

            @change.validator
            def validate(self) -> None: ...

            @change.validator
            def validate_again(self) -> None: ...

    with pytest.raises(RuntimeError, match="name and dynamic"):
        workflow.update(name="x", dynamic=True)(lambda self: None)
    with pytest.raises(RuntimeError, match="Dynamic update handler must have"):
        workflow.update(dynamic=True)(lambda self, text: None)
    with pytest.raises(ValueError, match="reserved prefix"):
        workflow.update(name="__temporal_x")(lambda self: None)


def test_a_validator_that_returns_a_coroutine_accepts_nothing() -> None:
    @workflow.defn
    class Forgets:
        @workflow.run
        async def run(self) -> None:
            async def check() -> None: ...

            workflow.set_update_handler("change", lambda: None, validator=lambda: check())
            await workflow.sleep(1)

    run = started(Forgets)
    run.activate(update("change"))
    assert run.trace == ["u rejected the validator of update change returns a coroutine, which nobody awaits"]


def test_a_workflow_sends_no_updates() -> None:
    @workflow.defn
    class Sends:
        @workflow.run
        async def run(self, name: str) -> None:
            handle: Any = workflow.get_external_workflow_handle("other")
            await getattr(handle, name)("x")

    for name in ("execute_update", "start_update"):
        run = Run(Sends, name)
        run.start()
        said = run.completion.failure.failure.message
        assert f"ExternalWorkflowHandle has no {name}: a workflow sends no updates" in said
    run = Run(Sends, "shout")
    run.start()
    assert "has no attribute 'shout'" in run.completion.failure.failure.message


def test_a_run_that_is_forgotten_while_an_update_runs_says_nothing() -> None:
    run = started(Leaves)
    run.activate(update("linger on"))
    run.activate(evict())
    assert run.completion.success is not None and run.completion.success.commands == []

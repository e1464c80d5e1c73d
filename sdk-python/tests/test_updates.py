"""Updates of one run, activation by activation: what is answered, in which order, and what is left of those that are turned away."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from activations import PAYLOADS, Run, fire, query, resolve, signal, update

from durably import workflow
from durably.common import RawValue
from durably.exceptions import ApplicationError
from durably.worker import _interception as interception

TEN = timedelta(seconds=10)


@dataclass
class Order:
    item: str
    count: int = 1


@workflow.defn
class Shop:
    def __init__(self) -> None:
        self.left = 10
        self.log: list[Any] = []
        self.looked = 0
        self.end = False

    @workflow.run
    async def run(self) -> list[Any]:
        await workflow.wait_condition(self.has_ended)
        self.log.append("end")
        return self.log

    def has_ended(self) -> bool:
        self.looked += 1
        return self.end

    @workflow.signal
    async def note(self, text: str) -> None:
        self.log.append(text)

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.update
    def take(self, count: int) -> int:
        self.left -= count
        return self.left

    @take.validator
    def validate_take(self, count: int) -> None:
        if count > self.left:
            raise ApplicationError(f"only {self.left} left")

    @workflow.update
    async def work(self, number: int) -> int:
        self.log.append(f"begin {number}")
        number = await workflow.execute_activity("double", number, start_to_close_timeout=TEN)
        await asyncio.sleep(1)
        self.log.append(f"end {number}")
        return number

    @workflow.update
    def order(self, order: Order) -> str:
        return f"{order.count} {order.item}"

    @workflow.update
    def close(self) -> str:
        self.end = True
        return "closed"

    @workflow.update
    async def close_and_go_on(self) -> str:
        self.end = True
        for _ in range(5):
            await asyncio.sleep(0)
        return "went on"

    @workflow.query
    def looked_for_the_end(self) -> int:
        return self.looked


def started(*args: Any, kind: type[Any] = Shop, **options: Any) -> Run:
    run = Run(kind, *args, **options)
    run.start()
    assert run.completion.success is not None, run.completion
    run.trace.clear()
    return run


def test_an_answer_of_a_plain_handler_follows_its_acceptance() -> None:
    run = started()
    run.activate(update("take", 3, id="a"), update("take", 4, id="b"))
    assert run.trace == ["a accepted", "a succeeded 7", "b accepted", "b succeeded 3"]


def test_what_a_handler_asks_for_stands_behind_its_acceptance() -> None:
    run = started()
    run.activate(update("work", 1, id="a"), update("work", 2, id="b"))
    assert run.trace == ["a accepted", "activity 1 double ['1']", "b accepted", "activity 2 double ['2']"]
    run.trace.clear()
    run.activate(resolve(2, 4))
    run.activate(fire(1))
    run.activate(resolve(1, 2), query("looked_for_the_end"))
    run.activate(fire(2))
    assert run.trace == ["timer 1 1.0", "b succeeded 4", "timer 2 1.0", "query_answer", "a succeeded 2"]


def test_messages_are_handled_in_their_order() -> None:
    run = started()
    run.activate(signal("note", "before"), update("work", 1), signal("note", "after"))
    assert run.instance.instance.log == ["before", "begin 1", "after"]


def test_one_that_comes_with_the_start_is_handled_before_the_main_method() -> None:
    run = Run(Shop)
    run.start(update("take", 1), signal("note", "x"))
    assert run.trace == ["u accepted", "u succeeded 9"] and run.instance.instance.log == ["x"]


def test_a_validator_turns_away_without_a_trace() -> None:
    run = started()
    asked = run.instance.instance.looked
    numbering = run.instance.loop._hash
    run.activate(update("take", 11, id="a"), update("take", 12, id="b"))
    assert run.trace == ["a rejected only 10 left", "b rejected only 10 left"]
    assert run.instance.instance.looked == asked, "a replay wouldn't look, as it has no such step"
    assert run.instance.loop._hash == numbering
    run.activate(update("take", 11, id="a"), update("take", 1, id="b"))
    assert run.trace[2:] == ["a rejected only 10 left", "b accepted", "b succeeded 9"]
    assert run.instance.instance.looked > asked


def test_a_replay_asks_no_validator() -> None:
    run = started()
    run.replaying = True
    run.activate(update("take", 11, replayed=True))
    assert run.trace == ["u accepted", "u succeeded -1"]


def test_what_nobody_handles_is_turned_away_and_says_what_there_is() -> None:
    run = started()
    run.activate(update("buy"))
    (said,) = run.trace
    assert said.startswith("u rejected Update handler for 'buy' expected but not found")
    assert "known updates: [close close_and_go_on order take work]" in said


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [("order", ["not an order"], "parameter 'order'"), ("take", [], "takes 1 argument, got 0"), ("order", [5], "'order'")],
)
def test_arguments_that_do_not_fit_are_turned_away(name: str, args: list[Any], words: str) -> None:
    run = started()
    run.activate(update(name, *args))
    (said,) = run.trace
    assert said.startswith("u rejected ") and words in said, said


def test_surplus_arguments_are_dropped() -> None:
    run = started()
    run.activate(update("take", 1, "from a newer caller"))
    assert run.trace == ["u accepted", "u succeeded 9"]


def test_a_history_that_has_it_and_code_that_has_not_fail_the_task() -> None:
    run = started()
    run.replaying = True
    assert "Update handler for 'buy' expected but not found" in run.fails(update("buy", replayed=True))


def test_a_handler_that_ends_the_run_has_answered_before() -> None:
    run = started()
    run.activate(update("close"))
    assert run.trace == ["u accepted", 'u succeeded "closed"', "complete_workflow"]


def test_an_answer_behind_the_end_of_the_run_is_sent_and_nothing_is_warned_of() -> None:
    run = started()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.activate(update("close_and_go_on"))
    assert sorted(run.trace) == ["complete_workflow", "u accepted", 'u succeeded "went on"']


# -- Handlers that fail


class Unlucky(Exception):
    pass


class Text:
    """An exception's message that can't be made."""

    def __str__(self) -> str:
        raise ValueError("no text")


@workflow.defn(failure_exception_types=[Unlucky])
class Fails:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(1000)

    def throw(self, what: str) -> None:
        if what == "application error":
            raise ApplicationError("sorry")
        if what == "declared":
            raise Unlucky("bad luck")
        if what == "plain":
            raise ValueError("a mistake")
        if what == "exit":
            raise SystemExit(3)
        if what == "cancelled":
            raise asyncio.CancelledError
        if what == "timeout":
            raise asyncio.TimeoutError
        if what == "stop":
            raise StopIteration
        if what == "unspeakable":
            raise ValueError(Text())
        if what == "next":
            workflow.continue_as_new()

    @workflow.update
    async def handle(self, what: str) -> Any:
        self.throw(what)
        return object() if what == "unconvertible" else None

    @workflow.update
    async def handle_later(self, what: str) -> None:
        await workflow.sleep(1)
        self.throw(what)

    @workflow.update
    def validate(self, what: str) -> None:
        pass

    @validate.validator
    def validate_it(self, what: str) -> None:
        self.throw(what)


@pytest.mark.parametrize("name", ["handle", "handle_later"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("application error", "sorry"),
        ("declared", "bad luck"),
        ("cancelled", "Cancellation raised within update"),
        ("timeout", ""),
    ],
)
def test_a_failure_fails_the_update(name: str, what: str, said: str) -> None:
    run = started(kind=Fails)
    run.activate(update(name, what))
    if name == "handle_later":
        run.activate(fire(2))
    assert (run.trace[0], run.trace[-1]) == ("u accepted", f"u failed {said}".strip())
    run.activate(update("handle", "nothing"))
    assert run.trace[-1] == "u succeeded", "the run goes on"


@pytest.mark.parametrize("name", ["handle", "handle_later"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("plain", "a mistake"),
        ("exit", "3"),
        ("stop", "StopIteration"),
        ("unspeakable", "ValueError"),
        ("next", "Cannot continue as new from an update handler, as that of"),
    ],
)
def test_any_other_exception_fails_the_task(name: str, what: str, said: str) -> None:
    run = started(kind=Fails)
    if name == "handle_later":
        run.activate(update(name, what))
        assert said in run.fails(fire(2))
    else:
        assert said in run.fails(update(name, what))


def test_an_answer_that_cannot_be_converted_fails_the_task() -> None:
    assert "object" in started(kind=Fails).fails(update("handle", "unconvertible"))


@pytest.mark.parametrize(
    "what", ["application error", "declared", "plain", "exit", "cancelled", "timeout", "stop", "unspeakable"]
)
def test_whatever_a_validator_raises_turns_the_update_away(what: str) -> None:
    run = started(kind=Fails)
    run.activate(update("validate", what))
    assert len(run.trace) == 1 and run.trace[0].startswith("u rejected"), run.trace


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
    assert "While in read-only function, action attempted" in started(kind=OnlyReads).fails(update("act", what))


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("what", READ_ONLY)
def test_so_does_a_query_which_fails_and_leaves_no_trace(what: str) -> None:
    run = started(kind=OnlyReads)
    (answer,) = run.activate(query("ask", what))
    assert "While in read-only function, action attempted" in answer.query_answer.failed.message
    run.activate(fire(1))
    undisturbed = started(kind=OnlyReads)
    undisturbed.activate(fire(1))
    assert run.result == undisturbed.result


def test_numbers_drawn_by_those_who_only_read_are_not_the_runs() -> None:
    run, undisturbed = started(kind=OnlyReads), started(kind=OnlyReads)
    run.activate(update("act", "stdlib random"), after=0)
    run.activate(query("ask", "stdlib random"), after=0)
    assert run.trace[0].startswith("u rejected 0.") and run.trace[1] == "query_answer"
    run.activate(fire(1))
    undisturbed.activate(fire(1))
    assert run.result == undisturbed.result


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

    run = started(kind=Changes)
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


def test_links_see_updates() -> None:
    class In(interception.Inbound):
        def handle_update_validator(self, input: interception.HandleUpdateInput) -> None:
            assert (input.update, input.id) == ("take", "u")
            if input.args == [13]:
                raise ValueError("thirteen")
            self.next.handle_update_validator(input)

        async def handle_update_handler(self, input: interception.HandleUpdateInput) -> Any:
            return 100 + await self.next.handle_update_handler(input)

    run = started()
    run.instance.inbound = In(run.instance.inbound)
    run.activate(update("take", 13), update("take", 11), update("take", 1))
    assert run.trace == ["u rejected thirteen", "u rejected only 10 left", "u accepted", "u succeeded 109"]


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
    run = started(kind=Leaves)
    run.activate(update("linger on", id="a"), update("linger on", id="b"), update("leave", id="c"), signal("stay"))
    with pytest.warns() as said:
        run.activate(signal("finish"))
    updates, signals = said
    assert updates.category is workflow.UnfinishedUpdateHandlersWarning
    assert "linger on (id a), linger on (id b)" in str(updates.message) and "leave" not in str(updates.message)
    assert signals.category is workflow.UnfinishedSignalHandlersWarning and "stay" in str(signals.message)


@pytest.mark.parametrize("replaying", [False, True])
def test_nothing_is_warned_of_without_a_reason(replaying: bool) -> None:
    run = started(kind=Leaves)
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

    run = started(kind=Lists)
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

    run = started(kind=Forgets)
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
    from activations import evict

    run = started(kind=Leaves)
    run.activate(update("linger on"))
    run.activate(evict())
    assert run.completion.success is not None and run.completion.success.commands == []

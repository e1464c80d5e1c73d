"""Updates of one run, activation by activation: what is answered, in which order, and what is left of those that are turned away."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from activations import Run, fire, query, resolve, signal, started, update

from durably import workflow
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
        await workflow.wait_condition(lambda: "end" in self.log)
        return "went on"

    @workflow.query
    def looked_for_the_end(self) -> int:
        return self.looked


def test_an_answer_of_a_plain_handler_follows_its_acceptance() -> None:
    run = started(Shop)
    run.activate(update("take", 3, id="a"), update("take", 4, id="b"))
    assert run.trace == ["a accepted", "a succeeded 7", "b accepted", "b succeeded 3"]


def test_what_a_handler_asks_for_stands_behind_its_acceptance() -> None:
    run = started(Shop)
    run.activate(update("work", 1, id="a"), update("work", 2, id="b"))
    assert run.trace == ["a accepted", "activity 1 double ['1']", "b accepted", "activity 2 double ['2']"]
    run.trace.clear()
    run.activate(resolve(2, 4))
    run.activate(fire(1))
    run.activate(resolve(1, 2), query("looked_for_the_end"))
    run.activate(fire(2))
    assert run.trace == ["timer 1 1.0", "b succeeded 4", "timer 2 1.0", "query_answer", "a succeeded 2"]


def test_messages_are_handled_in_their_order() -> None:
    run = started(Shop)
    run.activate(signal("note", "before"), update("work", 1), signal("note", "after"))
    assert run.instance.instance.log == ["before", "begin 1", "after"]


def test_one_that_comes_with_the_start_is_handled_before_the_main_method() -> None:
    run = Run(Shop)
    run.start(update("take", 1), signal("note", "x"))
    assert run.trace == ["u accepted", "u succeeded 9"] and run.instance.instance.log == ["x"]


def test_a_validator_turns_away_without_a_trace() -> None:
    run = started(Shop)
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
    run = started(Shop)
    run.replaying = True
    run.activate(update("take", 11, replayed=True))
    assert run.trace == ["u accepted", "u succeeded -1"]


def test_what_nobody_handles_is_turned_away_and_says_what_there_is() -> None:
    run = started(Shop)
    run.activate(update("buy"))
    (said,) = run.trace
    assert said.startswith("u rejected Update handler for 'buy' expected but not found")
    assert "known updates: [close close_and_go_on order take work]" in said


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [("order", ["not an order"], "parameter 'order'"), ("take", [], "takes 1 argument, got 0"), ("order", [5], "'order'")],
)
def test_arguments_that_do_not_fit_are_turned_away(name: str, args: list[Any], words: str) -> None:
    run = started(Shop)
    run.activate(update(name, *args))
    (said,) = run.trace
    assert said.startswith("u rejected ") and words in said, said


def test_surplus_arguments_are_dropped() -> None:
    run = started(Shop)
    run.activate(update("take", 1, "from a newer caller"))
    assert run.trace == ["u accepted", "u succeeded 9"]


def test_a_history_that_has_it_and_code_that_has_not_fail_the_task() -> None:
    run = started(Shop)
    run.replaying = True
    assert "Update handler for 'buy' expected but not found" in run.fails(update("buy", replayed=True))


def test_a_handler_that_ends_the_run_has_answered_before() -> None:
    run = started(Shop)
    run.activate(update("close"))
    assert run.trace == ["u accepted", 'u succeeded "closed"', "complete_workflow"]


def test_an_answer_behind_the_end_of_the_run_is_sent_and_nothing_is_warned_of() -> None:
    run = started(Shop)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.activate(update("close_and_go_on"))
    assert run.trace == ["u accepted", "complete_workflow", 'u succeeded "went on"']


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
    run = started(Fails)
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
    run = started(Fails)
    if name == "handle_later":
        run.activate(update(name, what))
        assert said in run.fails(fire(2))
    else:
        assert said in run.fails(update(name, what))


def test_an_answer_that_cannot_be_converted_fails_the_task() -> None:
    assert "object" in started(Fails).fails(update("handle", "unconvertible"))


@pytest.mark.parametrize(
    "what", ["application error", "declared", "plain", "exit", "cancelled", "timeout", "stop", "unspeakable"]
)
def test_whatever_a_validator_raises_turns_the_update_away(what: str) -> None:
    run = started(Fails)
    run.activate(update("validate", what))
    assert len(run.trace) == 1 and run.trace[0].startswith("u rejected"), run.trace


def test_links_see_updates() -> None:
    class In(interception.Inbound):
        def handle_update_validator(self, input: interception.HandleUpdateInput) -> None:
            assert (input.update, input.id) == ("take", "u")
            if input.args == [13]:
                raise ValueError("thirteen")
            self.next.handle_update_validator(input)

        async def handle_update_handler(self, input: interception.HandleUpdateInput) -> Any:
            return 100 + await self.next.handle_update_handler(input)

    run = started(Shop)
    run.instance.inbound = In(run.instance.inbound)
    run.activate(update("take", 13), update("take", 11), update("take", 1))
    assert run.trace == ["u rejected thirteen", "u rejected only 10 left", "u accepted", "u succeeded 109"]

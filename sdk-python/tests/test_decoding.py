"""Which type a value becomes where a hint leaves a choice: unions, generic classes, TypedDicts, surplus arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Generic, List, Literal, NamedTuple, Optional, TypedDict, TypeVar, Union

import pytest
from activations import PAYLOADS, Run, query, signal

from durably import workflow
from durably.client import Client, WorkflowHandle
from durably.converter import value_to_type
from durably.worker import Worker

T = TypeVar("T")


@dataclass
class Payment:
    amount: int


@dataclass
class Refund:
    amount: int
    reason: str = ""


@dataclass
class Opened:
    name: str
    kind: Literal["opened"] = field(default="opened", init=False)


@dataclass(frozen=True)
class Closed:
    name: str
    kind: Literal["closed"] = field(default="closed", init=False)


@dataclass
class Positive:
    amount: int

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise LookupError("negative")


class Card(TypedDict):
    number: str


class Account(TypedDict, total=False):
    iban: str
    owner: Payment


@dataclass
class Box(Generic[T]):
    item: T
    more: List[T]
    named: Dict[str, Optional[T]]


@dataclass
class PaymentBox(Box[Payment]):
    pass


@dataclass
class Pair(Box[int], Generic[T]):
    """Uses the same variable as its base, for something else."""

    other: T


class Row(NamedTuple):
    refund: Refund


REFUND = {"amount": 1, "reason": "late"}


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        # Pairs of hints that compare equal: whichever is used first must not decide for the other.
        (Union[Payment, Refund], REFUND, Payment(1)),
        (Union[Refund, Payment], REFUND, Refund(1, "late")),
        (list[Union[Payment, Refund]], [REFUND], [Payment(1)]),
        (list[Union[Refund, Payment]], [REFUND], [Refund(1, "late")]),
        (Refund | Payment | None, REFUND, Refund(1, "late")),
        (Payment | Refund | None, REFUND, Payment(1)),
        (Union[int, float], 1, 1),
        (Union[float, int], 1, 1.0),
        (Union[int, float], 5.5, 5.5),
        # By fields: one that is missing or doesn't fit rules the member out.
        (Union[Refund, Opened], {"name": "a", "kind": "opened"}, Opened("a")),
        (Union[Opened, Closed], {"name": "a", "kind": "closed"}, Closed("a")),
        (Union[Positive, Payment], {"amount": -1}, Payment(-1)),
        (Union[Card, Account], {"iban": "i"}, {"iban": "i"}),
    ],
)
def test_a_union_takes_the_first_member_that_fits(hint: Any, value: Any, expected: Any) -> None:
    decoded = value_to_type(hint, value)
    assert decoded == expected
    assert type(decoded) is type(expected)


def test_a_union_says_why_none_of_its_members_fits() -> None:
    with pytest.raises(TypeError) as caught:
        value_to_type(Union[Payment, Opened], {"nam": "a"})
    message = str(caught.value)
    assert "Payment.amount: missing: the JSON object has no 'amount'" in message
    assert "Opened.name: missing: the JSON object has no 'name'" in message


def test_fields_that_the_constructor_does_not_take_are_restored() -> None:
    decoded = value_to_type(Closed, {"name": "a", "kind": "closed"})
    assert decoded == Closed("a")
    with pytest.raises(TypeError, match="kind: expected one of 'closed', got str 'opened'"):
        value_to_type(Closed, {"name": "a", "kind": "opened"})


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (Card, {"number": "n", "later": 1}, {"number": "n", "later": 1}),
        (Account, {"owner": {"amount": 1}, "x": {"y": 2}}, {"owner": Payment(1), "x": {"y": 2}}),
        (List[Card], [{"number": "n", "later": 1}], [{"number": "n", "later": 1}]),
        (Dict[str, Card], {"a": {"number": "n", "later": 1}}, {"a": {"number": "n", "later": 1}}),
    ],
)
def test_a_typed_dict_keeps_keys_that_it_does_not_name(hint: Any, value: Any, expected: Any) -> None:
    assert value_to_type(hint, value) == expected


BOX = {"item": {"amount": 1}, "more": [{"amount": 2}], "named": {"a": {"amount": 3}, "b": None}}


@pytest.mark.parametrize("hint", [Box[Payment], PaymentBox])
def test_a_generic_class_decodes_what_its_arguments_say(hint: Any) -> None:
    box = value_to_type(hint, BOX)
    assert (box.item, box.more, box.named) == (Payment(1), [Payment(2)], {"a": Payment(3), "b": None})


def test_a_generic_class_without_arguments_leaves_its_fields_as_they_are() -> None:
    assert value_to_type(Box, BOX).item == {"amount": 1}


def test_a_base_may_use_the_same_variable_for_something_else() -> None:
    pair = value_to_type(Pair[Payment], {"item": 1, "more": [], "named": {}, "other": {"amount": 2}})
    assert (pair.item, pair.other) == (1, Payment(2))


def test_a_fraction_is_no_int() -> None:
    # Temporal's Python SDK makes it 5. Here nobody loses the rest without noticing.
    with pytest.raises(TypeError, match="expected int, got float 5.5"):
        value_to_type(int, 5.5)
    assert value_to_type(int, 5.0) == 5


def test_a_named_tuple_decodes_its_items() -> None:
    assert value_to_type(Row, [REFUND]) == Row(Refund(1, "late"))


@workflow.defn
class TakesFew:
    def __init__(self) -> None:
        self.got: list[Any] = []

    @workflow.run
    async def run(self, first: str) -> list[Any]:
        self.got.append(first)
        await workflow.wait_condition(lambda: len(self.got) > 1)
        return self.got

    @workflow.signal
    def one(self, item: int) -> None:
        self.got.append(item)

    @workflow.query
    def nothing(self) -> int:
        return len(self.got)


def test_surplus_arguments_of_newer_callers_are_dropped() -> None:
    run = Run(TakesFew, "a", "b")
    run.start()
    (answer,) = run.activate(query("nothing", "what"))
    assert PAYLOADS.from_payload(answer.query_answer.succeeded) == 1
    run.activate(signal("one", 1, 2, 3))
    assert run.result == ["a", 1]


async def test_surplus_arguments_of_newer_clients_are_dropped(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[TakesFew]):
        handle: WorkflowHandle[Any, Any] = await client.start_workflow(
            "TakesFew", args=["a", "b"], id=queue, task_queue=queue
        )
        assert await handle.query("nothing", args=["what"]) == 1
        await handle.signal("one", args=[1, 2, 3])
        assert await handle.result() == ["a", 1]

"""Payloads and failures: the bytes on the wire, typed decoding, and errors that name the place."""

import asyncio
import collections
import dataclasses
import enum
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Literal, NamedTuple, NewType, Optional, Tuple, TypedDict, Union

import pytest

from durably import _messages as msg
from durably import converter, exceptions
from durably.api.sdk.v1 import WorkflowDefinition, WorkflowInteractionDefinition, WorkflowMetadata
from durably.common import RawValue, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

CONVERTER = converter.DefaultPayloadConverter()


@dataclasses.dataclass
class Item:
    sku: str
    count: int = 1
    raw: bytes = b""


@dataclasses.dataclass
class Order:
    id: str
    items: List[Item]
    parent: Optional["Order"] = None


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Name(str, enum.Enum):
    ANN = "ann"


class Point(NamedTuple):
    x: int
    y: str


class Options(TypedDict, total=False):
    depth: int
    items: List[Item]


OrderId = NewType("OrderId", str)
UTC = timezone.utc


@pytest.mark.parametrize(
    ("value", "encoding", "data"),
    [
        (None, b"binary/null", b""),
        (b"\x00x", b"binary/plain", b"\x00x"),
        (1, b"json/plain", b"1"),
        (1.5, b"json/plain", b"1.5"),
        (True, b"json/plain", b"true"),
        ("é", b"json/plain", b'"\\u00e9"'),
        ([1, "a", None], b"json/plain", b'[1,"a",null]'),
        ((1, 2), b"json/plain", b"[1,2]"),
        ({"b": 1, "a": {"d": 1, "c": 2}}, b"json/plain", b'{"a":{"c":2,"d":1},"b":1}'),
        ({1: 2}, b"json/plain", b'{"1":2}'),
        ({3}, b"json/plain", b"[3]"),
        (collections.deque([1]), b"json/plain", b"[1]"),
        (bytearray(b"y"), b"json/plain", b"[121]"),
        (
            Order("o", [Item("s", raw=b"ab")]),
            b"json/plain",
            b'{"id":"o","items":[{"count":1,"raw":[97,98],"sku":"s"}],"parent":null}',
        ),
        (Level.LOW, b"json/plain", b"1"),
        (Name.ANN, b"json/plain", b'"ann"'),
        (Color.RED, b"json/plain", b'"red"'),
        (Point(1, "x"), b"json/plain", b'[1,"x"]'),
        (datetime(2020, 1, 1, tzinfo=UTC), b"json/plain", b'"2020-01-01T00:00:00+00:00"'),
        (uuid.UUID(int=5), b"json/plain", b'"00000000-0000-0000-0000-000000000005"'),
    ],
)
def test_wire_form(value: Any, encoding: bytes, data: bytes) -> None:
    payload = CONVERTER.to_payload(value)
    assert payload.metadata == {"encoding": encoding}
    assert payload.data == data


def json_payload(data: bytes) -> Any:
    return msg.Payload(metadata={"encoding": b"json/plain"}, data=data)


@pytest.mark.parametrize(
    ("data", "hint", "expected"),
    [
        (b"5", float, 5.0),
        (b"5.0", int, 5),
        (b"null", Optional[int], None),
        (b"7", Union[int, str], 7),
        (b'"7"', Union[int, str], "7"),
        (b'{"sku":"s"}', Union[int, Item], Item("s")),
        (b'"red"', Color, Color.RED),
        (b"1", Level, Level.LOW),
        (b'"ann"', Name, Name.ANN),
        (b'[1,"x"]', Point, Point(1, "x")),
        (b'{"depth":1,"items":[{"sku":"s"}]}', Options, {"depth": 1, "items": [Item("s")]}),
        (b"[1,2]", set[int], {1, 2}),
        (b"[1,2]", Tuple[int, ...], (1, 2)),
        (b'[1,"a"]', Tuple[int, str], (1, "a")),
        (b"[1]", Sequence[int], [1]),
        (b"[1]", collections.deque[int], collections.deque([1])),
        (b'{"1":{"sku":"s"}}', Dict[int, Item], {1: Item("s")}),
        (b'{"a":1}', Mapping[str, int], {"a": 1}),
        (b'"2020-01-01T00:00:00Z"', datetime, datetime(2020, 1, 1, tzinfo=UTC)),
        (b'"2020-01-01T00:00:00.1234567Z"', datetime, datetime(2020, 1, 1, 0, 0, 0, 123456, UTC)),
        (b'"00000000-0000-0000-0000-000000000005"', uuid.UUID, uuid.UUID(int=5)),
        (b'"a"', Literal["a", "b"], "a"),
        (b'"o1"', OrderId, "o1"),
        (b"[97]", bytes, b"a"),
        (b'{"x":1}', Any, {"x": 1}),
        (b'{"id":"o","items":[],"new_field":1}', Order, Order("o", [])),
        (
            b'{"id":"o","items":[{"sku":"s","count":2}],"parent":{"id":"p","items":[]}}',
            Order,
            Order("o", [Item("s", 2)], Order("p", [])),
        ),
    ],
)
def test_typed_decoding(data: bytes, hint: Any, expected: Any) -> None:
    value = CONVERTER.from_payload(json_payload(data), hint)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("data", "hint", "message"),
    [
        (b'{"id":"o","items":[{"sku":"s","count":"x"}]}', Order, "Order.items[0].count: expected int, got str 'x'"),
        (b'{"id":"o"}', Order, "Order.items: missing"),
        (b"5", str, "expected str, got int 5"),
        (b"null", int, "expected int, got null"),
        (b'{"a":{"sku":3}}', Dict[str, Item], "['a'].sku: expected str, got int 3"),
        (b'"blue"', Color, "expected Color (one of 'red'), got str 'blue'"),
        (b'"c"', Literal["a", "b"], "expected one of 'a', 'b', got str 'c'"),
        (b"[1,2,3]", Tuple[int, int], "with 2 items, got 3 items"),
        (b'"x"', timedelta, "timedelta can't be decoded from JSON"),
    ],
)
def test_mismatch_names_the_place_and_both_types(data: bytes, hint: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        CONVERTER.from_payload(json_payload(data), hint)
    assert message in str(caught.value)


def test_broken_payloads() -> None:
    with pytest.raises(RuntimeError, match="Payload at index 1 with encoding json/plain"):
        CONVERTER.from_payloads([json_payload(b"1"), json_payload(b"{")])
    with pytest.raises(KeyError, match="Unknown payload encoding secret"):
        CONVERTER.from_payload(msg.Payload(metadata={"encoding": b"secret"}))
    with pytest.raises(TypeError, match="not JSON serializable"):
        CONVERTER.to_payload(object())


def test_raw_values_pass_through() -> None:
    payload = json_payload(b"1")
    assert CONVERTER.to_payload(RawValue(payload)) is payload
    assert CONVERTER.from_payload(payload, RawValue) == RawValue(payload)


def test_custom_type_converter() -> None:
    class Seconds(converter.JSONTypeConverter):
        def to_typed_value(self, hint: Any, value: Any) -> Any:
            return timedelta(seconds=value) if hint is timedelta else converter.JSONTypeConverter.Unhandled

    json_converter = converter.JSONPlainPayloadConverter(custom_type_converters=[Seconds()])
    assert json_converter.from_payload(json_payload(b"[1]"), List[timedelta]) == [timedelta(seconds=1)]


def test_protobuf_messages_if_the_user_has_protobuf() -> None:
    struct_pb2 = pytest.importorskip("google.protobuf.struct_pb2")
    value = struct_pb2.Value(string_value="x")
    payload = CONVERTER.to_payload(value)
    assert payload.metadata == {"encoding": b"json/protobuf", "messageType": b"google.protobuf.Value"}
    assert CONVERTER.from_payload(payload) == value
    binary = converter.BinaryProtoPayloadConverter()
    assert binary.from_payload(binary.to_payload(value)) == value


def test_pydantic_models() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", a=(int, ...))
    payload = CONVERTER.to_payload(model(a=1))
    assert payload.data == b'{"a":1}'
    assert CONVERTER.from_payload(payload, model) == model(a=1)


def failure_of(error: BaseException) -> Any:
    failure = msg.Failure()
    converter.FailureConverter.default.to_failure(error, CONVERTER, failure)
    return failure


def back(failure: Any) -> BaseException:
    return converter.FailureConverter.default.from_failure(failure, CONVERTER)


def test_failure_of_a_plain_exception_has_type_stack_and_cause() -> None:
    try:
        try:
            raise KeyError("k")
        except KeyError as err:
            raise ValueError("bad") from err
    except ValueError as err:
        failure = failure_of(err)
    assert failure.message == "bad"
    assert failure.application_failure_info.type == "ValueError"
    assert "test_converter.py" in failure.stack_trace
    assert failure.cause.application_failure_info.type == "KeyError"
    error = back(failure)
    assert isinstance(error, exceptions.ApplicationError)
    assert str(error) == "ValueError: bad"
    assert str(error.cause) == "KeyError: 'k'"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ApplicationError(
            "m", 1, {"a": 2}, type="T", non_retryable=True, next_retry_delay=timedelta(seconds=1.5)
        ),
        exceptions.CancelledError("c", 1),
        exceptions.TerminatedError("t"),
        exceptions.ServerError("s", non_retryable=True),
        exceptions.TimeoutError("to", type=exceptions.TimeoutType.HEARTBEAT, last_heartbeat_details=[1]),
        exceptions.ActivityError(
            "ae",
            scheduled_event_id=1,
            started_event_id=2,
            identity="i",
            activity_type="at",
            activity_id="ai",
            retry_state=exceptions.RetryState.TIMEOUT,
        ),
        exceptions.ChildWorkflowError(
            "ce",
            namespace="n",
            workflow_id="w",
            run_id="r",
            workflow_type="wt",
            initiated_event_id=1,
            started_event_id=2,
            retry_state=None,
        ),
    ],
)
def test_failure_errors_round_trip(error: exceptions.FailureError) -> None:
    restored = back(failure_of(error))
    assert type(restored) is type(error)

    def fields(e: BaseException) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(e).items() if k != "_failure"}

    assert fields(restored) == fields(error)
    assert str(restored) == str(error)


def test_encoded_attributes_hide_message_and_stack() -> None:
    encoding = converter.DefaultFailureConverterWithEncodedAttributes()
    failure = msg.Failure()
    encoding.to_failure(ValueError("secret"), CONVERTER, failure)
    assert failure.message == "Encoded failure"
    assert str(encoding.from_failure(failure, CONVERTER)) == "ValueError: secret"


def test_codec_applies_to_values_and_failures() -> None:
    class Reverse(converter.PayloadCodec):
        async def encode(self, payloads: Sequence[Any]) -> list[Any]:
            return [msg.Payload(metadata={"encoding": b"reversed"}, data=self.whole(p)) for p in payloads]

        async def decode(self, payloads: Sequence[Any]) -> list[Any]:
            return [json_payload(p.data[::-1]) for p in payloads]

        def whole(self, payload: Any) -> bytes:
            data: bytes = payload.data
            return data[::-1]

    async def run() -> None:
        data_converter = converter.DataConverter(payload_codec=Reverse())
        payloads = await data_converter.encode(["ab"])
        assert payloads[0].data == b'"ba"'
        assert await data_converter.decode(payloads, [str]) == ["ab"]
        failure = msg.Failure()
        await data_converter.encode_failure(exceptions.ApplicationError("m", 12), failure)
        assert failure.application_failure_info.details.payloads[0].data == b"21"
        error = await data_converter.decode_failure(failure)
        assert isinstance(error, exceptions.ApplicationError) and list(error.details) == [12]

    asyncio.run(run())


def test_search_attributes() -> None:
    keyword = SearchAttributeKey.for_keyword("k")
    when = SearchAttributeKey.for_datetime("d")
    words = SearchAttributeKey.for_keyword_list("l")
    typed = TypedSearchAttributes(
        [
            SearchAttributePair(keyword, "v"),
            SearchAttributePair(when, datetime(2020, 1, 1, tzinfo=UTC)),
            SearchAttributePair(words, ["a", "b"]),
        ]
    )
    message = msg.SearchAttributes()
    converter.encode_search_attributes(typed, message)
    assert message.indexed_fields["k"].metadata["type"] == b"Keyword"
    assert message.indexed_fields["l"].metadata["type"] == b"KeywordList"
    assert converter.decode_typed_search_attributes(message) == typed
    assert converter.decode_search_attributes(message)["k"] == ["v"]
    assert typed[keyword] == "v"
    assert typed.get(SearchAttributeKey.for_int("n")) is None
    assert typed.updated(SearchAttributePair(keyword, "w"))[keyword] == "w"


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"key": [value]}], ids=["alone", "inside"])
def test_a_forgotten_await_is_named(wrap: Callable[[Any], Any]) -> None:
    async def charge() -> None: ...

    forgotten = charge()
    with pytest.raises(TypeError, match=r".*charge is not awaited: `await` is missing"):
        converter.default().payload_converter.to_payloads([wrap(forgotten)])
    forgotten.close()


def test_messages_of_our_own_need_no_protobuf_runtime() -> None:
    definition = WorkflowDefinition(
        type="Order", update_definitions=[WorkflowInteractionDefinition(name="change", description="Changes it")]
    )
    value = WorkflowMetadata(definition=definition, current_details="here")
    payload = CONVERTER.to_payload(value)
    assert payload.metadata == {"encoding": b"json/protobuf", "messageType": b"temporal.api.sdk.v1.WorkflowMetadata"}
    assert json.loads(payload.data) == {
        "definition": {"type": "Order", "updateDefinitions": [{"name": "change", "description": "Changes it"}]},
        "currentDetails": "here",
    }
    for hint in (None, WorkflowMetadata):
        assert CONVERTER.from_payload(payload, hint) == value
    binary = converter.BinaryProtoPayloadConverter().to_payload(value)
    assert CONVERTER.from_payload(binary) == value

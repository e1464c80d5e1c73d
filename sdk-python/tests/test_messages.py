"""The codec and the message classes: values both ways, presence, and what malformed input is answered with."""

from __future__ import annotations

import copy
import datetime
import pickle
import random
from typing import Any

import pytest

import durably.api.core.v1 as core
from durably import _bridge
from durably.api.common.v1 import Payload, Payloads, WorkflowType
from durably.api.enums.v1 import EVENT_TYPE_TIMER_FIRED, EventType
from durably.api.google.protobuf import Duration, Timestamp
from durably.api.history.v1 import History, HistoryEvent
from durably.api.time import to_datetime, to_duration, to_timedelta, to_timestamp
from durably.api.workflowservice.v1 import StartWorkflowExecutionRequest


def payload(text: str) -> Any:
    return Payload(metadata={"encoding": b"json/plain"}, data=text.encode())


def test_every_kind_survives_the_wire() -> None:
    message = core.InitializeWorkflow(
        workflow_type="Order\u00e9",
        arguments=[payload("1"), Payload(), payload("x" * 40_000)],
        randomness_seed=2**64 - 1,
        headers={"a": payload("2"), "b": Payload()},
        attempt=-(2**31),
        run_timeout=Duration(seconds=-5, nanos=-1),
        continued_initiator=3,
    )
    assert core.InitializeWorkflow.FromString(message.SerializeToString()) == message
    options = core.WorkerOptions(
        workflows=True, nonsticky_to_sticky_poll_ratio=0.25, max_activities_per_second=1.5, max_cached_bytes=2**40
    )
    assert core.WorkerOptions.FromString(options.SerializeToString()) == options
    activation = core.WorkflowActivation(available_flags=[1, 300, 2**32 - 1], history_length=-1)
    assert core.WorkflowActivation.FromString(activation.SerializeToString()) == activation


def test_unset_fields_read_as_defaults() -> None:
    message = core.WorkflowActivation()
    assert (message.run_id, message.history_length, message.is_replaying, message.timestamp) == ("", 0, False, None)
    assert message.jobs == [] and message.available_flags == []
    message.jobs.append(core.WorkflowJob(fire_timer=core.FireTimer(seq=7)))
    assert core.WorkflowActivation.FromString(message.SerializeToString()).jobs[0].fire_timer.seq == 7
    assert Payload().metadata == {} and Payload().data == b""
    assert core.WorkflowActivation(run_id=None) == core.WorkflowActivation()
    assert core.WorkflowActivation(run_id="", jobs=[]) == core.WorkflowActivation()


def test_presence_and_oneofs() -> None:
    result = core.WorkflowResult(timed_out=0)
    read = core.WorkflowResult.FromString(result.SerializeToString())
    assert read.WhichOneof("outcome") == "timed_out" and read.HasField("timed_out")
    assert core.WorkflowResult().WhichOneof("outcome") is None
    assert not core.WorkflowResult().HasField("completed")
    with pytest.raises(ValueError, match="whose presence is known"):
        result.HasField("run_id")
    with pytest.raises(ValueError, match="no oneof nope; it has: outcome"):
        result.WhichOneof("nope")
    result.completed = Payloads()
    with pytest.raises(ValueError, match=r"WorkflowResult\.\w+: another field of the same oneof"):
        result.SerializeToString()
    result.ClearField("timed_out")
    assert core.WorkflowResult.FromString(result.SerializeToString()).WhichOneof("outcome") == "completed"


def test_on_the_wire_the_last_member_of_a_oneof_counts_and_messages_merge() -> None:
    first = core.WorkflowResult(timed_out=1).SerializeToString()
    second = core.WorkflowResult(continued_as_new_run_id="r").SerializeToString()
    read = core.WorkflowResult.FromString(first + second)
    assert read.WhichOneof("outcome") == "continued_as_new_run_id"
    read.SerializeToString()
    one = core.WorkflowActivation(timestamp=Timestamp(seconds=1)).SerializeToString()
    two = core.WorkflowActivation(timestamp=Timestamp(nanos=2)).SerializeToString()
    assert core.WorkflowActivation.FromString(one + two).timestamp == Timestamp(seconds=1, nanos=2)


def test_unknown_fields_are_skipped() -> None:
    # Fields 1000 to 1003: varint, 8 bytes, length-delimited, 4 bytes; and a group 1004.
    unknown = b"\xc0\x3e\x05" + b"\xc9\x3e12345678" + b"\xd2\x3e\x02ab" + b"\xdd\x3e1234" + b"\xe3\x3e\x08\x01\xe4\x3e"
    assert WorkflowType.FromString(unknown + WorkflowType(name="x").SerializeToString()) == WorkflowType(name="x")


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Payload(foo=1), TypeError, "temporal.api.common.v1.Payload has no field foo; it has: metadata, data"),
        (lambda: Payload(data="x").SerializeToString(), TypeError, r"Payload\.data: expected bytes, got str"),
        (lambda: Payloads(payloads=[1]).SerializeToString(), TypeError, r"Payloads\.payloads: expected a message"),
        (lambda: Payloads(payloads=3).SerializeToString(), TypeError, r"Payloads\.payloads: expected a list, got int"),
        (lambda: Payload(metadata=[]).SerializeToString(), TypeError, r"Payload\.metadata: expected a dict"),
        (lambda: Payload(metadata={1: b""}).SerializeToString(), TypeError, r"Payload\.metadata: expected a str"),
        (lambda: core.FireTimer(seq=-1).SerializeToString(), OverflowError, r"FireTimer\.seq: the number is out of"),
        (lambda: core.FireTimer(seq=2**32).SerializeToString(), OverflowError, r"FireTimer\.seq"),
        (lambda: core.FireTimer(seq=1.5).SerializeToString(), TypeError, r"FireTimer\.seq: expected an int, got float"),
        (lambda: core.Evict(message="\ud800").SerializeToString(), UnicodeEncodeError, "surrogates"),
        (lambda: core.WorkerOptions(workflows=1).SerializeToString(), TypeError, r"WorkerOptions\.workflows"),
        (lambda: core.StartTimer(start_to_fire_timeout=Payload()).SerializeToString(), TypeError, "Duration, got Pay"),
        (lambda: _bridge.encode(3), TypeError, "expected a message of durably.api, got int"),  # type: ignore[arg-type]
        (lambda: core.Nope, AttributeError, "no message or enum Nope"),
        (lambda: Payload().nope, AttributeError, "Payload has no field nope; it has"),
    ],
)
def test_errors_name_message_and_field(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x12\xff\x01aa", r"Payload\.data: the bytes end in the middle of a value \(byte 0"),
        (b"\x12", "the bytes end"),
        (b"\xff" * 11, "field number is out of range|more than 64 bits"),
        (b"\x00\x01", "field number 0"),
        (b"\x10\x01", r"Payload\.data: the wire type is not the field's"),
        (b"\x0a\x03\x0a\x01\xff", "not UTF-8"),
        (b"\xc7\x3e", "the wire type does not exist"),
        (b"\x1b" * 500, "nested too deeply|wire type"),
    ],
)
def test_malformed_bytes_are_errors(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Payload.FromString(data)


def test_nesting_is_bounded_both_ways() -> None:
    from durably.api.failure.v1 import Failure

    failure = Failure()
    for _ in range(200):
        failure = Failure(cause=failure)
    with pytest.raises(ValueError, match="nested deeper than 100"):
        failure.SerializeToString()
    data = b""
    for _ in range(200):
        # Field 4, cause.
        length = len(data)
        prefix = bytes([length & 0x7F | 0x80, length >> 7]) if length > 127 else bytes([length])
        data = b"\x22" + prefix + data
    with pytest.raises(ValueError, match="nested deeper than 100"):
        Failure.FromString(data)


def test_random_bytes_never_do_worse_than_raise() -> None:
    generator = random.Random(7)
    sample = History(events=[HistoryEvent(event_id=n, event_type=1) for n in range(5)]).SerializeToString()
    for _ in range(3000):
        data = bytearray(sample)
        for _ in range(generator.randrange(1, 6)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            History.FromString(bytes(data)).SerializeToString()
        except (ValueError, OverflowError):
            pass


def test_histories_as_json_in_full_and_in_short() -> None:
    text = """{"events": [
        {"eventId": "1", "eventType": "WorkflowExecutionStarted", "eventTime": "2020-01-01T00:00:00.5Z",
         "workflowExecutionStartedEventAttributes": {"taskQueue": {"name": "q", "kind": "Normal"},
            "input": {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}]}}},
        {"eventId": 2, "eventType": "EVENT_TYPE_TIMER_FIRED", "timerFiredEventAttributes": {"timerId": "x"}}]}"""
    history = History.from_json(text)
    assert history.events[0].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
    assert history.events[1].event_type == EVENT_TYPE_TIMER_FIRED
    assert history.events[0].WhichOneof("attributes") == "workflow_execution_started_event_attributes"
    assert history.events[0].workflow_execution_started_event_attributes.task_queue.kind == 1
    assert History.from_json(history.to_json()) == history
    assert '"EVENT_TYPE_TIMER_FIRED"' in history.to_json()
    for wrong in ('{"events": 3}', "nope", '{"events": [{"eventType": "Nope"}]}', '{"nope": 1}', "[]"):
        with pytest.raises(ValueError, match=r"temporal.api.history.v1.History: "):
            History.from_json(wrong)


def test_times() -> None:
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=datetime.timezone.utc)
    assert to_datetime(to_timestamp(moment)) == moment
    assert to_timestamp(moment).ToDatetime() == moment.replace(tzinfo=None)
    before = datetime.datetime(1969, 12, 31, 23, 59, 59, 500000)
    assert (to_timestamp(before).seconds, to_timestamp(before).nanos) == (-1, 500_000_000)
    for delta in (datetime.timedelta(days=3, microseconds=1), datetime.timedelta(seconds=-1.5), datetime.timedelta()):
        assert to_timedelta(to_duration(delta)) == delta
    assert to_duration(None) is None and to_datetime(None) is None


def test_classes_are_unique_copyable_and_shown() -> None:
    message = Payloads(payloads=[payload("1")])
    assert copy.deepcopy(message) == message and pickle.loads(pickle.dumps(message)) == message
    assert repr(message) == "Payloads(payloads=[Payload(metadata={'encoding': b'json/plain'}, data=b'1')])"
    assert type(Payloads.FromString(message.SerializeToString()).payloads[0]) is Payload
    assert core.Evict.Reason.Name(1) == "CACHE_FULL" and core.Evict.CACHE_FULL == 1
    assert EventType.Value("EVENT_TYPE_TIMER_FIRED") == 18
    assert "StartWorkflowExecutionRequest" in dir(__import__("durably.api.workflowservice.v1", fromlist=["v1"]))
    assert StartWorkflowExecutionRequest().full_name.endswith("v1.StartWorkflowExecutionRequest")
    with pytest.raises(TypeError):
        hash(message)

"""Payload converters: Python values to payloads and back, without I/O.

The encodings and the JSON are those of Temporal's SDKs, so that payloads can be exchanged with them.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from durably import _bridge
from durably import _messages as msg
from durably.api import Message
from durably.common import RawValue
from durably.converter._types import JSONTypeConverter, decoder_for, value_to_type


class PayloadConverter(ABC):
    """Converts values to payloads and back. Must be deterministic: it runs inside workflows too."""

    default: ClassVar[PayloadConverter]
    """The converter that is used unless told otherwise."""

    @abstractmethod
    def to_payloads(self, values: Sequence[Any]) -> list[Any]:
        """Convert values to `temporal.api.common.v1.Payload` messages, one for each.

        Raises:
            Exception: Any error of a conversion.
        """
        raise NotImplementedError

    @abstractmethod
    def from_payloads(self, payloads: Sequence[Any], type_hints: Sequence[Any] | None = None) -> list[Any]:
        """Convert payloads to values.

        Args:
            payloads: `temporal.api.common.v1.Payload` messages.
            type_hints: Types to decode to; those beyond its length are decoded without a hint.

        Raises:
            Exception: Any error of a conversion.
        """
        raise NotImplementedError

    def to_payloads_wrapper(self, values: Sequence[Any]) -> Any:
        """`to_payloads` as a `Payloads` message."""
        return msg.Payloads(payloads=self.to_payloads(values))

    def from_payloads_wrapper(self, payloads: Any | None) -> list[Any]:
        """`from_payloads` of a `Payloads` message; none if it is absent."""
        if payloads is None or not payloads.payloads:
            return []
        return self.from_payloads(payloads.payloads)

    def to_payload(self, value: Any) -> Any:
        """Convert one value."""
        return self.to_payloads([value])[0]

    def from_payload(self, payload: Any, type_hint: Any | None = None) -> Any:
        """Convert one payload."""
        return self.from_payloads([payload], [type_hint] if type_hint is not None else None)[0]


class EncodingPayloadConverter(ABC):
    """Converts the values of one encoding; part of a `CompositePayloadConverter`."""

    @property
    @abstractmethod
    def encoding(self) -> str:
        """Value of the metadata key `encoding`."""
        raise NotImplementedError

    @abstractmethod
    def to_payload(self, value: Any) -> Any | None:
        """Convert the value, or return None to leave it to the next converter."""
        raise NotImplementedError

    @abstractmethod
    def from_payload(self, payload: Any, type_hint: Any | None = None) -> Any:
        """Convert a payload of this encoding."""
        raise NotImplementedError


class CompositePayloadConverter(PayloadConverter):
    """Asks several encodings in turn.

    Encoding goes to the first converter that takes the value; decoding to the one of the payload's `encoding`.
    """

    converters: dict[bytes, EncodingPayloadConverter]
    """By encoding, in order."""

    def __init__(self, *converters: EncodingPayloadConverter) -> None:
        self.converters = {converter.encoding.encode(): converter for converter in converters}
        self._in_order = tuple(self.converters.values())

    def to_payloads(self, values: Sequence[Any]) -> list[Any]:
        return [self.to_payload(value) for value in values]

    def to_payload(self, value: Any) -> Any:
        if isinstance(value, RawValue):
            return value.payload
        for converter in self._in_order:
            payload = converter.to_payload(value)
            if payload is not None:
                return payload
        raise RuntimeError(
            f"Value of type {type(value)} has no known converter; add an EncodingPayloadConverter that takes it"
        )

    def from_payloads(self, payloads: Sequence[Any], type_hints: Sequence[Any] | None = None) -> list[Any]:
        known = len(type_hints) if type_hints else 0
        return [
            self._decode(index, payload, type_hints[index] if type_hints and index < known else None)
            for index, payload in enumerate(payloads)
        ]

    def from_payload(self, payload: Any, type_hint: Any | None = None) -> Any:
        return self._decode(0, payload, type_hint)

    def _decode(self, index: int, payload: Any, type_hint: Any) -> Any:
        if type_hint is RawValue:
            return RawValue(payload)
        encoding = payload.metadata.get("encoding", b"<unknown>")
        converter = self.converters.get(encoding)
        if converter is None:
            known = ", ".join(sorted(key.decode() for key in self.converters))
            raise KeyError(
                f"Unknown payload encoding {encoding.decode(errors='replace')}; this converter knows {known}. "
                "If a codec encoded it, give the client the same payload_codec."
            )
        try:
            return converter.from_payload(payload, type_hint)
        except RuntimeError as err:
            raise RuntimeError(
                f"Payload at index {index} with encoding {encoding.decode()} could not be converted"
            ) from err


class BinaryNullPayloadConverter(EncodingPayloadConverter):
    """`binary/null`: None."""

    @property
    def encoding(self) -> str:
        return "binary/null"

    def to_payload(self, value: Any) -> Any | None:
        return msg.Payload(metadata={"encoding": b"binary/null"}) if value is None else None

    def from_payload(self, payload: Any, type_hint: Any | None = None) -> Any:
        if payload.data:
            raise RuntimeError("Expected empty data for binary/null")
        return None


class BinaryPlainPayloadConverter(EncodingPayloadConverter):
    """`binary/plain`: bytes as they are."""

    @property
    def encoding(self) -> str:
        return "binary/plain"

    def to_payload(self, value: Any) -> Any | None:
        return msg.Payload(metadata={"encoding": b"binary/plain"}, data=value) if isinstance(value, bytes) else None

    def from_payload(self, payload: Any, type_hint: Any | None = None) -> Any:
        return payload.data


def _is_protobuf(value: Any) -> bool:
    # No value can be a protobuf message unless somebody imported protobuf, which is not a dependency of ours.
    module = sys.modules.get("google.protobuf.message")
    return module is not None and isinstance(value, module.Message)


def _protobuf_class(payload: Any, type_hint: Any) -> Any:
    """The message class that a payload names: of the user's protobuf runtime, or one of `durably.api`."""
    name = payload.metadata.get("messageType", b"<unknown>").decode()
    hinted = getattr(type_hint, "DESCRIPTOR", None)
    if hinted is not None and hinted.full_name == name:
        return type_hint
    if isinstance(type_hint, type) and issubclass(type_hint, Message) and type_hint.full_name == name:
        return type_hint
    reason: Exception
    try:
        pool = _protobuf("descriptor_pool").Default()
        return _protobuf("message_factory").GetMessageClass(pool.FindMessageTypeByName(name))
    except ImportError as err:
        reason, advice = err, f"Payload holds the protobuf message {name}; install protobuf to decode it"
    except KeyError as err:
        reason, advice = err, f"Unknown Protobuf type {name}; import its generated module before decoding"
    try:
        return _bridge.message_class(name)
    except KeyError:
        raise RuntimeError(advice) from reason


def _message_payload(encoding: str, name: str, data: bytes) -> Any:
    return msg.Payload(metadata={"encoding": encoding.encode(), "messageType": name.encode()}, data=data)


def _protobuf(module: str) -> Any:
    """A module of protobuf, whichever version the user has installed."""
    return importlib.import_module(f"google.protobuf.{module}")


class JSONProtoPayloadConverter(EncodingPayloadConverter):
    """`json/protobuf`: protobuf messages as protobuf's JSON. Works with any protobuf runtime the user installed, and without
    one for the messages of `durably.api`."""

    def __init__(self, ignore_unknown_fields: bool = False) -> None:
        self._ignore_unknown_fields = ignore_unknown_fields

    @property
    def encoding(self) -> str:
        return "json/protobuf"

    def to_payload(self, value: Any) -> Any | None:
        if isinstance(value, Message):
            return _message_payload("json/protobuf", value.full_name, value.to_json().encode())
        if not _is_protobuf(value):
            return None
        text = json.dumps(_protobuf("json_format").MessageToDict(value), separators=(",", ":"), sort_keys=True)
        return _message_payload("json/protobuf", value.DESCRIPTOR.full_name, text.encode())

    def from_payload(self, payload: Any, type_hint: Any | None = None) -> Any:
        message = _protobuf_class(payload, type_hint)()
        if isinstance(message, Message):
            return type(message).from_json(payload.data.decode())
        json_format = _protobuf("json_format")
        try:
            return json_format.Parse(payload.data, message, ignore_unknown_fields=self._ignore_unknown_fields)
        except json_format.ParseError as err:
            raise RuntimeError(f"Failed parsing {message.DESCRIPTOR.full_name}: {err}") from err


class BinaryProtoPayloadConverter(EncodingPayloadConverter):
    """`binary/protobuf`: protobuf messages in their binary form."""

    @property
    def encoding(self) -> str:
        return "binary/protobuf"

    def to_payload(self, value: Any) -> Any | None:
        if isinstance(value, Message):
            return _message_payload("binary/protobuf", value.full_name, value.SerializeToString())
        if not _is_protobuf(value):
            return None
        return _message_payload("binary/protobuf", value.DESCRIPTOR.full_name, value.SerializeToString())

    def from_payload(self, payload: Any, type_hint: Any | None = None) -> Any:
        message = _protobuf_class(payload, type_hint)()
        if isinstance(message, Message):
            return type(message).FromString(payload.data)
        try:
            message.ParseFromString(payload.data)
        except Exception as err:
            raise RuntimeError(f"Failed parsing {message.DESCRIPTOR.full_name}: {err}") from err
        return message


# Field names by class; the classes of a program are few, so that it need not be bounded.
_fields_by_class: dict[type, tuple[str, ...] | None] = {}


def _field_names(cls: type) -> tuple[str, ...] | None:
    try:
        return _fields_by_class[cls]
    except KeyError:
        names = tuple(f.name for f in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else None
        _fields_by_class[cls] = names
        return names


class AdvancedJSONEncoder(json.JSONEncoder):
    """JSON encoder for dataclasses, datetime (ISO 8601), UUID, enums, pydantic models and iterables such as sets.

    Derive from it and override `default` to encode further types.
    """

    def default(self, o: Any) -> Any:
        names = _field_names(type(o))
        if names is not None:
            return {name: getattr(o, name) for name in names}
        if isinstance(o, datetime):
            return o.isoformat()
        if isinstance(o, UUID):
            return str(o)
        if isinstance(o, enum.Enum):
            return o.value
        if isinstance(o, Awaitable):
            raise TypeError(
                f"{getattr(o, '__qualname__', type(o).__qualname__)} is not awaited: `await` is missing before the call"
            )
        if not isinstance(o, type):
            if hasattr(o, "model_dump"):
                return o.model_dump(mode="json")
            if hasattr(o, "parse_obj") and hasattr(o, "dict"):
                return o.dict()
            if isinstance(o, Iterable):
                return list(o)
        raise TypeError(
            f"Object of type {type(o).__qualname__} is not JSON serializable; use a dataclass, or give the "
            "JSONPlainPayloadConverter an encoder that knows it"
        )


class JSONPlainPayloadConverter(EncodingPayloadConverter):
    """`json/plain`: everything that JSON can say.

    Args:
        encoder: `json.JSONEncoder` class.
        decoder: `json.JSONDecoder` class. Default: the standard one.
        encoding: Value of the metadata key `encoding`.
        custom_type_converters: Asked, in order, before the standard conversion of a type hint.
    """

    def __init__(
        self,
        *,
        encoder: type[json.JSONEncoder] | None = AdvancedJSONEncoder,
        decoder: type[json.JSONDecoder] | None = None,
        encoding: str = "json/plain",
        custom_type_converters: Sequence[JSONTypeConverter] = (),
    ) -> None:
        # One encoder for all values: making one costs more than using it.
        self._encode = (encoder or json.JSONEncoder)(separators=(",", ":"), sort_keys=True).encode
        self._decode = (decoder or json.JSONDecoder)().decode
        self._encoding = encoding
        self._encoding_bytes = encoding.encode()
        self._custom_type_converters = tuple(custom_type_converters)

    @property
    def encoding(self) -> str:
        return self._encoding

    def to_payload(self, value: Any) -> Any | None:
        return msg.Payload(metadata={"encoding": self._encoding_bytes}, data=self._encode(value).encode())

    def from_payload(self, payload: Any, type_hint: Any | None = None) -> Any:
        try:
            value = self._decode(payload.data.decode())
        except ValueError as err:
            raise RuntimeError(f"Failed parsing JSON: {err}") from err
        if type_hint is None:
            return value
        try:
            return decoder_for(type_hint, self._custom_type_converters)(value)
        except Exception:
            # The slow way again, for an error that names the place.
            return value_to_type(type_hint, value, self._custom_type_converters)


class DefaultPayloadConverter(CompositePayloadConverter):
    """The encodings that every SDK knows, in their order."""

    default_encoding_payload_converters: tuple[EncodingPayloadConverter, ...] = (
        BinaryNullPayloadConverter(),
        BinaryPlainPayloadConverter(),
        JSONProtoPayloadConverter(),
        BinaryProtoPayloadConverter(),
        JSONPlainPayloadConverter(),
    )

    def __init__(self) -> None:
        super().__init__(*DefaultPayloadConverter.default_encoding_payload_converters)


PayloadConverter.default = DefaultPayloadConverter()

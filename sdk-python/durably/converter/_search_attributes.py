"""Search attributes to payloads and back: JSON with the type's name in the metadata, never through a codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from durably import _messages as msg
from durably.common import (
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributes,
    SearchAttributeValues,
    TypedSearchAttributes,
)
from durably.converter._payload import PayloadConverter


def encode_search_attributes(attributes: SearchAttributes | TypedSearchAttributes | Sequence[Any], target: Any) -> None:
    """Fill a `SearchAttributes` message from a mapping, typed attributes or updates."""
    if isinstance(attributes, Mapping):
        for name, values in attributes.items():
            target.indexed_fields[name] = encode_search_attribute_values(values)
        return
    for item in attributes:
        target.indexed_fields[item.key.name] = encode_typed_search_attribute_value(item.key, item.value)


def encode_search_attribute_values(values: SearchAttributeValues) -> Any:
    """The payload of an untyped attribute, whose values are a list of one type."""
    if not isinstance(values, list):
        raise TypeError(f"Search attribute values must be a list, got {type(values).__name__}")
    kinds = {type(value) for value in values}
    if len(kinds) > 1:
        raise TypeError("Search attribute values must all have the same type")
    return PayloadConverter.default.to_payload([_plain(value) for value in values])


def encode_typed_search_attribute_value(key: SearchAttributeKey[Any], value: Any) -> Any:
    """The payload of a typed attribute; None removes the attribute."""
    if value is not None and not isinstance(value, key.origin_value_type):
        raise TypeError(
            f"Search attribute {key.name}: expected {key.origin_value_type.__name__}, got {type(value).__name__}"
        )
    payload = PayloadConverter.default.to_payload(_plain(value))
    payload.metadata["type"] = key._metadata_type.encode()
    return payload


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def decode_search_attributes(message: Any) -> SearchAttributes:
    """Untyped attributes of a `SearchAttributes` message, or none if it is absent."""
    result: dict[str, Any] = {}
    for name, payload in (message.indexed_fields if message is not None else {}).items():
        value = PayloadConverter.default.from_payload(payload)
        values = value if isinstance(value, list) else [value]
        if payload.metadata.get("type") == b"Datetime":
            values = [_parse_datetime(v) for v in values]
        result[name] = values
    return result


def decode_typed_search_attributes(message: Any) -> TypedSearchAttributes:
    """Typed attributes of a `SearchAttributes` message; those of unknown types are left out."""
    pairs = []
    for name, payload in (message.indexed_fields if message is not None else {}).items():
        key = SearchAttributeKey._from_metadata_type(name, payload.metadata.get("type", b"").decode())
        if key is None:
            continue
        value = PayloadConverter.default.from_payload(payload)
        if isinstance(value, list) and len(value) == 1 and key.origin_value_type is not Sequence:
            value = value[0]
        if key.value_type is datetime and isinstance(value, str):
            value = _parse_datetime(value)
        if key.value_type is float and isinstance(value, int):
            value = float(value)
        if isinstance(value, key.origin_value_type):
            pairs.append(SearchAttributePair(key, value))
    return TypedSearchAttributes(pairs)


def _parse_datetime(text: Any) -> Any:
    return PayloadConverter.default.from_payload(PayloadConverter.default.to_payload(text), datetime)


__all__ = [
    "decode_search_attributes",
    "decode_typed_search_attributes",
    "encode_search_attribute_values",
    "encode_search_attributes",
    "encode_typed_search_attribute_value",
]

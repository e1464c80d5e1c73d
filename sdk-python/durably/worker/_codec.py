"""Applies a payload codec to all payloads of a message, whatever its type: the fields' types say where they are.

Search attributes are indexed by the server and headers belong to interceptors, so both stay as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from durably import converter
from durably.api._message import Message

_PAYLOAD = "temporal.api.common.v1.Payload"
_LEFT_ALONE = frozenset({"search_attributes", "headers", "header"})

Apply = Callable[[Sequence[Any]], Awaitable[list[Any]]]


async def decode(message: Any, codec: converter.PayloadCodec) -> None:
    """Decodes in place."""
    for place in _places(message):
        await place(codec.decode)


async def encode(message: Any, codec: converter.PayloadCodec) -> None:
    """Encodes in place."""
    for place in _places(message):
        await place(codec.encode)


def _places(message: Message) -> Iterator[Callable[[Apply], Awaitable[None]]]:
    for name, (kind, cardinality, _, of) in message._fields.items():
        value = message.__dict__.get(name)
        if kind != "message" or value is None or name in _LEFT_ALONE:
            continue
        if of == _PAYLOAD:
            yield _place(message, name, cardinality)
        elif cardinality == "repeated":
            for item in value:
                yield from _places(item)
        elif cardinality == "map":
            for item in value.values():
                yield from _places(item)
        else:
            yield from _places(value)


def _place(message: Message, name: str, cardinality: str) -> Callable[[Apply], Awaitable[None]]:
    async def place(apply: Apply) -> None:
        value = message.__dict__[name]
        if cardinality == "repeated":
            value = list(await apply(value))
        elif cardinality == "map":
            value = {key: _one(await apply([payload])) for key, payload in value.items()}
        else:
            value = _one(await apply([value]))
        setattr(message, name, value)

    return place


def _one(payloads: Sequence[Any]) -> Any:
    if len(payloads) != 1:
        raise ValueError(f"the payload codec made {len(payloads)} payloads of one; here it must be one")
    return payloads[0]

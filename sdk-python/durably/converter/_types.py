"""Typed decoding: turns what `json.loads` gave into the value that a type hint asks for.

A hint is compiled once into a plain function, so that decoding costs no introspection. Errors name the place inside
the value and both types: `Order.items[3].price: expected float, got str 'abc'`.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import enum
import inspect
import sys
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NewType, TypeVar, Union
from uuid import UUID

from durably.converter._hints import hints_of

JSONTypeConverterUnhandled = NewType("JSONTypeConverterUnhandled", object)

_Decoder = Callable[[Any], Any]


class JSONTypeConverter(ABC):
    """Converts JSON values to types that the SDK doesn't know."""

    Unhandled: typing.ClassVar[JSONTypeConverterUnhandled] = JSONTypeConverterUnhandled(object())
    """Returned by `to_typed_value` for hints that it leaves to others."""

    @abstractmethod
    def to_typed_value(self, hint: Any, value: Any) -> Any | None | JSONTypeConverterUnhandled:
        """Convert `value`, which `json.loads` gave, to `hint`, or return `JSONTypeConverter.Unhandled`."""
        raise NotImplementedError


class _Mismatch(Exception):
    """A value that doesn't fit its hint; containers add their part of the path on the way up."""

    def __init__(self, reason: str, cause: BaseException | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause
        self.path: list[str] = []


def value_to_type(hint: Any, value: Any, custom_converters: Sequence[JSONTypeConverter] = ()) -> Any:
    """Convert `value`, which `json.loads` gave, to the type hint.

    Raises:
        TypeError: The value doesn't fit; the message names the place and both types.
    """
    try:
        return decoder_for(hint, tuple(custom_converters))(value)
    except _Mismatch as err:
        place = "".join(reversed(err.path))
        root = _name(hint)
        where = f"{root}{place}: " if place else ""
        raise TypeError(where + err.reason) from err.cause


def decoder_for(hint: Any, customs: tuple[JSONTypeConverter, ...] = ()) -> _Decoder:
    """The compiled decoder of a hint."""
    try:
        key = (_identity(hint), customs)
        decoder = _decoders.get(key)
    except TypeError:  # An unhashable hint, such as a Literal of a list.
        return _with_customs(hint, customs)
    if decoder is None:
        if len(_decoders) >= _MOST_DECODERS:
            _decoders.clear()
        decoder = _decoders[key] = _with_customs(hint, customs)
    return decoder


_decoders: dict[Any, _Decoder] = {}
_MOST_DECODERS = 4096


def _identity(hint: Any) -> Any:
    """A key that tells hints apart which compare equal but decode differently: `Union[A, B]` and `Union[B, A]`, also
    inside others, and `Literal[1]` and `Literal[True]`.

    `typing` itself keeps one object for `List[Union[A, B]]` and `List[Union[B, A]]`, whichever was made first; where
    the order matters, write `list[A | B]`, which it does not keep.
    """
    args = typing.get_args(hint)
    return (typing.get_origin(hint), *map(_identity, args)) if args else (type(hint), hint)


def _with_customs(hint: Any, customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    if not customs:
        return _compile(hint, customs)
    standard: list[_Decoder] = []

    def decode(value: Any) -> Any:
        for custom in customs:
            result = custom.to_typed_value(hint, value)
            if result is not JSONTypeConverter.Unhandled:
                return result
        if not standard:
            standard.append(_compile(hint, customs))
        return standard[0](value)

    return decode


def _compile(hint: Any, customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    """Choose the decoder by the kind of hint."""
    while isinstance(hint, NewType) or hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    if type(hint).__name__ == "TypeAliasType":
        return decoder_for(hint.__value__, customs)
    simple = _SIMPLE.get(hint) if isinstance(hint, collections.abc.Hashable) else None
    if simple is not None:
        return simple
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if origin is typing.Annotated:
        return decoder_for(args[0], customs)
    if origin is not None and type(origin).__name__ == "TypeAliasType":
        return decoder_for(origin.__value__, customs)
    if origin is Literal:
        return _literal(args)
    if origin is Union or origin is types.UnionType:
        return _union(hint, args, customs)
    if isinstance(hint, TypeVar):
        bound = hint.__bound__
        return decoder_for(bound, customs) if bound is not None else _any
    kind = origin or hint
    if not isinstance(kind, type):
        return _unsupported(hint)
    return _compile_class(hint, kind, args, customs)


def _compile_class(hint: Any, kind: type, args: tuple[Any, ...], customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    if _is_typed_dict(kind):
        return _typed_dict(kind, args, customs)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, args, customs)
    if hasattr(kind, "model_validate"):
        return _foreign(kind, kind.model_validate)
    if hasattr(kind, "parse_obj"):
        return _foreign(kind, kind.parse_obj)
    if issubclass(kind, enum.Enum):
        return _enum(kind)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _named_tuple(kind, args, customs)
    if issubclass(kind, (str, int, float)):
        return _scalar_subclass(kind)
    if issubclass(kind, collections.abc.Mapping):
        return _mapping(hint, kind, args, customs)
    if issubclass(kind, tuple):
        return _tuple(hint, args, customs)
    if issubclass(kind, collections.abc.Iterable):
        return _collection(hint, kind, args, customs)
    return _unsupported(hint)


def _name(hint: Any) -> str:
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__qualname__
    return str(hint).replace("typing.", "")


def _got(value: Any) -> str:
    if value is None:
        return "got null"
    shown = repr(value)
    if len(shown) > 60:
        shown = shown[:57] + "..."
    return f"got {type(value).__name__} {shown}"


def _expected(hint: Any, value: Any) -> _Mismatch:
    return _Mismatch(f"expected {_name(hint)}, {_got(value)}")


def _any(value: Any) -> Any:
    return value


def _none(value: Any) -> Any:
    if value is not None:
        raise _expected(type(None), value)
    return None


def _str(value: Any) -> Any:
    if isinstance(value, str):
        return value
    raise _expected(str, value)


def _int(value: Any) -> Any:
    if type(value) is int:
        return value
    # JSON has one kind of number: 5.0 from another language is an int here. 5.5 is not: Temporal's Python SDK makes it 5,
    # and what the sender meant is lost without a word.
    if isinstance(value, (int, float)) and value == int(value):
        return int(value)
    raise _expected(int, value)


def _float(value: Any) -> Any:
    if type(value) is float:
        return value
    if isinstance(value, (int, float)):
        return float(value)
    raise _expected(float, value)


def _bool(value: Any) -> Any:
    if value is True or value is False:
        return value
    raise _expected(bool, value)


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        try:
            return bytes(value)
        except (TypeError, ValueError) as err:
            raise _Mismatch("expected bytes as a list of integers from 0 to 255", err) from None
    raise _expected(bytes, value)


def _datetime(value: Any) -> Any:
    if not isinstance(value, str):
        raise _expected(datetime, value)
    try:
        return datetime.fromisoformat(_iso(value))
    except ValueError as err:
        raise _Mismatch(f"expected a date and time in ISO 8601, {_got(value)}", err) from None


if sys.version_info >= (3, 11):

    def _iso(text: str) -> str:
        return text

else:

    def _iso(text: str) -> str:
        # Python 3.10 knows neither "Z" nor fractions other than 3 or 6 digits.
        if text.endswith(("Z", "z")):
            text = text[:-1] + "+00:00"
        head, dot, tail = text.partition(".")
        if not dot:
            return text
        digits = len(tail) - len(tail.lstrip("0123456789"))
        return f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"


def _uuid(value: Any) -> Any:
    if not isinstance(value, str):
        raise _expected(UUID, value)
    try:
        return UUID(value)
    except ValueError as err:
        raise _Mismatch(f"expected a UUID, {_got(value)}", err) from None


_SIMPLE: dict[Any, _Decoder] = {
    Any: _any,
    object: _any,
    inspect.Parameter.empty: _any,
    None: _none,
    type(None): _none,
    str: _str,
    int: _int,
    float: _float,
    bool: _bool,
    bytes: _bytes,
    datetime: _datetime,
    UUID: _uuid,
}


def _unsupported(hint: Any) -> _Decoder:
    reason = f"{_name(hint)} can't be decoded from JSON; give the JSONPlainPayloadConverter a JSONTypeConverter for it"

    def decode(value: Any) -> Any:
        raise _Mismatch(reason)

    return decode


def _literal(choices: tuple[Any, ...]) -> _Decoder:
    def decode(value: Any) -> Any:
        for choice in choices:
            if value == choice and type(value) is type(choice):
                return value
        raise _Mismatch(f"expected one of {', '.join(map(repr, choices))}, {_got(value)}")

    return decode


def _union(hint: Any, args: tuple[Any, ...], customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    """The first member, in the declared order, that the value fits with all its fields."""
    optional = type(None) in args
    members = [arg for arg in args if arg is not type(None)]
    if optional and len(members) == 1:
        inner = decoder_for(members[0], customs)
        return lambda value: None if value is None else inner(value)
    decoders = [(member, _strict(member, decoder_for(member, customs))) for member in members]

    def decode(value: Any) -> Any:
        if value is None and optional:
            return None
        reasons = []
        for member, decoder in decoders:
            try:
                return decoder(value)
            except _Mismatch as err:
                reasons.append(f"{_name(member)}{''.join(reversed(err.path))}: {err.reason}")
            except Exception as err:  # What the member's own code says, such as a `__post_init__`.
                reasons.append(f"{_name(member)}: {err or type(err).__name__}")
        raise _Mismatch(f"expected {_name(hint)}, {_got(value)} ({'; '.join(reasons)})")

    return decode


def _strict(member: Any, decoder: _Decoder) -> _Decoder:
    """A TypedDict takes any object when it stands alone; among others its required keys tell whether it is meant."""
    required = getattr(typing.get_origin(member) or member, "__required_keys__", None)
    if not required:
        return decoder

    def decode(value: Any) -> Any:
        if isinstance(value, dict):
            for name in sorted(required):
                if name not in value:
                    raise _missing(name)
        return decoder(value)

    return decode


def _missing(name: str, cause: BaseException | None = None) -> _Mismatch:
    mismatch = _Mismatch(f"missing: the JSON object has no {name!r}", cause)
    mismatch.path.append("." + name)
    return mismatch


def _foreign(kind: type, parse: _Decoder) -> _Decoder:
    """A class that validates itself, such as a pydantic model."""

    def decode(value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as err:  # pydantic's ValidationError is one, and names its fields.
            raise _Mismatch(f"expected {_name(kind)}: {err}", err) from None

    return decode


def _enum(kind: Any) -> _Decoder:
    def decode(value: Any) -> Any:
        try:
            return kind(value)
        except ValueError as err:
            choices = ", ".join(repr(member.value) for member in list(kind)[:10])
            raise _Mismatch(f"expected {_name(kind)} (one of {choices}), {_got(value)}", err) from None

    return decode


def _scalar_subclass(kind: Any) -> _Decoder:
    base: Any = next(b for b in (str, int, float) if issubclass(kind, b))
    inner = _SIMPLE[base]

    def decode(value: Any) -> Any:
        return kind(inner(value))

    return decode


def _decode_fields(fields: Mapping[str, _Decoder], value: Mapping[str, Any]) -> dict[str, Any]:
    """Decodes the known keys of an object and drops the others."""
    result = {}
    for name, decoder in fields.items():
        if name in value:
            try:
                result[name] = decoder(value[name])
            except _Mismatch as err:
                err.path.append("." + name)
                raise
    return result


def _is_typed_dict(kind: Any) -> bool:
    return issubclass(kind, dict) and hasattr(kind, "__total__") and hasattr(kind, "__annotations__")


def _without_markers(hint: Any) -> Any:
    """Strip Required[…] and NotRequired[…] of a TypedDict."""
    origin = typing.get_origin(hint)
    return typing.get_args(hint)[0] if getattr(origin, "_name", None) in ("Required", "NotRequired") else hint


def _typed_dict(kind: Any, args: tuple[Any, ...], customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    fields: dict[str, _Decoder] = {}

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _expected(kind, value)
        if not fields:
            hints = hints_of(kind, args)
            fields.update((n, decoder_for(_without_markers(h), customs)) for n, h in hints.items())
        # Keys that it doesn't name stay: at run time it is a dict, and may have come from a newer program.
        return {**value, **_decode_fields(fields, value)}

    return decode


def _dataclass(kind: Any, args: tuple[Any, ...], customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    # Compiled on first use, so that a class may refer to itself.
    fields: dict[str, _Decoder] | None = None
    # Encoded with the others, but no arguments of the constructor.
    set_later: list[str] = []

    def decode(value: Any) -> Any:
        nonlocal fields
        if not isinstance(value, dict):
            raise _expected(kind, value)
        if fields is None:
            hints = hints_of(kind, args)
            set_later.extend(field.name for field in dataclasses.fields(kind) if not field.init)
            fields = {f.name: decoder_for(hints.get(f.name, Any), customs) for f in dataclasses.fields(kind)}
        arguments = _decode_fields(fields, value)
        later = [(name, arguments.pop(name)) for name in set_later if name in arguments]
        try:
            made = kind(**arguments)
        except TypeError as err:
            missing = [n for n in _required(kind) if n not in arguments]
            if not missing:
                raise
            raise _missing(missing[0], err) from None
        for name, item in later:
            object.__setattr__(made, name, item)  # Also if it is frozen.
        return made

    return decode


def _required(kind: Any) -> list[str]:
    unset = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(kind) if f.init and f.default is unset and f.default_factory is unset]


def _named_tuple(kind: Any, args: tuple[Any, ...], customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    decoders: list[_Decoder] = []

    def decode(value: Any) -> Any:
        if not isinstance(value, list) or len(value) > len(kind._fields):
            raise _expected(kind, value)
        if not decoders:
            hints = hints_of(kind, args)
            decoders.extend(decoder_for(hints.get(name, Any), customs) for name in kind._fields)
        try:
            return kind(*_decode_items(value, decoders))
        except TypeError as err:
            raise _Mismatch(str(err), err) from None

    return decode


def _decode_items(values: Sequence[Any], decoders: Sequence[_Decoder]) -> list[Any]:
    result: list[Any] = []
    for item, decoder in zip(values, decoders):
        try:
            result.append(decoder(item))
        except _Mismatch as err:
            err.path.append(f"[{len(result)}]")
            raise
    return result


def _tuple(hint: Any, args: tuple[Any, ...], customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    if not args or (len(args) == 2 and args[1] is Ellipsis):
        each = decoder_for(args[0], customs) if args else _any
        return lambda value: tuple(_decode_list(hint, value, each))
    if args == ((),):
        args = ()
    decoders = [decoder_for(arg, customs) for arg in args]

    def decode(value: Any) -> Any:
        if not isinstance(value, list):
            raise _expected(hint, value)
        if len(value) != len(decoders):
            raise _Mismatch(f"expected {_name(hint)} with {len(decoders)} items, got {len(value)} items")
        return tuple(_decode_items(value, decoders))

    return decode


def _decode_list(hint: Any, value: Any, each: _Decoder) -> list[Any]:
    if not isinstance(value, list):
        raise _expected(hint, value)
    if each is _any:
        return value
    result: list[Any] = []
    try:
        for item in value:
            result.append(each(item))
    except _Mismatch as err:
        err.path.append(f"[{len(result)}]")
        raise
    return result


def _collection(hint: Any, kind: Any, args: tuple[Any, ...], customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    each = decoder_for(args[0], customs) if args else _any
    if inspect.isabstract(kind):
        kind = set if issubclass(kind, collections.abc.Set) else list
    if kind is list:
        return lambda value: _decode_list(hint, value, each)
    return lambda value: kind(_decode_list(hint, value, each))


def _mapping(hint: Any, kind: Any, args: tuple[Any, ...], customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    if kind is collections.Counter and len(args) == 1:
        args = (args[0], int)
    key_hint, value_hint = args if len(args) == 2 else (Any, Any)
    decode_key = _key_decoder(key_hint, customs)
    decode_value = decoder_for(value_hint, customs)
    build: Any = None if inspect.isabstract(kind) or kind is dict else kind
    if kind is collections.defaultdict:
        build = lambda items: collections.defaultdict(None, items)  # noqa: E731

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _expected(hint, value)
        result = {}
        for key, item in value.items():
            try:
                result[decode_key(key)] = decode_value(item)
            except _Mismatch as err:
                err.path.append(f"[{key!r}]")
                raise
        return build(result) if build is not None else result

    return decode


def _key_decoder(hint: Any, customs: tuple[JSONTypeConverter, ...]) -> _Decoder:
    """JSON keys are text: numbers, booleans and null are read back from it."""
    if hint in (Any, str, object):
        return _any
    decoder = decoder_for(hint, customs)

    def decode(key: Any) -> Any:
        for parse in _KEY_PARSERS:
            try:
                return decoder(parse(key))
            except (_Mismatch, ValueError, KeyError):
                continue
        raise _Mismatch(f"expected a key of type {_name(hint)}, {_got(key)}")

    return decode


_KEY_PARSERS: tuple[_Decoder, ...] = (
    lambda key: key,
    int,
    float,
    lambda key: {"true": True, "false": False, "null": None}[key],
)

"""Protobuf messages as plain Python objects, without a protobuf runtime.

A message class has one attribute per field. The instance holds what is set; the class answers for the rest:

=====================  =====================================================================================
field                  reads as
=====================  =====================================================================================
unset scalar           its default: ``0``, ``0.0``, ``False``, ``""``, ``b""``
unset message          ``None`` (protobuf's own runtime would return an empty message)
repeated               a ``list``; reading it makes the list, so ``m.items.append(x)`` works
map                    a ``dict``; reading it makes the dict
enum                   an ``int``; compare it with members of ``durably.api.enums.v1``, which are ``IntEnum``
bytes                  ``bytes``
=====================  =====================================================================================

Assigning ``None`` unsets a field. A oneof is several fields of which at most one may be set: ``WhichOneof(name)`` tells
which; encoding raises ``ValueError`` if two are.

The classes are made on first use from the tables of ``durably._bridge``, which also encodes and decodes them.
"""

from __future__ import annotations

import datetime
import enum
from typing import Any, ClassVar, Final, TypeVar

from durably import _bridge

M = TypeVar("M", bound="Message")

_DEFAULTS: Final[dict[str, Any]] = {
    "float": 0.0,
    "bool": False,
    "str": "",
    "bytes": b"",
    "enum": 0,
    "int": 0,
    "message": None,
}


class Message:
    """Base of all message classes. See the module's documentation for how fields behave."""

    #: Number of the message in the bridge's tables.
    _index: ClassVar[int]
    #: Full protobuf name, for example ``temporal.api.common.v1.Payload``.
    full_name: ClassVar[str]
    #: Field name -> (kind, cardinality, oneof or None, type name or None).
    _fields: ClassVar[dict[str, tuple[str, str, str | None, str | None]]]
    _known: ClassVar[frozenset[str]]

    def __init__(self, **fields: Any) -> None:
        """Sets fields by name; ``None`` leaves a field unset.

        Raises:
            TypeError: The message has no field of that name.
        """
        if not self._known.issuperset(fields):
            unknown = ", ".join(sorted(fields.keys() - self._fields.keys()))
            raise TypeError(f"{self.full_name} has no field {unknown}; it has: {', '.join(self._fields)}")
        self.__dict__ = fields

    # Fields are made with the class; type checkers that read no stub take any.
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self.full_name} has no field {name}; it has: {', '.join(self._fields)}")

    def HasField(self, name: str) -> bool:
        """Whether a message, a member of a oneof or an ``optional`` field is set.

        Raises:
            ValueError: The field does not exist, or whether it is set can't be known (other scalars, lists, maps).
        """
        field = self._fields.get(name)
        if field is None or field[1] != "presence":
            raise ValueError(f"{self.full_name} has no field {name} whose presence is known")
        return self.__dict__.get(name) is not None

    def WhichOneof(self, name: str) -> str | None:
        """The field of the oneof ``name`` that is set, if any.

        Raises:
            ValueError: The message has no such oneof.
        """
        members = self._oneofs.get(name)
        if members is None:
            raise ValueError(f"{self.full_name} has no oneof {name}; it has: {', '.join(self._oneofs)}")
        held = self.__dict__
        for member in members:
            if held.get(member) is not None:
                return member
        return None

    _oneofs: ClassVar[dict[str, tuple[str, ...]]]

    def ClearField(self, name: str) -> None:
        """Unsets a field."""
        self.__dict__.pop(name, None)

    def SerializeToString(self) -> bytes:
        """The message in protobuf's wire format.

        Raises:
            TypeError, ValueError, OverflowError: A value does not fit its field; the text names message and field.
        """
        return _bridge.encode(self)

    @classmethod
    def FromString(cls: type[M], data: bytes) -> M:
        """Reads protobuf's wire format.

        Raises:
            ValueError: The bytes are malformed; the text names message, field and position.
        """
        return _bridge.decode(cls, data)

    def to_json(self, *, pretty: bool = False) -> str:
        """The message in protobuf's JSON mapping."""
        return _bridge.to_json(self, pretty)

    @classmethod
    def from_json(cls: type[M], text: str) -> M:
        """Reads protobuf's JSON mapping. Enum values may be spelled in full (``EVENT_TYPE_TIMER_FIRED``), in short
        (``TimerFired``), or as numbers.

        Raises:
            ValueError: The text is not JSON or does not fit the message.
        """
        return _bridge.from_json(cls, text)

    def _set_fields(self) -> dict[str, Any]:
        """What differs from an empty message."""
        found = {}
        for name, (kind, cardinality, _, _) in self._fields.items():
            value = self.__dict__.get(name)
            if value is None or (cardinality in ("repeated", "map") and not value):
                continue
            if cardinality == "single" and value == _DEFAULTS[kind]:
                continue
            found[name] = value
        return found

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._set_fields() == other._set_fields()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._set_fields().items())
        return f"{type(self).__qualname__}({fields})"


class Enum(enum.IntEnum):
    """Base of all enums; ``Name`` and ``Value`` are as in protobuf's own runtime."""

    @classmethod
    def Name(cls, number: int) -> str:
        return cls(number).name

    @classmethod
    def Value(cls, name: str) -> int:
        return cls[name].value


class _Container:
    """Makes the list or dict of a field when it is first read. Not a data descriptor: the instance's own value,
    once there, is found first."""

    def __init__(self, make: type[list[Any]] | type[dict[Any, Any]]) -> None:
        self.make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Message | None, owner: type) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.make()
        return value


class _TimestampHelpers:
    seconds: int
    nanos: int

    def ToDatetime(self, tzinfo: datetime.tzinfo | None = None) -> datetime.datetime:
        """As a datetime with microseconds: naive UTC, or aware if ``tzinfo`` is given."""
        moment = _EPOCH + datetime.timedelta(seconds=self.seconds, microseconds=self.nanos // 1000)
        return moment.replace(tzinfo=None) if tzinfo is None else moment.astimezone(tzinfo)

    def FromDatetime(self, moment: datetime.datetime) -> None:
        """Sets the time; a naive datetime counts as UTC."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.timezone.utc)
        since = moment - _EPOCH
        self.seconds = since.days * 86400 + since.seconds
        self.nanos = since.microseconds * 1000

    def ToNanoseconds(self) -> int:
        return self.seconds * 1_000_000_000 + self.nanos


class _DurationHelpers:
    seconds: int
    nanos: int

    def ToTimedelta(self) -> datetime.timedelta:
        """As a timedelta with microseconds; less is cut off."""
        return datetime.timedelta(seconds=self.seconds, microseconds=int(self.nanos / 1000))

    def FromTimedelta(self, delta: datetime.timedelta) -> None:
        micros = delta // datetime.timedelta(microseconds=1)
        sign = -1 if micros < 0 else 1
        seconds, rest = divmod(abs(micros), 1_000_000)
        self.seconds = sign * seconds
        self.nanos = sign * rest * 1000


_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_HELPERS: Final[dict[str, type]] = {
    "google.protobuf.Timestamp": _TimestampHelpers,
    "google.protobuf.Duration": _DurationHelpers,
}


def module_of(package: str) -> str:
    """The Python module of a protobuf package."""
    if package.startswith("temporal.api."):
        return "durably.api." + package[len("temporal.api.") :]
    return {"durably.core.v1": "durably.api.core.v1"}.get(package, "durably.api." + package)


def make_class(index: int) -> type[Message]:
    """Makes the class of the message with this number; the bridge calls it once per message."""
    described = _bridge.describe(index)
    full_name, package = described["full_name"], described["package"]
    oneofs: dict[str, tuple[str, ...]] = {}
    fields = {}
    namespace: dict[str, Any] = {}
    for name, kind, cardinality, oneof, of in described["fields"]:
        fields[name] = (kind, cardinality, oneof, of)
        if oneof:
            oneofs[oneof] = (*oneofs.get(oneof, ()), name)
        if cardinality == "repeated":
            namespace[name] = _Container(list)
        elif cardinality == "map":
            namespace[name] = _Container(dict)
        else:
            namespace[name] = _DEFAULTS[kind]
    qualname = full_name[len(package) + 1 :]
    namespace.update(
        _index=index,
        full_name=full_name,
        _fields=fields,
        _known=frozenset(fields),
        _oneofs=oneofs,
        __module__=module_of(package),
        __qualname__=qualname,
        __doc__=f"The message {full_name}. Fields: {', '.join(fields) or 'none'}.",
    )
    for nested in described["enums"]:
        made = make_enum(nested, package)
        namespace[made.__name__] = made
        namespace.update(made.__members__)
    for nested in described["messages"]:
        namespace[nested.rsplit(".", 1)[1]] = _bridge.message_class(nested)
    helpers = _HELPERS.get(full_name)
    bases = (Message, helpers) if helpers else (Message,)
    return type(qualname.rsplit(".", 1)[-1], bases, namespace)


_enums: dict[str, type[Enum]] = {}


def make_enum(full_name: str, package: str) -> type[Enum]:
    """The IntEnum of a protobuf enum, made once."""
    if full_name not in _enums:
        qualname = full_name[len(package) + 1 :]
        # The functional form of enum.Enum, which type checkers only know with literal names.
        make: Any = Enum
        _enums[full_name] = make(
            qualname.rsplit(".", 1)[-1],
            _bridge.enum_values(full_name),
            module=module_of(package),
            qualname=qualname,
        )
    return _enums[full_name]


def lookup(package: str, name: str) -> Any:
    """What a module of ``durably.api`` answers for ``name``: a message class, an enum, or a value of an enum.

    Raises:
        AttributeError: The package has nothing of that name.
    """
    messages, enums = _names(package)
    if name in messages:
        return _bridge.message_class(f"{package}.{name}")
    if name in enums:
        return make_enum(f"{package}.{name}", package)
    if name.isupper():
        for of in enums:
            members = make_enum(f"{package}.{of}", package).__members__
            if name in members:
                return members[name]
    raise AttributeError(f"protobuf package {package} has no message or enum {name}")


def names(package: str) -> list[str]:
    """The names that `lookup` knows, values of enums left out."""
    messages, enums = _names(package)
    return sorted([*messages, *enums])


_packages: dict[str, tuple[list[str], list[str]]] = {}


def _names(package: str) -> tuple[list[str], list[str]]:
    if package not in _packages:
        _packages[package] = _bridge.package_names(package)
    return _packages[package]


_bridge.set_class_factory(make_class)

"""Timestamps and durations of the wire to ``datetime`` and ``timedelta``, and back. ``None`` stays ``None``."""

from __future__ import annotations

import datetime
from typing import Any, overload

from durably.api.google.protobuf import Duration, Timestamp


@overload
def to_duration(delta: None) -> None: ...
@overload
def to_duration(delta: datetime.timedelta | float) -> Any: ...
def to_duration(delta: datetime.timedelta | float | None) -> Any:
    """A ``google.protobuf.Duration``; a number is seconds."""
    if delta is None:
        return None
    duration = Duration()
    duration.FromTimedelta(as_timedelta(delta))
    return duration


def as_timedelta(value: datetime.timedelta | float) -> datetime.timedelta:
    """What a caller gave for a duration: a timedelta, or a number of seconds.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, datetime.timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.timedelta(seconds=value)
    raise TypeError(f"a duration is a timedelta or a number of seconds, not {type(value).__name__} {value!r:.60}")


def to_timedelta(duration: Any) -> datetime.timedelta | None:
    """A ``timedelta``, or ``None`` if the field is unset."""
    return None if duration is None else duration.ToTimedelta()


@overload
def to_timestamp(moment: None) -> None: ...
@overload
def to_timestamp(moment: datetime.datetime) -> Any: ...
def to_timestamp(moment: datetime.datetime | None) -> Any:
    """A ``google.protobuf.Timestamp``; a naive datetime counts as UTC."""
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def to_datetime(timestamp: Any) -> datetime.datetime | None:
    """An aware ``datetime`` in UTC, or ``None`` if the field is unset."""
    return None if timestamp is None else timestamp.ToDatetime(datetime.timezone.utc)

"""Timestamps and durations of the wire to ``datetime`` and ``timedelta``, and back. ``None`` stays ``None``."""

from __future__ import annotations

import datetime
from typing import Any, overload

from durably.api.google.protobuf import Duration, Timestamp


@overload
def to_duration(delta: None) -> None: ...
@overload
def to_duration(delta: datetime.timedelta) -> Any: ...
def to_duration(delta: datetime.timedelta | None) -> Any:
    """A ``google.protobuf.Duration``."""
    if delta is None:
        return None
    duration = Duration()
    duration.FromTimedelta(delta)
    return duration


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

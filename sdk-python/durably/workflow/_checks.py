"""Whether what calls from workflow code are given has the right type. A mistake is told where it was made, and not by the server
that can't read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NoReturn


def check_type(call: str, name: str, value: Any, kind: Any, wanted: str) -> None:
    """Refuse a value of another type.

    Raises:
        TypeError: It is; `wanted` says what it should have been.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{call}: {name} must be {wanted}, not {type(value).__name__} {value!r:.60}")


def check_types(
    call: str, values: Mapping[str, Any], types: Mapping[str, tuple[Any, str]], optional: Collection[str]
) -> None:
    """As `check_type`, for each that has a type; those that are optional may be None."""
    for name, (kind, wanted) in types.items():
        if values[name] is not None or name not in optional:
            check_type(call, name, values[name], kind, wanted)


def no_such_attribute(handle: Any, name: str) -> NoReturn:
    """What a handle on another workflow says of names that it doesn't have, and above all of those for updates."""
    kind = type(handle).__name__
    if name in ("update", "start_update", "execute_update", "get_update_handle"):
        raise AttributeError(
            f"{kind} has no {name}: a workflow sends no updates. Send a signal, or let an activity send the update with a client"
        )
    raise AttributeError(f"{kind!r} object has no attribute {name!r}")

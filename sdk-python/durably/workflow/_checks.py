"""Whether what calls from workflow code are given has the right type. A mistake is told where it was made, and not by the server
that can't read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


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

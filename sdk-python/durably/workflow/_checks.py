"""What calls from workflow code have in common that take arguments for somebody else: how they are given, and whether the rest
has the right type. A mistake is told where it was made, and not by the server that can't read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

UNSET: Any = object()
"""The mark of an argument that was not given (None is a value)."""


def all_args(arg: Any, more: Sequence[Any], args: Sequence[Any]) -> Sequence[Any]:
    """Arguments given one after the other, or as `args=[...]`.

    Raises:
        ValueError: Both were given.
        TypeError: `args` is no sequence of arguments.
    """
    if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
        raise TypeError(f"args is a list of arguments, not {type(args).__name__} {args!r:.60}; a single one goes without args=")
    if arg is UNSET:
        return args
    if args:
        raise ValueError("Cannot have arg and args; pass several arguments as args=[...]")
    return [arg, *more]


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

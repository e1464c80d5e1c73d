"""How calls are given arguments for somebody else: one after the other, or as `args=[...]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNSET: Any = object()
"""The mark of an argument that was not given (None is a value)."""


def all_args(given: Sequence[Any], args: Sequence[Any]) -> Sequence[Any]:
    """The arguments: what was given one after the other, unless the first is `UNSET`, or `args`.

    Raises:
        ValueError: Both were given.
        TypeError: `args` is no sequence of arguments.
    """
    if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
        raise TypeError(f"args is a list of arguments, not {type(args).__name__} {args!r:.60}; a single one goes without args=")
    if not given or given[0] is UNSET:
        return args
    if args:
        raise ValueError("Cannot have arg and args; pass several arguments as args=[...]")
    return list(given)

"""Type hints of a class's fields, with what the type variables of a generic class stand for filled in.

`typing` resolves names but leaves `T` in `Box[Item]`'s fields, so that `Item` would arrive as a dict.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, TypeVar


def hints_of(kind: Any, args: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Resolved hints of a class; an unresolvable one counts as untyped rather than as an error far from its cause.

    Args:
        kind: A dataclass, TypedDict or NamedTuple.
        args: Its type arguments, if it is generic.
    """
    try:
        hints = typing.get_type_hints(kind)
        known = _arguments_by_class(kind, args)
        if not any(known.values()):
            return hints
        return {name: _fill_in(hint, known.get(_owner(kind, name), {})) for name, hint in hints.items()}
    except NameError:
        return {}


def _arguments_by_class(kind: Any, args: tuple[Any, ...]) -> dict[Any, dict[Any, Any]]:
    """For the class and each of its bases: they may use the same variable for different things."""
    mine = dict(zip(getattr(kind, "__parameters__", ()), args))
    found = {kind: mine}
    for base in kind.__dict__.get("__orig_bases__", ()):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and origin is not typing.Generic:
            found |= _arguments_by_class(origin, tuple(_fill_in(arg, mine) for arg in typing.get_args(base)))
    for base in kind.__bases__:
        if base not in found:
            found |= _arguments_by_class(base, ())
    return found


def _owner(kind: Any, name: str) -> Any:
    return next((base for base in kind.__mro__ if name in getattr(base, "__annotations__", ())), kind)


def _fill_in(hint: Any, known: Mapping[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return known.get(hint, hint)
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint  # A generic class without arguments: it says that it doesn't care.
    free = getattr(hint, "__parameters__", ())
    return hint[tuple(known.get(parameter, parameter) for parameter in free)] if free else hint

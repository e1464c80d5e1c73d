"""What a function takes and returns, read once when it is defined and not while workflows run."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durably.converter import PayloadConverter


@dataclass(frozen=True)
class Signature:
    """Positional parameters and result of a workflow, activity or handler function."""

    arg_types: tuple[Any, ...]
    """Type hint of each positional parameter but `self`; Any where there is none."""
    required: int
    """How many of them have no default."""
    variadic: bool
    """Whether it takes `*args`."""
    ret_type: Any
    """Type hint of the result, or None if there is no hint."""
    names: tuple[str, ...] = ()
    """Of the positional parameters."""
    place: str = ""
    """The function's name, and `file:line` where it is written, for errors."""

    def hints(self, count: int) -> list[Any] | None:
        """Hints for decoding `count` arguments."""
        return list(self.arg_types[:count]) or None

    def mismatch(self, count: int) -> str | None:
        """Why `count` positional arguments don't fit, or None if they do."""
        if count < self.required or (count > len(self.arg_types) and not self.variadic):
            most = "any number" if self.variadic else str(len(self.arg_types))
            takes = most if most == str(self.required) else f"{self.required} to {most}"
            return f"takes {takes} argument{'' if takes == '1' else 's'}, got {count}"
        return None


def signature_of(fn: Callable[..., Any], *, bound: bool | None = None) -> Signature:
    """Read a function's signature.

    Args:
        fn: A function, method, or object with `__call__`.
        bound: Whether `self` is not among the parameters. Default: dropped if the first parameter is named so.
    """
    target: Any = fn
    if not inspect.isroutine(fn) and not isinstance(fn, type) and hasattr(fn, "__call__") and not hasattr(fn, "func"):
        target = fn.__call__
    parameters = list(inspect.signature(target).parameters.values())
    hints = _hints(target)
    if bound is not True and parameters and (bound is False or parameters[0].name == "self"):
        parameters = parameters[1:]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return Signature(
        arg_types=tuple(hints.get(p.name, Any) for p in positional),
        required=sum(p.default is p.empty for p in positional),
        variadic=any(p.kind is p.VAR_POSITIONAL for p in parameters),
        ret_type=hints.get("return"),
        names=tuple(p.name for p in positional),
        place=_place(target),
    )


def _place(target: Any) -> str:
    name = getattr(target, "__qualname__", type(target).__qualname__)
    code = getattr(inspect.unwrap(target), "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code is not None else name


def decode_arguments(converter: PayloadConverter, payloads: Sequence[Any], signature: Signature) -> list[Any]:
    """The values of the payloads, by the hints of the parameters.

    Raises:
        Exception: As the converter says; of the usual kinds, the message begins with the parameter and where it stands.
    """
    hints = signature.hints(len(payloads))
    try:
        return converter.from_payloads(payloads, hints)
    except Exception as error:
        if type(error) in (TypeError, ValueError, RuntimeError):
            error.args = (f"{_parameter(converter, payloads, signature)} of {signature.place}: {error}",)
        raise


def _parameter(converter: PayloadConverter, payloads: Sequence[Any], signature: Signature) -> str:
    """The first that can't be decoded alone."""
    for index, payload in enumerate(payloads):
        try:
            hint = signature.arg_types[index] if index < len(signature.arg_types) else None
            converter.from_payload(payload, hint)
        except Exception:
            return f"parameter {signature.names[index]!r}" if index < len(signature.names) else f"argument {index + 1}"
    return "an argument"


def keyword_only_without_default(fn: Callable[..., Any]) -> str | None:
    """Name of a parameter that could never be given, since arguments are positional on the wire."""
    for parameter in inspect.signature(fn).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return parameter.name
    return None


def _hints(target: Any) -> dict[str, Any]:
    while hasattr(target, "func") and not inspect.isroutine(target):  # functools.partial
        target = target.func
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:
        # A name that exists for type checkers only: use what can be resolved, treat the rest as untyped.
        raw = getattr(target, "__annotations__", {})
        known = {name: hint for name, hint in raw.items() if not isinstance(hint, str)}
        namespace = getattr(inspect.unwrap(target), "__globals__", {})
        for name, hint in raw.items():
            if isinstance(hint, str):
                try:
                    known[name] = eval(hint, namespace)  # noqa: S307 - the module's own annotation
                except Exception:
                    continue
        return known

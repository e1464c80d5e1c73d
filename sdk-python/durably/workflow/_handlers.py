"""Decorators that make methods handlers of signals, queries and updates, and what is read from them once."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, TypeVar, cast, overload, runtime_checkable

from durably._signature import Signature, keyword_only_without_default, signature_of
from durably.types import MultiParamSpec, ReturnType

CallableType = TypeVar("CallableType", bound=Callable[..., Any])
CallableSyncOrAsyncReturnNoneType = TypeVar(
    "CallableSyncOrAsyncReturnNoneType", bound=Callable[..., "Awaitable[None] | None"]
)

SIGNAL = "__durably_signal_definition"
QUERY = "__durably_query_definition"
UPDATE = "__durably_update_definition"


class HandlerUnfinishedPolicy(IntEnum):
    """What to do about a handler that is still running when the workflow ends."""

    WARN_AND_ABANDON = 1
    ABANDON = 2


@overload
def signal(fn: CallableSyncOrAsyncReturnNoneType) -> CallableSyncOrAsyncReturnNoneType: ...


@overload
def signal(
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Callable[[CallableSyncOrAsyncReturnNoneType], CallableSyncOrAsyncReturnNoneType]: ...


def signal(
    fn: Any = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Any:
    """Mark a method, plain or `async def`, as a signal handler.

    Args:
        fn: The method, when used without parentheses.
        name: Name of the signal. Default: the method's name.
        dynamic: Handle every signal that has no handler of its own. Parameters: `self, name: str,
            args: Sequence[common.RawValue]`.
        unfinished_policy: What to do if it is still running when the workflow ends.
        description: Shown by tools.
    """

    def decorate(fn: Any) -> Any:
        definition = _SignalDefinition._make(fn, name, bool(dynamic), description, unfinished_policy)
        setattr(fn, SIGNAL, definition)
        return fn

    return decorate if fn is None else decorate(fn)


@overload
def query(fn: CallableType) -> CallableType: ...


@overload
def query(
    *, name: str | None = None, dynamic: bool | None = False, description: str | None = None
) -> Callable[[CallableType], CallableType]: ...


def query(
    fn: Any = None, *, name: str | None = None, dynamic: bool | None = False, description: str | None = None
) -> Any:
    """Mark a method as a query handler. It may only read: no commands, no changes.

    Args:
        fn: The method, when used without parentheses.
        name: Name of the query. Default: the method's name.
        dynamic: Handle every query that has no handler of its own. Parameters: `self, name: str,
            args: Sequence[common.RawValue]`.
        description: Shown by tools.
    """

    def decorate(fn: Any) -> Any:
        if inspect.iscoroutinefunction(fn):
            warnings.warn("Queries as async def functions are deprecated", DeprecationWarning, stacklevel=3)
        setattr(fn, QUERY, _QueryDefinition._make(fn, name, bool(dynamic), description))
        return fn

    return decorate if fn is None else decorate(fn)


@runtime_checkable
class UpdateMethodMultiParam(Protocol[MultiParamSpec, ReturnType]):
    """A method that `@workflow.update` has marked."""

    def __call__(
        self, *args: MultiParamSpec.args, **kwargs: MultiParamSpec.kwargs
    ) -> ReturnType | Awaitable[ReturnType]:
        """The handler itself."""

    def validator(self, vfunc: Callable[MultiParamSpec, None]) -> Callable[MultiParamSpec, None]:
        """Mark a method, a plain one with the same parameters, as what decides whether an update is accepted: what it raises
        turns the update away, before anything of it is recorded. It may only read."""


@overload
def update(fn: Callable[MultiParamSpec, Awaitable[ReturnType]]) -> UpdateMethodMultiParam[MultiParamSpec, ReturnType]: ...


@overload
def update(fn: Callable[MultiParamSpec, ReturnType]) -> UpdateMethodMultiParam[MultiParamSpec, ReturnType]: ...


@overload
def update(
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> _UpdateDecorator: ...


def update(
    fn: Any = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Any:
    """Mark a method, plain or `async def`, as an update handler: what it returns is the update's answer. A method marked with
    `@NAME.validator`, where NAME is the handler, may turn updates away.

    Args:
        fn: The method, when used without parentheses.
        name: Name of the update. Default: the method's name.
        dynamic: Handle every update that has no handler of its own. Parameters: `self, name: str,
            args: Sequence[common.RawValue]`.
        unfinished_policy: What to do if it is still running when the workflow ends.
        description: Shown by tools.
    """

    def decorate(fn: Any) -> Any:
        definition = _UpdateDefinition._make(fn, name, bool(dynamic), description, unfinished_policy)
        setattr(fn, UPDATE, definition)
        fn.validator = functools.partial(_mark_validator, definition)
        return fn

    return decorate if fn is None else decorate(fn)


class _UpdateDecorator(Protocol):
    """What `update` with options returns."""

    @overload
    def __call__(
        self, fn: Callable[MultiParamSpec, Awaitable[ReturnType]]
    ) -> UpdateMethodMultiParam[MultiParamSpec, ReturnType]: ...

    @overload
    def __call__(
        self, fn: Callable[MultiParamSpec, ReturnType]
    ) -> UpdateMethodMultiParam[MultiParamSpec, ReturnType]: ...


def _mark_validator(definition: _UpdateDefinition, fn: CallableType) -> CallableType:
    definition.set_validator(fn)
    return fn


def _handler_signature(kind: str, fn: Any, name: str | None, dynamic: bool, bound: bool | None) -> Signature:
    keyword = keyword_only_without_default(fn)
    if keyword is not None:
        raise TypeError(f"{kind} handler cannot have keyword-only arguments, has {keyword!r}")
    if dynamic and name is not None:
        raise RuntimeError("Cannot provide name and dynamic boolean")
    if name is not None and name.startswith("__temporal_"):
        raise ValueError(f"{kind} name cannot start with reserved prefix '__temporal_'")
    signature = signature_of(fn, bound=bound)
    if dynamic and (len(signature.arg_types) != 2 or signature.arg_types[0] is not str):
        raise RuntimeError(
            f"Dynamic {kind.lower()} handler must have 3 arguments: self, name: str, args: Sequence[RawValue]"
        )
    return signature


@dataclass(frozen=True)
class _SignalDefinition:
    """A signal handler."""

    name: str | None
    """None: dynamic."""
    fn: Callable[..., Any]
    is_method: bool
    """Whether `fn` takes the workflow object first."""
    signature: Signature
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON
    description: str | None = None

    @staticmethod
    def from_fn(fn: Callable[..., Any]) -> _SignalDefinition | None:
        """The definition of a decorated method."""
        return getattr(fn, SIGNAL, None)

    @staticmethod
    def must_name_from_fn_or_str(signal: str | Callable[..., Any]) -> str:
        """Name of the signal that a decorated method or a string stands for."""
        if isinstance(signal, str):
            return signal
        definition = _SignalDefinition.from_fn(signal)
        if definition is None:
            raise RuntimeError(f"Signal definition not found on {signal!r}, is it decorated with @workflow.signal?")
        if definition.name is None:
            raise RuntimeError("Cannot invoke dynamic signal definition; give the signal's name as a string")
        return definition.name

    @staticmethod
    def _make(
        fn: Any,
        name: str | None,
        dynamic: bool,
        description: str | None = None,
        policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
        *,
        is_method: bool = True,
    ) -> _SignalDefinition:
        signature = _handler_signature("Signal", fn, name, dynamic, bound=not is_method)
        handler_name = None if dynamic else name or fn.__name__
        return _SignalDefinition(handler_name, fn, is_method, signature, policy, description)


@dataclass(frozen=True)
class _QueryDefinition:
    """A query handler."""

    name: str | None
    """None: dynamic."""
    fn: Callable[..., Any]
    is_method: bool
    signature: Signature
    description: str | None = None

    @property
    def ret_type(self) -> Any:
        """Type hint of the answer, or None."""
        return self.signature.ret_type

    @staticmethod
    def from_fn(fn: Callable[..., Any]) -> _QueryDefinition | None:
        """The definition of a decorated method."""
        return getattr(fn, QUERY, None)

    @staticmethod
    def _make(
        fn: Any, name: str | None, dynamic: bool, description: str | None = None, *, is_method: bool = True
    ) -> _QueryDefinition:
        signature = _handler_signature("Query", fn, name, dynamic, bound=not is_method)
        return _QueryDefinition(None if dynamic else name or fn.__name__, fn, is_method, signature, description)


@dataclass
class _UpdateDefinition:
    """An update handler, and its validator if there is one."""

    name: str | None
    """None: dynamic."""
    fn: Callable[..., Any]
    is_method: bool
    """Whether `fn` and `validator` take the workflow object first."""
    signature: Signature
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON
    description: str | None = None
    validator: Callable[..., Any] | None = None

    @property
    def ret_type(self) -> Any:
        """Type hint of the answer, or None."""
        return self.signature.ret_type

    def set_validator(self, validator: Callable[..., Any]) -> None:
        """Give it its validator.

        Raises:
            ValueError: It is an `async def` function.
            RuntimeError: There is one already.
        """
        if inspect.iscoroutinefunction(validator):
            # Nobody awaits it, so that it would accept everything.
            raise ValueError(f"Update validator must not be an async function, as that of {self.name or 'the dynamic update'} is")
        if self.validator is not None:
            raise RuntimeError(f"Validator already set for update {self.name or '<dynamic>'}")
        self.validator = validator

    def validator_issue(self) -> str | None:
        """What is wrong with a validator that was marked in a class, if anything is."""
        if self.validator is None or _parameters(self.validator) == _parameters(self.fn):
            return None
        return (
            f"Update validator method {self.validator.__name__} parameters do not match update method "
            f"{self.fn.__name__} parameters"
        )

    @staticmethod
    def from_fn(fn: Callable[..., Any]) -> _UpdateDefinition | None:
        """The definition of a decorated method."""
        return getattr(fn, UPDATE, None)

    @staticmethod
    def get_name_and_result_type(update: str | Callable[..., Any]) -> tuple[str, Any]:
        """Name of the update that a decorated method or a string stands for, and type hint of its answer."""
        if isinstance(update, str):
            return update, None
        definition = _UpdateDefinition.from_fn(update)
        if definition is None:
            name = getattr(update, "__qualname__", repr(update))
            raise RuntimeError(f"Update definition not found on {name}, is it decorated with @workflow.update?")
        if definition.name is None:
            raise RuntimeError("Cannot invoke dynamic update definition; give the update's name as a string")
        return definition.name, definition.ret_type

    @staticmethod
    def _make(
        fn: Any,
        name: str | None,
        dynamic: bool,
        description: str | None = None,
        policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
        *,
        is_method: bool = True,
    ) -> _UpdateDefinition:
        signature = _handler_signature("Update", fn, name, dynamic, bound=not is_method)
        handler_name = None if dynamic else name or fn.__name__
        return _UpdateDefinition(handler_name, fn, is_method, signature, policy, description)


def _parameters(fn: Callable[..., Any]) -> list[tuple[Any, Any, Any]]:
    """What counts of a method's parameters when two shall take the same: not their names."""
    parameters = list(inspect.signature(fn).parameters.values())[1:]
    return [(parameter.kind, parameter.annotation, parameter.default) for parameter in parameters]


def find_handlers(cls: type[Any], attribute: str, kind: str, issues: list[str]) -> dict[str | None, Any]:
    """The handlers of a class, by name; appends what is wrong with them to `issues`."""
    found: dict[str | None, Any] = {}
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        definition = getattr(member, attribute, None)
        if definition is None:
            if not name.startswith("__") and any(hasattr(vars(b).get(name), attribute) for b in cls.__mro__[1:]):
                issues.append(f"@workflow.{kind} defined on a base class's {name} but not on the override")
            continue
        if definition.name in found:
            label = definition.name or "<dynamic>"
            other = found[definition.name].fn.__name__
            issues.append(f"Multiple {kind} methods found for {label} (at least on {name} and {other})")
        else:
            found[definition.name] = definition
    return found

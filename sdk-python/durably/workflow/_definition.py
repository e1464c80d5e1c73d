"""Decorators that make a class a workflow, and what they collect from it.

Everything is read once, when the class is defined: names, type hints, handlers. Nothing is inspected while it runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast, overload

from durably import common
from durably._signature import Signature, keyword_only_without_default, signature_of
from durably.workflow import _handlers
from durably.workflow._handlers import _QueryDefinition, _SignalDefinition, _UpdateDefinition

ClassType = TypeVar("ClassType", bound=type[Any])
CallableType = TypeVar("CallableType", bound=Callable[..., Any])
CallableAsyncType = TypeVar("CallableAsyncType", bound=Callable[..., Awaitable[Any]])

_RUN = "__durably_run"
_INIT = "__durably_init"
_WORKFLOW = "__durably_workflow_definition"


@overload
def defn(cls: ClassType) -> ClassType: ...


@overload
def defn(
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Callable[[ClassType], ClassType]: ...


def defn(
    cls: ClassType | None = None,
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Any:
    """Mark a class as a workflow. It needs exactly one method marked with `@workflow.run`.

    Args:
        cls: The class, when used without parentheses.
        name: Name of the workflow type. Default: the class's name.
        sandboxed: Accepted for compatibility. There is no re-importing sandbox here.
        dynamic: Run it for every workflow type that has no workflow of its own. `run` takes one
            `Sequence[common.RawValue]`.
        failure_exception_types: Exceptions that fail the workflow instead of the workflow task. `Exception` means all.

    Raises:
        ValueError: The class is not a proper workflow; the message lists every reason.
    """

    def decorate(cls: ClassType) -> ClassType:
        _Definition._apply_to_class(
            cls,
            name=None if dynamic else name or cls.__name__,
            failure_exception_types=tuple(failure_exception_types),
        )
        return cls

    if name is not None and dynamic:
        raise RuntimeError("Cannot provide name and dynamic boolean")
    return decorate if cls is None else decorate(cls)


def init(init_fn: CallableType) -> CallableType:
    """Give `__init__` the workflow's arguments. Its parameters must be those of the run method."""
    if init_fn.__name__ != "__init__":
        raise ValueError("@workflow.init may only be used on the __init__ method")
    setattr(init_fn, _INIT, True)
    return init_fn


def run(fn: CallableAsyncType) -> CallableAsyncType:
    """Mark the `async def` method that is the workflow."""
    if not inspect.iscoroutinefunction(fn):
        raise ValueError("Workflow run method must be an async function")
    keyword = keyword_only_without_default(fn)
    if keyword is not None:
        raise TypeError(f"Workflow run method cannot have keyword-only arguments, has {keyword!r}")
    setattr(fn, _RUN, True)
    return cast(CallableAsyncType, fn)


@dataclass(frozen=True)
class _Definition:
    """A workflow class as worker and client see it."""

    name: str | None
    """None: dynamic."""
    cls: type[Any]
    run_fn: Callable[..., Awaitable[Any]]
    signals: Mapping[str | None, _SignalDefinition]
    queries: Mapping[str | None, _QueryDefinition]
    updates: Mapping[str | None, _UpdateDefinition]
    failure_exception_types: tuple[type[BaseException], ...]
    signature: Signature
    init_with_args: bool = False

    @property
    def arg_types(self) -> list[Any]:
        """Type hints of the run method's parameters."""
        return list(self.signature.arg_types)

    @property
    def ret_type(self) -> Any:
        """Type hint of the result, or None."""
        return self.signature.ret_type

    @staticmethod
    def from_class(cls: type[Any]) -> _Definition | None:
        """The definition of a decorated class. A subclass needs a decorator of its own."""
        definition = vars(cls).get(_WORKFLOW) if isinstance(cls, type) else None
        return cast("_Definition | None", definition)

    @staticmethod
    def must_from_class(cls: type[Any]) -> _Definition:
        """As `from_class`, with an error that says what is missing."""
        definition = _Definition.from_class(cls)
        if definition is None:
            name = getattr(cls, "__qualname__", repr(cls))
            raise ValueError(f"Workflow {name} missing attributes, was it decorated with @workflow.defn?")
        return definition

    @staticmethod
    def from_run_fn(fn: Callable[..., Any]) -> _Definition | None:
        """The definition of the workflow whose run method this is."""
        return getattr(fn, _WORKFLOW, None)

    @staticmethod
    def must_from_run_fn(fn: Callable[..., Any]) -> _Definition:
        """As `from_run_fn`, with an error that says what is missing."""
        definition = _Definition.from_run_fn(fn)
        if definition is None:
            name = getattr(fn, "__qualname__", repr(fn))
            raise ValueError(
                f"Function {name} missing attributes, was it decorated with @workflow.run and was its class "
                "decorated with @workflow.defn?"
            )
        return definition

    @staticmethod
    def get_name_and_result_type(name_or_run_fn: str | Callable[..., Any]) -> tuple[str, Any]:
        """Name of the workflow type and type hint of its result, from a name or a run method."""
        if isinstance(name_or_run_fn, str):
            return name_or_run_fn, None
        if not callable(name_or_run_fn):
            raise TypeError("Workflow must be a string or callable")
        definition = _Definition.must_from_run_fn(name_or_run_fn)
        if definition.name is None:
            raise ValueError("Cannot invoke dynamic workflow explicitly; give the workflow type as a string")
        return definition.name, definition.ret_type

    @staticmethod
    def _apply_to_class(
        cls: type[Any], *, name: str | None, failure_exception_types: tuple[type[BaseException], ...]
    ) -> None:
        if _WORKFLOW in vars(cls):
            raise ValueError("Class already contains workflow definition")
        issues: list[str] = []
        run_fn = _find_run(cls, issues)
        signals = _handlers.find_handlers(cls, _handlers.SIGNAL, "signal", issues)
        queries = _handlers.find_handlers(cls, _handlers.QUERY, "query", issues)
        updates = _handlers.find_handlers(cls, _handlers.UPDATE, "update", issues)
        issues += filter(None, (update.validator_issue() for update in updates.values()))
        init_with_args = getattr(cls.__init__, _INIT, False) and _INIT in vars(cls.__init__)
        signature = None
        if run_fn is not None:
            signature = signature_of(run_fn, bound=False)
            if init_with_args and signature_of(cls.__init__, bound=False).arg_types != signature.arg_types:
                issues.append("@workflow.init and @workflow.run method parameters do not match")
            if name is None and signature.arg_types != (Sequence[common.RawValue],):
                issues.append("Dynamic workflow must accept a single Sequence[durably.common.RawValue]")
        if issues or run_fn is None or signature is None:
            plural = "reason" if len(issues) == 1 else "reasons"
            raise ValueError(f"Invalid workflow class for {len(issues)} {plural}: {', '.join(issues)}")
        definition = _Definition(
            name=name,
            cls=cls,
            run_fn=run_fn,
            signals=signals,
            queries=queries,
            updates=updates,
            failure_exception_types=failure_exception_types,
            signature=signature,
            init_with_args=bool(init_with_args),
        )
        setattr(cls, _WORKFLOW, definition)
        setattr(run_fn, _WORKFLOW, definition)


def _find_run(cls: type[Any], issues: list[str]) -> Any:
    found = None
    for name, member in vars(cls).items():
        if not hasattr(member, _RUN):
            continue
        if found is not None:
            issues.append(f"Multiple @workflow.run methods found (at least on {name} and {found.__name__})")
        else:
            found = member
    if found is not None:
        return found
    inherited = next((n for n in dir(cls) if hasattr(inspect.getattr_static(cls, n), _RUN)), None)
    if inherited is not None:
        issues.append(f"@workflow.run method {inherited} must be defined on {cls.__qualname__}, not on a base class")
    elif any(hasattr(vars(base).get(n), _RUN) for n in vars(cls) for base in cls.__mro__[1:]):
        issues.append("@workflow.run defined on a base class's method but not on the override")
    else:
        issues.append("Missing @workflow.run method")
    return None

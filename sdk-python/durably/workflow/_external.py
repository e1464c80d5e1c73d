"""Other workflows, as workflow code speaks to them: signals, and requests to end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, overload

from durably import _absent
from durably._arguments import UNSET, all_args
from durably.types import (
    MethodSyncOrAsyncNoParam,
    MethodSyncOrAsyncSingleParam,
    MultiParamSpec,
    ParamType,
    SelfType,
)
from durably.workflow._checks import check_type, no_such_attribute
from durably.workflow._handlers import _SignalDefinition
from durably.workflow._runtime import Runtime


class ExternalWorkflowHandle(Generic[SelfType]):
    """Another workflow, which need not exist. Made by `get_external_workflow_handle`."""

    def __init__(self, runtime: Runtime, workflow_id: str, run_id: str | None) -> None:
        self._runtime = runtime
        self._id = workflow_id
        self._run_id = run_id

    @property
    def id(self) -> str:
        """Its workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that is meant; None means the newest when a call arrives."""
        return self._run_id

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return no_such_attribute(self, name)

    @overload
    async def signal(self, signal: MethodSyncOrAsyncNoParam[SelfType, None]) -> None: ...

    @overload
    async def signal(
        self, signal: MethodSyncOrAsyncSingleParam[SelfType, ParamType, None], arg: ParamType
    ) -> None: ...

    @overload
    async def signal(
        self, signal: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[None] | None], *, args: Sequence[Any]
    ) -> None: ...

    @overload
    async def signal(self, signal: str, arg: Any = ..., *, args: Sequence[Any] = ...) -> None: ...

    async def signal(self, signal: Any, arg: Any = UNSET, *more: Any, args: Sequence[Any] = (), **absent: Any) -> None:
        """Send it a signal; returns when it has been delivered.

        Args:
            signal: The `@workflow.signal` method, or the signal's name.
            arg: Its argument.
            more: Further arguments.
            args: Its arguments, if there are several.
            absent: Options of Temporal's Python SDK that this release doesn't have.

        Raises:
            ApplicationError: There is no such workflow, or it has ended.
            CancelledError: The call was cancelled before the signal was sent.
        """
        _absent.refuse("ExternalWorkflowHandle.signal", absent)
        name, arguments = signal_and_args(signal, arg, more, args)
        await self._runtime.signal_external_workflow(name, arguments, self._id, self._run_id)

    async def cancel(self, *, reason: str = "", **absent: Any) -> None:
        """Ask it to end as cancelled; returns when the request has been delivered. Whether it ends is up to its code.

        Args:
            reason: What its `workflow.cancellation_reason` tells.
            absent: Options of Temporal's Python SDK that this release doesn't have.

        Raises:
            ApplicationError: There is no such workflow.
        """
        _absent.refuse("ExternalWorkflowHandle.cancel", absent)
        check_type("ExternalWorkflowHandle.cancel", "reason", reason, str, "a string")
        await self._runtime.cancel_external_workflow(self._id, self._run_id, reason)


def signal_and_args(signal: Any, arg: Any, more: Sequence[Any], args: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """A signal's name and its arguments, which must fit its handler, if that is known.

    Raises:
        TypeError: They don't, or `signal` is neither a string nor a method.
        RuntimeError: The method is not decorated.
        ValueError: The name is empty.
    """
    arguments = all_args((arg, *more), args)
    if isinstance(signal, str):
        if not signal:
            raise ValueError("signal: the signal's name must not be empty")
        return signal, arguments
    if not callable(signal):
        check_type("signal", "signal", signal, str, "a method with @workflow.signal, or a string")
    name = _SignalDefinition.must_name_from_fn_or_str(signal)
    definition = _SignalDefinition.from_fn(signal)
    problem = definition.signature.mismatch(len(arguments)) if definition is not None else None
    if problem is not None:
        raise TypeError(f"Signal {name} {problem}; give several arguments as args=[...]")
    return name, arguments


def get_external_workflow_handle(workflow_id: str, *, run_id: str | None = None) -> ExternalWorkflowHandle[Any]:
    """A handle on another workflow of this namespace; nobody is asked whether it exists.

    Args:
        workflow_id: Its workflow id.
        run_id: Restrict everything to this run. Default: the newest when a call arrives.
    """
    runtime = Runtime.current()
    call = "workflow.get_external_workflow_handle"
    check_type(call, "workflow_id", workflow_id, str, "a string")
    if not workflow_id:
        raise ValueError(f"{call}: workflow_id must not be empty")
    if run_id is not None:
        check_type(call, "run_id", run_id, str, "a string")
    return ExternalWorkflowHandle(runtime, workflow_id, run_id)


def get_external_workflow_handle_for(
    workflow: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[Any]],
    workflow_id: str,
    *,
    run_id: str | None = None,
) -> ExternalWorkflowHandle[SelfType]:
    """As `get_external_workflow_handle`, typed by the workflow's `@workflow.run` method, which is used for nothing else."""
    del workflow
    return get_external_workflow_handle(workflow_id, run_id=run_id)

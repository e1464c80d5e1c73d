"""Child workflows: started from workflow code, whose parent the workflow is.

A child is given as its class's `@workflow.run` method or as the name of its type. Its argument follows by position, several as
`args=[...]`; options are those of `ChildWorkflowConfig`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Concatenate, Generic, TypedDict, overload

from durably import _absent, common
from durably._arguments import UNSET, all_args
from durably.types import (
    MethodAsyncNoParam,
    MethodAsyncSingleParam,
    MethodSyncOrAsyncNoParam,
    MethodSyncOrAsyncSingleParam,
    MultiParamSpec,
    ParamType,
    ReturnType,
    SelfType,
)
from durably.workflow._activities import _AsyncioTask
from durably.workflow._checks import check_type, check_types, no_such_attribute
from durably.workflow._definition import _Definition
from durably.workflow._functions import uuid4
from durably.workflow._runtime import Runtime

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ChildWorkflowCancellationType(IntEnum):
    """What cancelling a child workflow means for the workflow that waits for it."""

    ABANDON = 0
    """Don't ask the child; the workflow goes on at once."""
    TRY_CANCEL = 1
    """Ask the child to end; the workflow goes on at once."""
    WAIT_CANCELLATION_COMPLETED = 2
    """Ask the child to end; the workflow goes on when it has, however it ends."""
    WAIT_CANCELLATION_REQUESTED = 3
    """The same: Temporal's core makes no difference between them, and its histories replay here."""


class ParentClosePolicy(IntEnum):
    """What happens to a child that is open when its parent ends, however that ends."""

    UNSPECIFIED = 0
    """The server's default: TERMINATE."""
    TERMINATE = 1
    ABANDON = 2
    """It goes on."""
    REQUEST_CANCEL = 3
    """It is asked to end as cancelled."""


class ChildWorkflowConfig(TypedDict, total=False):
    """Options of a child workflow. Time-outs are timedeltas or seconds; None, the default, means none."""

    id: str | None
    """Default: a UUID from the run's random generator."""
    task_queue: str | None
    """Default: the parent's."""
    cancellation_type: ChildWorkflowCancellationType
    """Default: WAIT_CANCELLATION_COMPLETED."""
    parent_close_policy: ParentClosePolicy
    """Default: TERMINATE."""
    execution_timeout: timedelta | float | None
    """Longest time for all runs of the child: retries, cron and continue-as-new included."""
    run_timeout: timedelta | float | None
    """Longest time for one run."""
    task_timeout: timedelta | float | None
    """Longest time for one workflow task. Default: the server's 10 s."""
    id_reuse_policy: common.WorkflowIDReusePolicy
    """When the id belongs to a closed workflow. Default: ALLOW_DUPLICATE."""
    retry_policy: common.RetryPolicy | None
    """Default: the child is not retried."""
    cron_schedule: str
    memo: Mapping[str, Any] | None
    """Values shown with the workflow, not indexed."""
    search_attributes: common.SearchAttributes | common.TypedSearchAttributes | None
    static_summary: str | None
    """One line for tools, Markdown."""
    static_details: str | None
    """More lines for tools, Markdown."""
    priority: common.Priority


class ChildWorkflowHandle(_AsyncioTask[ReturnType], Generic[SelfType, ReturnType]):
    """A child that has started. It is an `asyncio.Task`: await it for the result, `cancel()` it."""

    @property
    def id(self) -> str:
        """The child's workflow id."""
        raise NotImplementedError

    @property
    def first_execution_run_id(self) -> str | None:
        """The child's first run, if it continues as new or is retried."""
        raise NotImplementedError

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
        """Send the child a signal; returns when it has been delivered.

        Args:
            signal: The `@workflow.signal` method, or the signal's name.
            arg: Its argument.
            more: Further arguments.
            args: Its arguments, if there are several.
            absent: Options of Temporal's Python SDK that this release doesn't have.

        Raises:
            ApplicationError: The child has ended.
            CancelledError: The call was cancelled before the signal was sent.
        """
        raise NotImplementedError


@dataclass
class ChildWorkflowOptions:
    """A start as the runtime gets it."""

    name: str
    args: Sequence[Any]
    ret_type: Any
    id: str
    task_queue: str | None
    cancellation_type: ChildWorkflowCancellationType
    parent_close_policy: ParentClosePolicy
    execution_timeout: timedelta | float | None
    run_timeout: timedelta | float | None
    task_timeout: timedelta | float | None
    id_reuse_policy: common.WorkflowIDReusePolicy
    retry_policy: common.RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: common.SearchAttributes | common.TypedSearchAttributes | None
    static_summary: str | None
    static_details: str | None
    priority: common.Priority
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Payloads that travel with the call, for the chains on the other side."""


_TYPES: Mapping[str, tuple[Any, str]] = {
    "id": (str, "a string"),
    "task_queue": (str, "a string"),
    "cancellation_type": (ChildWorkflowCancellationType, "a workflow.ChildWorkflowCancellationType"),
    "parent_close_policy": (ParentClosePolicy, "a workflow.ParentClosePolicy"),
    "id_reuse_policy": (common.WorkflowIDReusePolicy, "a common.WorkflowIDReusePolicy"),
    "retry_policy": (common.RetryPolicy, "a common.RetryPolicy"),
    "cron_schedule": (str, "a string"),
    "memo": (Mapping, "a mapping from names to values"),
    "search_attributes": ((Mapping, common.TypedSearchAttributes), "common.TypedSearchAttributes"),
    "static_summary": (str, "a string"),
    "static_details": (str, "a string"),
    "priority": (common.Priority, "a common.Priority"),
}
_OPTIONAL = frozenset(
    {"id", "task_queue", "retry_policy", "memo", "search_attributes", "static_summary", "static_details"}
)


async def _start(
    workflow: Any,
    arguments: Sequence[Any],
    *,
    id: str | None = None,
    task_queue: str | None = None,
    result_type: Any = None,
    cancellation_type: ChildWorkflowCancellationType = ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    parent_close_policy: ParentClosePolicy = ParentClosePolicy.TERMINATE,
    execution_timeout: timedelta | float | None = None,
    run_timeout: timedelta | float | None = None,
    task_timeout: timedelta | float | None = None,
    id_reuse_policy: common.WorkflowIDReusePolicy = common.WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    retry_policy: common.RetryPolicy | None = None,
    cron_schedule: str = "",
    memo: Mapping[str, Any] | None = None,
    search_attributes: common.SearchAttributes | common.TypedSearchAttributes | None = None,
    static_summary: str | None = None,
    static_details: str | None = None,
    priority: common.Priority = common.Priority.default,
    **absent: Any,
) -> ChildWorkflowHandle[Any, Any]:
    """What every public function here comes down to. Raises before anything is sent."""
    runtime = Runtime.current()
    _absent.refuse("workflow.start_child_workflow", absent)
    name, ret_type = _name_and_result_type(workflow, arguments)
    options = ChildWorkflowOptions(
        name=name,
        args=arguments,
        ret_type=result_type or ret_type,
        id=id or "",
        task_queue=task_queue,
        cancellation_type=cancellation_type,
        parent_close_policy=parent_close_policy,
        execution_timeout=execution_timeout,
        run_timeout=run_timeout,
        task_timeout=task_timeout,
        id_reuse_policy=id_reuse_policy,
        retry_policy=retry_policy,
        cron_schedule=cron_schedule,
        memo=memo,
        search_attributes=search_attributes,
        static_summary=static_summary,
        static_details=static_details,
        priority=priority,
    )
    check_types("workflow.start_child_workflow", vars(options), _TYPES, _OPTIONAL)
    Runtime.current().check_writable("start child workflow")
    if not options.id:
        options.id = str(uuid4())
    return await runtime.start_child_workflow(options)


def _name_and_result_type(workflow: Any, arguments: Sequence[Any]) -> tuple[str, Any]:
    """Of the child; the arguments must fit it, if that is known."""
    if isinstance(workflow, str):
        if not workflow:
            raise ValueError("workflow.start_child_workflow: the workflow type must not be empty")
        return workflow, None
    if not callable(workflow):
        check_type("workflow.start_child_workflow", "workflow", workflow, str, "a method with @workflow.run, or a string")
    definition = _Definition.must_from_run_fn(workflow)
    if definition.name is None:
        raise ValueError("Cannot invoke dynamic workflow explicitly; give the workflow type as a string")
    problem = definition.signature.mismatch(len(arguments))
    if problem is not None:
        raise TypeError(f"Workflow {definition.name} {problem}; give several arguments as args=[...]")
    return definition.name, definition.ret_type


@overload
async def start_child_workflow(
    workflow: MethodAsyncNoParam[SelfType, ReturnType], **options: Unpack[ChildWorkflowConfig]
) -> ChildWorkflowHandle[SelfType, ReturnType]: ...
@overload
async def start_child_workflow(
    workflow: MethodAsyncSingleParam[SelfType, ParamType, ReturnType],
    arg: ParamType,
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[SelfType, ReturnType]: ...
@overload
async def start_child_workflow(
    workflow: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]],
    *,
    args: Sequence[Any],
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[SelfType, ReturnType]: ...
@overload
async def start_child_workflow(
    workflow: str,
    arg: Any = ...,
    *,
    args: Sequence[Any] = ...,
    result_type: type[ReturnType],
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[Any, ReturnType]: ...
@overload
async def start_child_workflow(
    workflow: str, arg: Any = ..., *, args: Sequence[Any] = ..., **options: Unpack[ChildWorkflowConfig]
) -> ChildWorkflowHandle[Any, Any]: ...
async def start_child_workflow(
    workflow: Any, arg: Any = UNSET, *more: Any, args: Sequence[Any] = (), **options: Any
) -> ChildWorkflowHandle[Any, Any]:
    """Start a child workflow; returns its handle when it has started.

    Args:
        workflow: The child's `@workflow.run` method, or the name of its type.
        arg: Its argument.
        more: Further arguments.
        args: Its arguments, if there are several.
        options: See `ChildWorkflowConfig`; `result_type=` decodes the result of a child given by name.

    Raises:
        WorkflowAlreadyStartedError: The id is taken.
        ChildWorkflowError: The call was cancelled before the child was started; its `cause` is a `CancelledError`.
        TypeError: The method is no workflow, or takes other arguments; or an option has a wrong type.
    """
    return await _start(workflow, all_args((arg, *more), args), **options)


@overload
async def execute_child_workflow(
    workflow: MethodAsyncNoParam[SelfType, ReturnType], **options: Unpack[ChildWorkflowConfig]
) -> ReturnType: ...
@overload
async def execute_child_workflow(
    workflow: MethodAsyncSingleParam[SelfType, ParamType, ReturnType],
    arg: ParamType,
    **options: Unpack[ChildWorkflowConfig],
) -> ReturnType: ...
@overload
async def execute_child_workflow(
    workflow: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]],
    *,
    args: Sequence[Any],
    **options: Unpack[ChildWorkflowConfig],
) -> ReturnType: ...
@overload
async def execute_child_workflow(
    workflow: str,
    arg: Any = ...,
    *,
    args: Sequence[Any] = ...,
    result_type: type[ReturnType],
    **options: Unpack[ChildWorkflowConfig],
) -> ReturnType: ...
@overload
async def execute_child_workflow(
    workflow: str, arg: Any = ..., *, args: Sequence[Any] = ..., **options: Unpack[ChildWorkflowConfig]
) -> Any: ...
async def execute_child_workflow(
    workflow: Any, arg: Any = UNSET, *more: Any, args: Sequence[Any] = (), **options: Any
) -> Any:
    """Start a child workflow and wait for its result. Arguments as of `start_child_workflow`.

    Raises:
        ChildWorkflowError: The child failed, timed out, or was cancelled or terminated; its `cause` says which.
        WorkflowAlreadyStartedError: The id is taken.
    """
    return await (await _start(workflow, all_args((arg, *more), args), **options))

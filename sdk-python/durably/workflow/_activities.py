"""Starting activities from workflow code.

Each function takes the activity as decorated function, as method, as callable class or as name. Arguments follow by
position or as `args=[...]`; options are those of `ActivityConfig`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypedDict, TypeVar, overload

from durably import activity as activity_module
from durably import _absent, common
from durably._arguments import all_args
from durably.workflow._runtime import Runtime

if TYPE_CHECKING:
    from typing_extensions import Unpack

R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
P = ParamSpec("P")


class ActivityCancellationType(IntEnum):
    """What cancelling an activity means for the workflow that waits for it."""

    TRY_CANCEL = 0
    """Ask the activity to stop; the workflow goes on at once."""
    WAIT_CANCELLATION_COMPLETED = 1
    """Ask the activity to stop; the workflow goes on when it has."""
    ABANDON = 2
    """Don't ask; the workflow goes on at once."""


class ActivityConfig(TypedDict, total=False):
    """Options of an activity. Each has at least `start_to_close_timeout` or `schedule_to_close_timeout`."""

    task_queue: str | None
    """Default: the workflow's."""
    schedule_to_close_timeout: timedelta | float | None
    """From scheduling to the end of the last attempt."""
    schedule_to_start_timeout: timedelta | float | None
    """Wait for a worker. Not retried."""
    start_to_close_timeout: timedelta | float | None
    """One attempt."""
    heartbeat_timeout: timedelta | float | None
    """Longest silence of a running attempt."""
    retry_policy: common.RetryPolicy | None
    """Default: the server's, without end."""
    cancellation_type: ActivityCancellationType
    """Default: TRY_CANCEL."""
    activity_id: str | None
    """Default: a number. Best left alone."""
    summary: str | None
    """One line shown by tools."""
    priority: common.Priority


if TYPE_CHECKING:
    _AsyncioTask = asyncio.Task
else:
    # asyncio.Task is generic for type checkers only.
    class _AsyncioTask(Generic[R], asyncio.Task):
        pass


class ActivityHandle(_AsyncioTask[R]):
    """A started activity. It is an `asyncio.Task`: await it for the result, `cancel()` it."""


@dataclass
class ActivityOptions:
    """A start as the runtime gets it."""

    name: str
    args: Sequence[Any]
    ret_type: Any
    task_queue: str | None
    schedule_to_close_timeout: timedelta | float | None
    schedule_to_start_timeout: timedelta | float | None
    start_to_close_timeout: timedelta | float | None
    heartbeat_timeout: timedelta | float | None
    retry_policy: common.RetryPolicy | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    summary: str | None
    priority: common.Priority
    disable_eager_execution: bool = False


def _start(
    activity: Any,
    arg: Sequence[Any],
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    result_type: Any = None,
    schedule_to_close_timeout: timedelta | float | None = None,
    schedule_to_start_timeout: timedelta | float | None = None,
    start_to_close_timeout: timedelta | float | None = None,
    heartbeat_timeout: timedelta | float | None = None,
    retry_policy: common.RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    priority: common.Priority = common.Priority.default,
    **absent: Any,
) -> ActivityHandle[Any]:
    """What every public function here comes down to. Raises before anything is scheduled."""
    _absent.refuse("workflow.start_activity", absent)
    arguments = all_args(arg, args)
    if isinstance(activity, str):
        name, ret_type = activity, result_type
    elif callable(activity):
        definition = activity_module._Definition.must_from_callable(activity)
        if definition.name is None:
            raise ValueError("Cannot invoke dynamic activity explicitly; give the activity type as a string")
        name, ret_type = definition.name, result_type or definition.ret_type
        problem = definition.signature.mismatch(len(arguments))
        if problem is not None:
            raise TypeError(f"Activity {name} {problem}; give several arguments one after the other or as args=[...]")
    else:
        raise TypeError(f"Activity must be a string or callable, got {type(activity).__name__}")
    if start_to_close_timeout is None and schedule_to_close_timeout is None:
        raise ValueError(
            "Activity must have start_to_close_timeout or schedule_to_close_timeout: add for example "
            f"start_to_close_timeout=timedelta(seconds=30) to the call of {name}"
        )
    return Runtime.current().start_activity(
        ActivityOptions(
            name=name,
            args=arguments,
            ret_type=ret_type,
            task_queue=task_queue,
            schedule_to_close_timeout=schedule_to_close_timeout,
            schedule_to_start_timeout=schedule_to_start_timeout,
            start_to_close_timeout=start_to_close_timeout,
            heartbeat_timeout=heartbeat_timeout,
            retry_policy=retry_policy,
            cancellation_type=cancellation_type,
            activity_id=activity_id,
            summary=summary,
            priority=priority,
        )
    )


# Overloads: by arity for functions with typed arguments, then by name. An `async def` activity and a plain one give the
# same result type, so that the awaitable comes first.


@overload
def start_activity(activity: Callable[[], Awaitable[R]], **options: Unpack[ActivityConfig]) -> ActivityHandle[R]: ...
@overload
def start_activity(activity: Callable[[], R], **options: Unpack[ActivityConfig]) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[[A], Awaitable[R]], arg: A, /, **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity(activity: Callable[[A], R], arg: A, /, **options: Unpack[ActivityConfig]) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[[A, B], Awaitable[R]], arg: A, arg2: B, /, **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[[A, B], R], arg: A, arg2: B, /, **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[[A, B, C], Awaitable[R]], arg: A, arg2: B, arg3: C, /, **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[[A, B, C], R], arg: A, arg2: B, arg3: C, /, **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[..., Awaitable[R]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[..., R], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: str, *arg: Any, args: Sequence[Any] = (), result_type: type[R], **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: str, *arg: Any, args: Sequence[Any] = (), **options: Unpack[ActivityConfig]
) -> ActivityHandle[Any]: ...
def start_activity(activity: Any, *arg: Any, **options: Any) -> ActivityHandle[Any]:
    """Start an activity and return its handle at once.

    Args:
        activity: A function decorated with `@activity.defn`, or the name of an activity type.
        arg: The activity's arguments, or `args=[...]`.
        options: See `ActivityConfig`; `result_type=` decodes the result of an activity given by name.

    Raises:
        ValueError: Neither `start_to_close_timeout` nor `schedule_to_close_timeout` is given.
        TypeError: The function is no activity, or takes other arguments.
    """
    return _start(activity, arg, **options)


@overload
async def execute_activity(activity: Callable[[], Awaitable[R]], **options: Unpack[ActivityConfig]) -> R: ...
@overload
async def execute_activity(activity: Callable[[], R], **options: Unpack[ActivityConfig]) -> R: ...
@overload
async def execute_activity(
    activity: Callable[[A], Awaitable[R]], arg: A, /, **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity(activity: Callable[[A], R], arg: A, /, **options: Unpack[ActivityConfig]) -> R: ...
@overload
async def execute_activity(
    activity: Callable[[A, B], Awaitable[R]], arg: A, arg2: B, /, **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity(
    activity: Callable[[A, B], R], arg: A, arg2: B, /, **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity(
    activity: Callable[[A, B, C], Awaitable[R]], arg: A, arg2: B, arg3: C, /, **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity(
    activity: Callable[[A, B, C], R], arg: A, arg2: B, arg3: C, /, **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity(
    activity: Callable[..., Awaitable[R]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity(
    activity: Callable[..., R], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity(
    activity: str, *arg: Any, args: Sequence[Any] = (), result_type: type[R], **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity(
    activity: str, *arg: Any, args: Sequence[Any] = (), **options: Unpack[ActivityConfig]
) -> Any: ...
async def execute_activity(activity: Any, *arg: Any, **options: Any) -> Any:
    """Start an activity and wait for its result. Arguments as of `start_activity`.

    Raises:
        ActivityError: The activity failed for good, timed out or was cancelled; its `cause` says which.
    """
    return await _start(activity, arg, **options)


@overload
def start_activity_method(
    activity: Callable[Concatenate[Any, P], Awaitable[R]], *arg: Any, **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity_method(
    activity: Callable[Concatenate[Any, P], R], *arg: Any, **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity_method(
    activity: Callable[Concatenate[Any, P], Awaitable[R]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
@overload
def start_activity_method(
    activity: Callable[Concatenate[Any, P], R], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ActivityHandle[R]: ...
def start_activity_method(activity: Any, *arg: Any, **options: Any) -> ActivityHandle[Any]:
    """`start_activity` for a method named through its class: `start_activity_method(Payments.charge, order, …)`."""
    return _start(activity, arg, **options)


@overload
async def execute_activity_method(
    activity: Callable[Concatenate[Any, P], Awaitable[R]], *arg: Any, **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity_method(
    activity: Callable[Concatenate[Any, P], R], *arg: Any, **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity_method(
    activity: Callable[Concatenate[Any, P], Awaitable[R]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> R: ...
@overload
async def execute_activity_method(
    activity: Callable[Concatenate[Any, P], R], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> R: ...
async def execute_activity_method(activity: Any, *arg: Any, **options: Any) -> Any:
    """`execute_activity` for a method named through its class: `execute_activity_method(Payments.charge, order, …)`."""
    return await _start(activity, arg, **options)


def start_activity_class(activity: type[Callable[..., Any]], *arg: Any, **options: Any) -> ActivityHandle[Any]:
    """`start_activity` for a class with `__call__` that is decorated with `@activity.defn`."""
    return _start(activity, arg, **options)


async def execute_activity_class(activity: type[Callable[..., Any]], *arg: Any, **options: Any) -> Any:
    """`execute_activity` for a class with `__call__` that is decorated with `@activity.defn`."""
    return await _start(activity, arg, **options)

"""The functions that workflow code calls."""

from __future__ import annotations

import random as _random
import uuid as _uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn

from durably import _absent, common, converter
from durably._arguments import UNSET, all_args
from durably.api.time import as_timedelta
from durably.workflow._runtime import Info, Runtime, UpdateInfo, current_update

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def in_workflow() -> bool:
    """Whether the caller is workflow code."""
    return Runtime.maybe_current() is not None


def info() -> Info:
    """What is known about the run."""
    return Runtime.current().info()


def current_update_info() -> UpdateInfo | None:
    """The update on whose behalf the caller runs: in its handler and validator, and in tasks that these start. None elsewhere."""
    return current_update.get()


def instance() -> Any:
    """The workflow object."""
    return Runtime.current().instance


def now() -> datetime:
    """Deterministic time, aware and in UTC: when the current workflow task started."""
    return _EPOCH + timedelta(microseconds=Runtime.current().time_ns // 1000)


def time() -> float:
    """`now` as seconds since the epoch."""
    return Runtime.current().time_ns / 1e9


def time_ns() -> int:
    """`now` as nanoseconds since the epoch."""
    return Runtime.current().time_ns


def random() -> _random.Random:
    """The run's random generator. Deterministic, so never use it for secrets."""
    return _writable_random()


def _writable_random() -> _random.Random:
    # A number drawn for a query, or for an update that is then turned away, would be missing in a replay.
    runtime = Runtime.current()
    runtime.check_writable("random")
    return runtime.random


def random_seed() -> int:
    """The seed that the server's history gave this run."""
    return Runtime.current().random_seed  # type: ignore[attr-defined, no-any-return]


def new_random(name: str | None = None) -> _random.Random:
    """Another generator, seeded from the run's."""
    _absent.refuse("workflow.new_random", {"name": name})
    return _random.Random(_writable_random().getrandbits(64))


def uuid4() -> _uuid.UUID:
    """A version 4 UUID from the run's random generator."""
    return _uuid.UUID(bytes=_writable_random().getrandbits(16 * 8).to_bytes(16, "big"), version=4)


async def sleep(duration: float | timedelta, *, summary: str | None = None, **absent: Any) -> None:
    """Sleep with a durable timer, which survives restarts and takes as long as it says: years, if need be.

    Args:
        duration: Seconds or timedelta.
        summary: One line shown by tools.
    """
    _absent.refuse("workflow.sleep", absent)
    await Runtime.current().sleep(_seconds(duration), summary)


async def wait_condition(
    fn: Callable[[], bool],
    *,
    timeout: timedelta | float | None = None,
    timeout_summary: str | None = None,
    **absent: Any,
) -> None:
    """Wait until `fn()` is true. It is asked again whenever something happened in the workflow.

    Args:
        fn: Reads the workflow's state; changes nothing.
        timeout: Seconds or timedelta, as a durable timer. Default: none.
        timeout_summary: One line shown by tools for that timer.

    Raises:
        asyncio.TimeoutError: The time-out has passed. Uncaught, it fails the workflow.
    """
    _absent.refuse("workflow.wait_condition", absent)
    await Runtime.current().wait_condition(fn, None if timeout is None else _seconds(timeout), timeout_summary)


def _seconds(duration: float | timedelta) -> float:
    return as_timedelta(duration).total_seconds()


def continue_as_new(
    *arg: Any,
    args: Sequence[Any] = (),
    workflow: Callable[..., Any] | str | None = None,
    task_queue: str | None = None,
    run_timeout: timedelta | float | None = None,
    task_timeout: timedelta | float | None = None,
    retry_policy: common.RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,
    search_attributes: common.SearchAttributes | common.TypedSearchAttributes | None = None,
    **absent: None,
) -> NoReturn:
    """End this run and start the next one, with an empty history and these arguments.

    Args:
        arg: Arguments of the next run, or `args=[...]`.
        workflow: Run method or name of another workflow type. Default: the same.
        task_queue: Default: the same; so for the others that are left out.
        run_timeout: Of the next run.
        task_timeout: Of each workflow task of the next run.
        retry_policy: Of the next run.
        memo: Replaces the memo.
        search_attributes: Replace the search attributes.
        absent: Options of Temporal's Python SDK that this release doesn't have.

    Raises:
        ContinueAsNewError: Always; let it pass.
    """
    _absent.refuse("workflow.continue_as_new", absent)
    raise Runtime.current().continue_as_new(
        args=all_args(arg, args),
        workflow=workflow,
        task_queue=task_queue,
        run_timeout=run_timeout,
        task_timeout=task_timeout,
        retry_policy=retry_policy,
        memo=memo,
        search_attributes=search_attributes,
    )


def memo() -> Mapping[str, Any]:
    """The memo's values, decoded without type hints."""
    return Runtime.current().memo()


def memo_value(key: str, default: Any = UNSET, *, type_hint: Any = None) -> Any:
    """One value of the memo.

    Args:
        key: Name of the value.
        default: Returned if there is none.
        type_hint: Type to decode to.

    Raises:
        KeyError: There is none, and no default.
    """
    try:
        return Runtime.current().memo_value(key, type_hint)
    except KeyError:
        if default is UNSET:
            raise KeyError(f"Memo does not have a value for key {key}") from None
        return default


def payload_converter() -> converter.PayloadConverter:
    """The worker's payload converter."""
    return Runtime.current().payload_converter


def has_last_completion_result() -> bool:
    """Whether the previous run of this cron workflow returned something."""
    return Runtime.current().has_last_completion_result()


def get_last_completion_result(type_hint: Any = None) -> Any | None:
    """What the previous run of this cron workflow returned, or None."""
    return Runtime.current().last_completion_result(type_hint)


def get_last_failure() -> BaseException | None:
    """How the previous run or attempt of this workflow failed, or None."""
    return Runtime.current().last_failure()


def cancellation_reason() -> str | None:
    """Why the workflow's cancellation was requested; None if it wasn't."""
    return Runtime.current().cancel_reason


def get_current_details() -> str:
    """What `set_current_details` was last given."""
    return Runtime.current().current_details


def set_current_details(description: str) -> None:
    """Text about the run's present state, in Markdown, for tools."""
    runtime = Runtime.current()
    runtime.check_writable("set current details")
    runtime.current_details = description


def all_handlers_finished() -> bool:
    """Whether no signal or update handler is running. Await it with `wait_condition` before the workflow ends."""
    return Runtime.current().all_handlers_finished()


def is_failure_exception(err: BaseException) -> bool:
    """Whether the exception, if it left the workflow, would fail it rather than its task."""
    return Runtime.current().is_failure_exception(err)


def get_signal_handler(name: str) -> Callable[..., Any] | None:
    """The handler of the signal, bound to the workflow object, or None."""
    return Runtime.current().get_handler("signal", name)


def set_signal_handler(name: str, handler: Callable[..., Any] | None) -> None:
    """Set or remove (None) the handler of a signal. Signals that waited for it are delivered at once."""
    Runtime.current().set_handler("signal", name, handler)


def get_dynamic_signal_handler() -> Callable[..., Any] | None:
    """The handler of signals without a handler of their own, or None."""
    return Runtime.current().get_handler("signal", None)


def set_dynamic_signal_handler(handler: Callable[..., Any] | None) -> None:
    """Set or remove (None) the handler `(name: str, args: Sequence[RawValue])` of all other signals."""
    Runtime.current().set_handler("signal", None, handler)


def get_query_handler(name: str) -> Callable[..., Any] | None:
    """The handler of the query, bound to the workflow object, or None."""
    return Runtime.current().get_handler("query", name)


def set_query_handler(name: str, handler: Callable[..., Any] | None) -> None:
    """Set or remove (None) the handler of a query."""
    Runtime.current().set_handler("query", name, handler)


def get_dynamic_query_handler() -> Callable[..., Any] | None:
    """The handler of queries without a handler of their own, or None."""
    return Runtime.current().get_handler("query", None)


def set_dynamic_query_handler(handler: Callable[..., Any] | None) -> None:
    """Set or remove (None) the handler `(name: str, args: Sequence[RawValue])` of all other queries."""
    Runtime.current().set_handler("query", None, handler)


def get_update_handler(name: str) -> Callable[..., Any] | None:
    """The handler of the update, bound to the workflow object, or None."""
    return Runtime.current().get_handler("update", name)


def set_update_handler(
    name: str, handler: Callable[..., Any] | None, *, validator: Callable[..., Any] | None = None
) -> None:
    """Set or remove (None) the handler of an update.

    Args:
        name: Name of the update.
        handler: Takes the update's arguments and returns its answer.
        validator: Takes the same; what it raises turns the update away. Default: all are accepted.

    Raises:
        ValueError: The validator is an `async def` function.
    """
    Runtime.current().set_handler("update", name, handler, validator)


def get_dynamic_update_handler() -> Callable[..., Any] | None:
    """The handler of updates without a handler of their own, or None."""
    return Runtime.current().get_handler("update", None)


def set_dynamic_update_handler(
    handler: Callable[..., Any] | None, *, validator: Callable[..., Any] | None = None
) -> None:
    """Set or remove (None) the handler `(name: str, args: Sequence[RawValue])` of all other updates, and their validator."""
    Runtime.current().set_handler("update", None, handler, validator)


class unsafe:
    """What workflow code should rarely need."""

    def __init__(self) -> None:
        raise NotImplementedError

    @staticmethod
    def is_replaying() -> bool:
        """Whether the current workflow task is a replay. Never let commands depend on it."""
        return Runtime.current().is_replaying

    @staticmethod
    def is_replaying_history_events() -> bool:
        """As `is_replaying`, but false while a query is answered or an update validated."""
        runtime = Runtime.current()
        return runtime.is_replaying and not runtime.read_only

    @staticmethod
    def is_read_only() -> bool:
        """Whether a query is being answered or an update validated."""
        return Runtime.current().read_only

    @staticmethod
    def in_sandbox() -> bool:
        """False: there is no re-importing sandbox here."""
        return False

    @staticmethod
    def is_sandbox_unrestricted() -> bool:
        """Whether `sandbox_unrestricted` is in effect."""
        runtime = Runtime.current()
        value = runtime.set_deterministic(True)
        runtime.set_deterministic(value)
        return not value

    @staticmethod
    @contextmanager
    def sandbox_unrestricted() -> Iterator[None]:
        """Real time, real randomness and real I/O while this context is open. Don't await inside."""
        runtime = Runtime.maybe_current()
        if runtime is None:
            yield None
            return
        before = runtime.set_deterministic(False)
        try:
            yield None
        finally:
            runtime.set_deterministic(before)

    @staticmethod
    def is_imports_passed_through() -> bool:
        """True: modules are never imported a second time."""
        return True

    @staticmethod
    @contextmanager
    def imports_passed_through() -> Iterator[None]:
        """No effect: modules are never imported a second time. For compatibility."""
        yield None

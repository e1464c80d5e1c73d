"""What workflow code can ask of the run it belongs to.

`Runtime` is implemented by the worker (`durably.worker._workflow_instance`). The running event loop leads to it, so
that no context variable has to be kept, and code outside a workflow finds none.
"""

from __future__ import annotations

import asyncio
import contextvars
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from durably import _absent, common, converter

if TYPE_CHECKING:
    from durably.workflow._activities import ActivityHandle, ActivityOptions
    from durably.workflow._children import ChildWorkflowHandle, ChildWorkflowOptions

_get_running_loop = asyncio._get_running_loop


@dataclass(frozen=True)
class ParentInfo:
    """The workflow that started this one as its child."""

    namespace: str
    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class RootInfo:
    """The workflow at the top of the chain of parents."""

    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class UpdateInfo:
    """An update that is being handled."""

    id: str
    """Its id, unique within the run."""
    name: str
    """Name of the update."""

    @property
    def _logger_details(self) -> Mapping[str, Any]:
        return {"update_id": self.id, "update_name": self.name}


current_update: contextvars.ContextVar[UpdateInfo | None] = contextvars.ContextVar("durably_current_update", default=None)
"""The update on whose behalf code runs: its validator, its handler, and tasks that these start."""


@dataclass(frozen=True)
class Info:
    """What is known about the run. The methods answer for the current workflow task."""

    attempt: int
    """Starts at 1; grows with retries of the workflow."""
    continued_run_id: str | None
    cron_schedule: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    headers: Mapping[str, Any]
    namespace: str
    original_execution_run_id: str
    parent: ParentInfo | None
    root: RootInfo | None
    priority: common.Priority
    raw_memo: Mapping[str, Any]
    """Payloads; `workflow.memo` has the values."""
    retry_policy: common.RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    search_attributes: common.SearchAttributes
    start_time: datetime
    """When the first workflow task started."""
    task_queue: str
    task_timeout: timedelta
    typed_search_attributes: common.TypedSearchAttributes
    workflow_id: str
    workflow_start_time: datetime
    """When the workflow was started on the server."""
    workflow_type: str

    def _logger_details(self) -> Mapping[str, Any]:
        return {
            "attempt": self.attempt,
            "namespace": self.namespace,
            "run_id": self.run_id,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_type": self.workflow_type,
        }

    def get_current_build_id(self) -> str:
        """Build id of the worker that ran the current workflow task; empty if it has none."""
        return Runtime.current().build_id()

    def get_current_history_length(self) -> int:
        """Events in the history up to the current workflow task."""
        return Runtime.current().history_length

    def get_current_history_size(self) -> int:
        """Size of the history up to the current workflow task, in bytes."""
        return Runtime.current().history_size

    def is_continue_as_new_suggested(self) -> bool:
        """Whether the server finds the history long enough to continue as new."""
        return Runtime.current().continue_as_new_suggested

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return _absent.getter("workflow.Info", _absent.WORKFLOW_INFO)(name)


class Runtime(ABC):
    """One run, as its code sees it."""

    history_length: int
    history_size: int
    continue_as_new_suggested: bool
    is_replaying: bool
    read_only: bool
    time_ns: int
    random: Random
    payload_converter: converter.PayloadConverter
    cancel_reason: str | None
    current_details: str
    instance: Any

    @staticmethod
    def current() -> Runtime:
        """The run that the caller belongs to."""
        runtime = Runtime.maybe_current()
        if runtime is None:
            raise _NotInWorkflowEventLoopError("Not in workflow event loop; this works only inside workflow code")
        return runtime

    @staticmethod
    def maybe_current() -> Runtime | None:
        """The run that the caller belongs to, or None outside a workflow."""
        return getattr(_get_running_loop(), "runtime", None)

    @abstractmethod
    def info(self) -> Info: ...

    @abstractmethod
    def build_id(self) -> str: ...

    @abstractmethod
    def memo(self) -> Mapping[str, Any]: ...

    @abstractmethod
    def memo_value(self, key: str, type_hint: Any) -> Any: ...

    @abstractmethod
    def last_completion_result(self, type_hint: Any) -> Any: ...

    @abstractmethod
    def has_last_completion_result(self) -> bool: ...

    @abstractmethod
    def last_failure(self) -> BaseException | None: ...

    @abstractmethod
    def start_activity(self, options: ActivityOptions) -> ActivityHandle[Any]: ...

    @abstractmethod
    async def start_child_workflow(self, options: ChildWorkflowOptions) -> ChildWorkflowHandle[Any, Any]: ...

    @abstractmethod
    async def signal_external_workflow(
        self, signal: str, args: Sequence[Any], workflow_id: str, run_id: str | None
    ) -> None: ...

    @abstractmethod
    async def cancel_external_workflow(self, workflow_id: str, run_id: str | None, reason: str) -> None: ...

    @abstractmethod
    async def sleep(self, seconds: float, summary: str | None) -> None: ...

    @abstractmethod
    async def wait_condition(
        self, fn: Callable[[], bool], timeout: float | None, timeout_summary: str | None
    ) -> None: ...

    @abstractmethod
    def continue_as_new(self, **options: Any) -> Any: ...

    @abstractmethod
    def get_handler(self, kind: str, name: str | None) -> Callable[..., Any] | None: ...

    @abstractmethod
    def set_handler(
        self,
        kind: str,
        name: str | None,
        handler: Callable[..., Any] | None,
        validator: Callable[..., Any] | None = None,
    ) -> None: ...

    @abstractmethod
    def all_handlers_finished(self) -> bool: ...

    @abstractmethod
    def is_failure_exception(self, error: BaseException) -> bool: ...

    @abstractmethod
    def set_deterministic(self, value: bool) -> bool:
        """Switch deterministic answers and the I/O guard on or off; returns what it was."""

    @abstractmethod
    def check_writable(self, action: str) -> None:
        """Raise `ReadOnlyContextError` inside a query handler or a validator."""


class _NotInWorkflowEventLoopError(RuntimeError):
    """A workflow function was called outside workflow code."""

"""The chains through which calls enter and leave workflow code. Their last links are what the SDK itself does; whatever
is to see or change calls is a link before those.

Inbound is called by the SDK and ends in the user's methods; outbound is called by the user's code, through
`durably.workflow`, and ends in commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from durably.worker import _commands as commands
from durably.workflow._activities import ActivityHandle, ActivityOptions
from durably.workflow._children import ChildWorkflowHandle, ChildWorkflowOptions
from durably.workflow._exceptions import ContinueAsNew
from durably.workflow._runtime import Info

if TYPE_CHECKING:
    from durably.worker._workflow_instance import WorkflowInstance


@dataclass
class ExecuteWorkflowInput:
    """A call of the main method."""

    type: type[Any]
    run_fn: Callable[..., Any]
    args: Sequence[Any]
    headers: Mapping[str, Any]


@dataclass
class HandleSignalInput:
    """A call of a signal handler."""

    signal: str
    args: Sequence[Any]
    headers: Mapping[str, Any]
    handler: Any
    """Its definition."""


@dataclass
class HandleQueryInput:
    """A call of a query handler."""

    id: str
    query: str
    args: Sequence[Any]
    headers: Mapping[str, Any]
    handler: Any
    """Its definition."""


@dataclass
class HandleUpdateInput:
    """A call of an update's validator, and then of its handler."""

    id: str
    update: str
    args: Sequence[Any]
    headers: Mapping[str, Any]
    handler: Any
    """Its definition."""


@dataclass
class SignalChildWorkflowInput:
    """A signal to a child of the run."""

    signal: str
    args: Sequence[Any]
    child_workflow_id: str
    headers: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class SignalExternalWorkflowInput:
    """A signal to another workflow."""

    signal: str
    args: Sequence[Any]
    namespace: str
    workflow_id: str
    workflow_run_id: str | None
    headers: Mapping[str, Any] = field(default_factory=dict)


class Inbound:
    """A link of the chain into workflow code; hands everything on."""

    def __init__(self, next: Inbound) -> None:
        self.next = next

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        """Runs the main method; what it raises ends the run or fails its task."""
        return await self.next.execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        """Runs a signal handler."""
        await self.next.handle_signal(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:
        """Runs a query handler, which must not wait for anything."""
        return await self.next.handle_query(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        """Runs an update's validator, if there is one and this is no replay; what it raises turns the update away."""
        self.next.handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        """Runs an update handler."""
        return await self.next.handle_update_handler(input)


class Outbound:
    """A link of the chain out of workflow code; hands everything on."""

    def __init__(self, next: Outbound) -> None:
        self.next = next

    def info(self) -> Info:
        """What is known about the run."""
        return self.next.info()

    def start_activity(self, input: ActivityOptions) -> ActivityHandle[Any]:
        """Schedules an activity."""
        return self.next.start_activity(input)

    async def start_child_workflow(self, input: ChildWorkflowOptions) -> ChildWorkflowHandle[Any, Any]:
        """Starts a child, and waits until it has started."""
        return await self.next.start_child_workflow(input)

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:
        """Signals a child, and waits until it has been delivered."""
        await self.next.signal_child_workflow(input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:
        """Signals another workflow, and waits until it has been delivered."""
        await self.next.signal_external_workflow(input)

    def continue_as_new(self, **options: Any) -> ContinueAsNew:
        """What is raised to end the run and start the next one."""
        return self.next.continue_as_new(**options)


class LastInbound(Inbound):
    """Calls the user's methods."""

    def __init__(self, run: WorkflowInstance) -> None:
        self._run = run

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        return await input.run_fn(self._run.instance, *input.args)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        await self._call(input.handler, input.args)

    async def handle_query(self, input: HandleQueryInput) -> Any:
        return await self._call(input.handler, input.args)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        handler = input.handler
        args = (self._run.instance, *input.args) if handler.is_method else input.args
        result = handler.validator(*args)
        if asyncio.iscoroutine(result):
            result.close()
            raise TypeError(f"the validator of update {input.update} returns a coroutine, which nobody awaits")

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        return await self._call(input.handler, input.args)

    async def _call(self, handler: Any, args: Sequence[Any]) -> Any:
        result = handler.fn(self._run.instance, *args) if handler.is_method else handler.fn(*args)
        return await result if asyncio.iscoroutine(result) else result


class LastOutbound(Outbound):
    """Issues commands."""

    def __init__(self, run: WorkflowInstance) -> None:
        self._run = run

    def info(self) -> Info:
        return self._run.own_info()

    def start_activity(self, input: ActivityOptions) -> ActivityHandle[Any]:
        return self._run.scheduled.start_activity(input)

    async def start_child_workflow(self, input: ChildWorkflowOptions) -> ChildWorkflowHandle[Any, Any]:
        return await self._run.related.start_child(input)

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:
        await self._run.related.signal_child(input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:
        await self._run.related.signal(input)

    def continue_as_new(self, **options: Any) -> ContinueAsNew:
        run = self._run
        return ContinueAsNew(commands.continue_as_new(run.own_info(), run.payload_converter, **options))


def signal_input(job: Any, handler: Any, args: Sequence[Any]) -> HandleSignalInput:
    """From a `SignalReceived`."""
    return HandleSignalInput(job.name, args, job.headers, handler)


def query_input(job: Any, handler: Any, args: Sequence[Any]) -> HandleQueryInput:
    """From a `QueryReceived`."""
    return HandleQueryInput(job.id, job.name, args, job.headers, handler)


def update_input(job: Any, handler: Any, args: Sequence[Any]) -> HandleUpdateInput:
    """From an `UpdateReceived`."""
    return HandleUpdateInput(job.id, job.name, args, job.headers, handler)


def main_input(start: Any, definition: Any, args: Sequence[Any]) -> ExecuteWorkflowInput:
    """From an `InitializeWorkflow`."""
    return ExecuteWorkflowInput(definition.cls, definition.run_fn, args, start.headers)



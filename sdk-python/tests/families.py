"""Runs parents with their children over a server, and replays all that they leave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from durably.api.enums.v1 import (
    EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED,
    EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    EventType,
)
from durably.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from durably.worker import Replayer, Worker


class Family:
    """A worker's workflows, as a test starts and watches them."""

    def __init__(self, client: Client, queue: str) -> None:
        self.client = client
        self.queue = queue
        self.started: list[WorkflowHandle[Any, Any]] = []
        self._ids = 0

    def new_id(self) -> str:
        """A workflow id that no other test uses."""
        self._ids += 1
        return f"{self.queue}-{self._ids}"

    def of(self, id: str, run_id: str | None = None) -> WorkflowHandle[Any, Any]:
        """A handle on a workflow that was started by another one."""
        return self.client.get_workflow_handle(id, run_id=run_id)

    async def start(self, run: Any, *args: Any, **options: Any) -> WorkflowHandle[Any, Any]:
        """Starts a workflow of which the histories are to be replayed, with those of its descendants."""
        options.setdefault("id", self.new_id())
        options.setdefault("task_queue", self.queue)
        handle: WorkflowHandle[Any, Any] = await self.client.start_workflow(run, args=list(args), **options)
        self.started.append(handle)
        return handle

    async def execute(self, run: Any, *args: Any, **options: Any) -> Any:
        """Starts a workflow and awaits its result."""
        return await (await self.start(run, *args, **options)).result()

    async def failure(self, handle: WorkflowHandle[Any, Any]) -> BaseException:
        """Why it failed, or how else it ended early."""
        try:
            result = await handle.result()
        except WorkflowFailureError as error:
            assert error.cause is not None
            return error.cause
        raise AssertionError(f"it returned {result!r}")

    async def status(self, handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionStatus | None:
        """How it ended."""
        try:
            await handle.result()
        except WorkflowFailureError:
            pass
        return (await handle.describe()).status

    async def events(self, handle: WorkflowHandle[Any, Any]) -> list[Any]:
        """The history's events."""
        return [event async for event in handle.fetch_history_events()]

    async def names(self, handle: WorkflowHandle[Any, Any], *parts: str) -> list[str]:
        """The events whose names have one of these parts, shortened, in order."""
        names = [EventType.Name(event.event_type)[len("EVENT_TYPE_") :] for event in await self.events(handle)]
        return [name for name in names if any(part in name for part in parts)]

    async def knows_its_child(self, handle: WorkflowHandle[Any, Any], children: int = 1) -> None:
        """Returns when so many children have started, and the parent's code has heard of it."""

        async def knows() -> bool:
            types = [event.event_type for event in await self.events(handle)]
            started = types.count(EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
            return started == children and types[-1] == EVENT_TYPE_WORKFLOW_TASK_COMPLETED

        await until(knows)

    async def histories(self) -> AsyncIterator[Any]:
        """Those of all that was started, and of their descendants."""
        waiting, seen = list(self.started), set()
        while waiting:
            handle = waiting.pop()
            history = await handle.fetch_history()
            run_id = history.run_id
            if run_id in seen:
                continue
            seen.add(run_id)
            for event in history.events:
                attributes = event.child_workflow_execution_started_event_attributes
                if attributes is not None:
                    child = attributes.workflow_execution
                    waiting.append(self.of(child.workflow_id, child.run_id))
                next_run = event.workflow_execution_continued_as_new_event_attributes
                if next_run is not None:
                    waiting.append(self.of(handle.id, next_run.new_execution_run_id))
            yield history


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Asks the server until it is so."""
    while not await condition():
        pass


@asynccontextmanager
async def family(client: Client, queue: str, cached: int, workflows: Sequence[type]) -> AsyncIterator[Family]:
    """A worker for these workflows; at the end, everything that has run replays."""
    found = Family(client, queue)
    async with Worker(client, task_queue=queue, workflows=workflows, max_cached_workflows=cached):
        yield found
    await Replayer(workflows=workflows).replay_workflows(found.histories())

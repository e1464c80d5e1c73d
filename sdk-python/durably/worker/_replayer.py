"""Replays histories with the current code, to see whether it still makes the same decisions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from durably import converter, workflow
from durably.api.core.v1 import ReplayHistory, WorkerRequest
from durably.api.history.v1 import History
from durably.client import Client, WorkflowHistory
from durably.service import ConnectConfig, ServiceClient
from durably.worker._worker import Worker


@dataclass(frozen=True)
class WorkflowReplayResult:
    """What one history's replay came to."""

    history: WorkflowHistory
    replay_failure: Exception | None
    """None if the code and the history agree. `workflow.NondeterminismError` if they don't."""


@dataclass(frozen=True)
class WorkflowReplayResults:
    """What the replay of several histories came to."""

    replay_failures: Mapping[str, Exception]
    """By run id; empty if all agree."""


class _ReplayWorker(Worker):
    """A worker that is fed histories instead of polling."""

    def __init__(self, client: Client, **options: Any) -> None:
        super().__init__(client, task_queue="replay", **options)
        self._options.replay_only = True
        self._waiting: deque[asyncio.Future[Any]] = deque()

    async def replay(self, history: WorkflowHistory) -> Any:
        assert self._bridge is not None
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(result)
        self._bridge.request(
            WorkerRequest(
                replay=ReplayHistory(
                    workflow_id=history.workflow_id, history=History(events=list(history.events))
                )
            )
        )
        return await result

    def _on_replayed(self, result: Any) -> None:
        waiting = self._waiting.popleft()
        if not waiting.done():
            waiting.set_result(result)

    def _on_end(self, fatal: Any) -> None:
        super()._on_end(fatal)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(self._fatal or RuntimeError("the replayer was shut down"))


class Replayer:
    """Replays histories. Needs no server."""

    def __init__(
        self,
        *,
        workflows: Sequence[type[Any]],
        namespace: str = "ReplayNamespace",
        data_converter: converter.DataConverter = converter.DataConverter.default,
        build_id: str | None = None,
        identity: str | None = None,
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        debug_mode: bool = False,
        interceptors: Sequence[Any] = (),
        workflow_runner: Any = None,
    ) -> None:
        """A replayer for these workflow classes. The options are those of `Worker`, and must be as in production.

        Raises:
            ValueError: No workflow is given.
        """
        if not workflows:
            raise ValueError("At least one workflow must be specified")
        self._namespace = namespace
        self._data_converter = data_converter
        self._identity = identity
        self._options: dict[str, Any] = dict(
            workflows=workflows,
            build_id=build_id,
            workflow_failure_exception_types=workflow_failure_exception_types,
            debug_mode=debug_mode,
            interceptors=interceptors,
            workflow_runner=workflow_runner,
        )

    async def replay_workflow(
        self, history: WorkflowHistory, *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResult:
        """Replays one history.

        Raises:
            workflow.NondeterminismError: The code and the history disagree, and `raise_on_replay_failure` is set.
            RuntimeError: The replay failed in another way, and `raise_on_replay_failure` is set.
        """
        async with self._worker() as worker:
            result = await self._replay(worker, history)
        if raise_on_replay_failure and result.replay_failure is not None:
            raise result.replay_failure
        return result

    async def replay_workflows(
        self, histories: AsyncIterator[WorkflowHistory], *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResults:
        """Replays several histories, one after the other.

        Raises:
            workflow.NondeterminismError: The code and a history disagree, and `raise_on_replay_failure` is set.
        """
        failures: dict[str, Exception] = {}
        async with self.workflow_replay_iterator(histories) as results:
            async for result in results:
                if result.replay_failure is not None:
                    if raise_on_replay_failure:
                        raise result.replay_failure
                    failures[result.history.run_id] = result.replay_failure
        return WorkflowReplayResults(replay_failures=failures)

    @asynccontextmanager
    async def workflow_replay_iterator(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AsyncIterator[AsyncIterator[WorkflowReplayResult]]:
        """A context that gives an iterator of results, in the order of the histories."""
        async with self._worker() as worker:

            async def results() -> AsyncIterator[WorkflowReplayResult]:
                async for history in histories:
                    yield await self._replay(worker, history)

            yield results()

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[_ReplayWorker]:
        # Never connects: a replaying worker asks no server.
        config = ConnectConfig(
            target_host="http://127.0.0.1:1", namespace=self._namespace, identity=self._identity or "", lazy=True
        )
        client = Client(
            await ServiceClient.connect(config), namespace=self._namespace, data_converter=self._data_converter
        )
        async with _ReplayWorker(client, **self._options) as worker:
            yield worker

    async def _replay(self, worker: _ReplayWorker, history: WorkflowHistory) -> WorkflowReplayResult:
        result = await worker.replay(history)
        return WorkflowReplayResult(history, await self._failure(result.error))

    async def _failure(self, error: Any) -> Exception | None:
        if error is None:
            return None
        if error.nondeterminism is not None:
            return workflow.NondeterminismError(error.message)
        failure = RuntimeError(f"the replay failed: {error.message}")
        if error.failure is not None:
            failure.__cause__ = await self._data_converter.decode_failure(error.failure)
        return failure

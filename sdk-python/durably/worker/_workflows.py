"""Workflow activations: finds or makes the run's instance, lets it work, and answers.

An instance is activated directly in the callback that drained the mailbox, never inside a task: a workflow task costs
one wake-up of the loop and one request, shared with whatever else is ready. Only a payload codec, which may do I/O,
takes a task around it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from durably import converter, workflow
from durably.api.core.v1 import ActivationFailure, ActivationSuccess, WorkerRequest, WorkflowCompletion
from durably.api.failure.v1 import Failure
from durably.exceptions import ApplicationError
from durably.worker import _codec, _guard, _watch
from durably.worker._workflow_instance import InstanceOptions, WorkflowInstance

logger = logging.getLogger("durably.worker")


class Workflows:
    """The workflow side of a worker."""

    def __init__(
        self,
        classes: Sequence[type[Any]],
        data_converter: converter.DataConverter,
        *,
        failure_exception_types: tuple[type[BaseException], ...],
        build_id: str,
        disable_eager_activity_execution: bool,
        debug_mode: bool,
    ) -> None:
        self._definitions: dict[str | None, Any] = {}
        for cls in classes:
            definition = workflow._Definition.must_from_class(cls)
            if definition.name in self._definitions:
                shown = f"named {definition.name}" if definition.name else "that is dynamic"
                raise ValueError(f"More than one workflow {shown}")
            self._definitions[definition.name] = definition
            _guard.adopt_package(cls)
        self._data_converter = data_converter
        self._options = InstanceOptions(
            payload_converter=data_converter.payload_converter,
            failure_converter=data_converter.failure_converter,
            failure_exception_types=failure_exception_types,
            build_id=build_id,
            disable_eager_activity_execution=disable_eager_activity_execution,
        )
        self._instances: dict[str, WorkflowInstance] = {}
        self._request: Callable[[Any], None] | None = None
        self._watch = None if debug_mode else _watch.Watch()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, request: Callable[[Any], None]) -> None:
        """Gives the way to the core."""
        self._request = request

    def close(self) -> None:
        """The worker has ended: forgets runs that the core did not evict."""
        for instance in self._instances.values():
            instance.evict()
        self._instances.clear()
        if self._watch is not None:
            _watch.forget(self._watch)

    def handle(self, activation: Any) -> None:
        """Answers an activation."""
        codec = self._data_converter.payload_codec
        if codec is None:
            self._answer(self._activate(activation))
            return
        task = asyncio.get_running_loop().create_task(self._handle_with_codec(activation, codec))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _activate(self, activation: Any) -> Any:
        run_id = activation.run_id
        watch = self._watch
        if watch is not None:
            watch.begin(run_id)
        try:
            instance = self._instances.get(run_id)
            if instance is None:
                if activation.jobs and activation.jobs[-1].evict is not None:
                    return WorkflowCompletion(run_id=run_id, success=ActivationSuccess())
                instance = self._make(activation)
                self._instances[run_id] = instance
            completion = instance.activate(activation)
            if activation.jobs and activation.jobs[-1].evict is not None:
                del self._instances[run_id]
            return completion
        except Exception as error:
            logger.warning("Failed handling activation on workflow with run ID %s", run_id, exc_info=True)
            return self._failed(run_id, error)
        finally:
            if watch is not None:
                watch.end()

    def _make(self, activation: Any) -> WorkflowInstance:
        start = next((job.initialize for job in activation.jobs if job.initialize is not None), None)
        if start is None:
            raise RuntimeError(f"run {activation.run_id} is not known here, and the activation doesn't start it")
        definition = self._definitions.get(start.workflow_type) or self._definitions.get(None)
        if definition is None:
            known = ", ".join(sorted(name for name in self._definitions if name)) or "none"
            raise ApplicationError(
                f"Workflow class {start.workflow_type} is not registered on this worker, available workflows: {known}",
                type="NotFoundError",
            )
        return WorkflowInstance(definition, self._options)

    def _answer(self, completion: Any) -> None:
        assert self._request is not None
        if (failed := completion.failure) is not None:
            message = failed.failure.message if failed.failure is not None else "no reason"
            logger.warning("Workflow task of run %s failed and will be retried: %s", completion.run_id, message)
        try:
            self._request(WorkerRequest(workflow=completion))
        except (TypeError, ValueError, OverflowError) as error:
            # A value that does not fit its field: the user's code gave it, and its task fails.
            logger.warning("The commands of run %s can't be encoded", completion.run_id, exc_info=True)
            self._request(WorkerRequest(workflow=self._failed(completion.run_id, error)))

    def _failed(self, run_id: str, error: BaseException) -> Any:
        failure = Failure()
        try:
            converters = self._data_converter
            converters.failure_converter.to_failure(error, converters.payload_converter, failure)
        except Exception as inner:
            failure = Failure(message=f"{error} (and the failure converter failed: {inner})")
        return WorkflowCompletion(
            run_id=run_id,
            failure=ActivationFailure(
                failure=failure, nondeterminism=isinstance(error, workflow.NondeterminismError)
            ),
        )

    async def _handle_with_codec(self, activation: Any, codec: converter.PayloadCodec) -> None:
        try:
            await _codec.decode(activation, codec)
            completion = await self._activate_outside_task(activation)
        except Exception as error:
            logger.warning("Failed decoding activation of run %s", activation.run_id, exc_info=True)
            completion = self._failed(activation.run_id, error)
        try:
            await _codec.encode(completion, codec)
        except Exception as error:
            logger.warning("Failed encoding completion of run %s", activation.run_id, exc_info=True)
            completion = self._failed(activation.run_id, error)
        self._answer(completion)

    async def _activate_outside_task(self, activation: Any) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        loop.call_soon(lambda: done.set_result(self._activate(activation)))
        return await done

"""The worker's workflow side: which class runs which workflow type, and the cached run for each run id.

The core tells what to cache and when to forget it; this holds what it says.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from durably import _messages as msg
from durably import converter
from durably.worker import _guard
from durably.worker._payload_codec import decode_activation, encode_completion
from durably.worker._workflow_instance import InstanceOptions, WorkflowInstance
from durably.workflow._definition import _Definition


class WorkflowRunner:
    """Answers activations of all runs of one worker. Not thread-safe.

    Args:
        workflows: Classes decorated with `@workflow.defn`.
        data_converter: The client's.
        failure_exception_types: Exceptions that fail any workflow of this worker instead of its task.
        build_id: Of the worker.
        disable_eager_activity_execution: Never let the server hand out an activity with the workflow task's response.

    Raises:
        ValueError: A class is not decorated, or two have the same workflow type.
    """

    def __init__(
        self,
        workflows: Sequence[type[Any]],
        *,
        data_converter: converter.DataConverter = converter.DataConverter.default,
        failure_exception_types: Sequence[type[BaseException]] = (),
        build_id: str = "",
        disable_eager_activity_execution: bool = False,
    ) -> None:
        self._definitions: dict[str | None, _Definition] = {}
        for cls in workflows:
            definition = _Definition.must_from_class(cls)
            if definition.name in self._definitions:
                name = definition.name or "<dynamic>"
                raise ValueError(f"More than one workflow named {name}; give one of them another name in @workflow.defn")
            self._definitions[definition.name] = definition
            _adopt_modules(cls)
        self._options = InstanceOptions(
            payload_converter=data_converter.payload_converter,
            failure_converter=data_converter.failure_converter,
            failure_exception_types=tuple(failure_exception_types),
            build_id=build_id,
            disable_eager_activity_execution=disable_eager_activity_execution,
        )
        self.codec = data_converter.payload_codec
        self._runs: dict[str, WorkflowInstance] = {}

    def activate(self, activation: Any) -> Any:
        """The `WorkflowCompletion` of a `WorkflowActivation`. Use `activate_with_codec` if there is a codec."""
        run_id: str = activation.run_id
        run = self._runs.get(run_id)
        jobs = activation.jobs
        if jobs and jobs[-1].evict is not None:
            if run is not None:
                run.evict()
                del self._runs[run_id]
            return msg.WorkflowCompletion(run_id=run_id, success=msg.ActivationSuccess())
        if run is None:
            try:
                run = self._make_run(jobs)
            except LookupError as err:
                failure = msg.Failure(message=str(err.args[0]))
                failure.application_failure_info = msg.ApplicationFailureInfo(type="NotFoundError")
                return msg.WorkflowCompletion(run_id=run_id, failure=msg.ActivationFailure(failure=failure))
            self._runs[run_id] = run
        return run.activate(activation)

    async def activate_with_codec(self, activation: Any) -> Any:
        """As `activate`, with the codec applied to every payload that comes and goes."""
        if self.codec is None:
            return self.activate(activation)
        try:
            await decode_activation(self.codec, activation)
        except Exception as err:
            return self._codec_failure(activation.run_id, err)
        completion = self.activate(activation)
        try:
            await encode_completion(self.codec, completion)
        except Exception as err:
            return self._codec_failure(activation.run_id, err)
        return completion

    def _codec_failure(self, run_id: str, error: Exception) -> Any:
        failure = msg.Failure()
        self._options.failure_converter.to_failure(error, self._options.payload_converter, failure)
        return msg.WorkflowCompletion(run_id=run_id, failure=msg.ActivationFailure(failure=failure))

    def _make_run(self, jobs: Sequence[Any]) -> WorkflowInstance:
        start = next((job.initialize for job in jobs if job.initialize is not None), None)
        if start is None:
            raise LookupError("the run is not cached here, and the activation doesn't start it")
        definition = self._definitions.get(start.workflow_type) or self._definitions.get(None)
        if definition is None:
            known = ", ".join(sorted(name for name in self._definitions if name)) or "none"
            raise LookupError(
                f"Workflow class {start.workflow_type} is not registered on this worker, available workflows: {known}"
            )
        return WorkflowInstance(definition, self._options)

    def close(self) -> None:
        """Forget all runs."""
        for run in self._runs.values():
            run.evict()
        self._runs.clear()


def _adopt_modules(cls: type[Any]) -> None:
    """Make `from time import time` and the like answer deterministically in the workflow's module and its package."""
    name = cls.__module__
    package = name.partition(".")[0]
    for candidate in list(sys.modules):
        if candidate == name or candidate.partition(".")[0] == package:
            _guard.adopt_module(sys.modules.get(candidate))

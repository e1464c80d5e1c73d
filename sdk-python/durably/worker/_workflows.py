"""Workflow activations: finds or makes the run's instance, lets it work, and answers.

An instance is activated by the thread that drained the core's mailbox (`_steps`), so that a workflow task costs one
wake-up and one request, shared with whatever else is ready, and the user's event loop nothing. Only a payload codec,
which may do I/O, takes a task of that loop around it. With `debug_mode` workflows run in the user's loop and thread, as
long as they like.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from durably import _bridge, converter, workflow
from durably.api.core.v1 import (
    ActivationFailure,
    ActivationSuccess,
    Evict,
    FailWorkflow,
    WorkerRequest,
    WorkflowCommand,
    WorkflowCompletion,
)
from durably.exceptions import ApplicationError
from durably.worker import _codec, _guard, _steps
from durably.worker._task_failures import TaskFailures, nearest, users_stack
from durably.worker._workflow_instance import InstanceOptions, WorkflowInstance
from durably.workflow._exceptions import CutOff, DeadlockError


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
        tells_tests: bool = False,
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
        # Runs whose threads were left behind and are still at it.
        self._stuck: dict[str, _Stuck] = {}
        self._stuck_lock = threading.Lock()
        self._shutting_down = False
        self._failures = TaskFailures()
        self._request: Callable[[Any], None] | None = None
        self._steps: _steps.Steps | None = None
        if self._definitions and not debug_mode:
            self._steps = _steps.Steps(
                self._take, self._leave_behind, self._cut_off, self._forget_all, tells_tests=tells_tests
            )
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def mailbox(self) -> _bridge.Mailbox | None:
        """Where activations have to go; None: to `handle`, in the worker's loop."""
        return None if self._steps is None or self._data_converter.payload_codec is not None else self._steps.mailbox

    def nondeterminism_policy(self) -> dict[str, Any]:
        """The options by which the core fails a run, or only its task, when code and history disagree."""
        definitions = {name: covers_nondeterminism(of.failure_exception_types) for name, of in self._definitions.items()}
        of_dynamic = definitions.pop(None, False)
        of_all = covers_nondeterminism(self._options.failure_exception_types)
        return {
            # A dynamic workflow stands for all types that have no class of their own.
            "nondeterminism_as_workflow_fail": of_all or of_dynamic,
            "nondeterminism_as_workflow_fail_for_types": [name for name, covered in definitions.items() if covered],
            "nondeterminism_as_task_fail_for_types": [
                name for name, covered in definitions.items() if not (covered or of_all)
            ],
        }

    def start(self, request: Callable[[Any], None]) -> None:
        """Gives the way to the core."""
        self._request = request
        if self._steps is not None:
            self._steps.start()

    def on_shutdown(self) -> None:
        """Fails what waits for a step that may never end, and those that last: the core waits for their answers."""
        if self._steps is not None:
            self._steps.press()
        with self._stuck_lock:
            self._shutting_down = True
            parked = [stuck.parked for stuck in self._stuck.values() if stuck.parked is not None]
            for stuck in self._stuck.values():
                stuck.parked = None
        for step in parked:
            self._post(step)

    def close(self) -> None:
        """The worker has ended: forgets runs that the core did not evict."""
        if self._steps is not None:
            self._steps.close()
        else:
            self._forget_all()

    def _forget_all(self) -> None:
        for instance in self._instances.values():
            try:
                instance.evict()
            except RuntimeError:
                # The worker failed while a step of this run was under way, in a thread that has been relieved.
                instance.abandon()
        self._instances.clear()

    def handle(self, activation: Any) -> None:
        """Answers an activation that came to the worker's loop."""
        codec = self._data_converter.payload_codec
        if codec is None:
            self._answer(self._activate(activation))
            return
        task = asyncio.get_running_loop().create_task(self._handle_with_codec(activation, codec))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- Steps

    def _take(self, stepper: _steps.Stepper, given: Any) -> None:
        """Answers an event of the core, or a step from the loop; in the stepper's thread."""
        if isinstance(given, _steps.Step):
            step = given
        else:
            step = _steps.Step(given.workflow, self._answer)
        run_id = step.activation.run_id
        if self._park(step):
            return
        completion, ended = None, False
        try:
            stepper.begin(step)
            completion = self._activate(step.activation)
        except CutOff:
            pass
        while not ended:
            # What cuts a step off may come late, and more than once.
            try:
                if stepper.is_cut_off and (stuck := self._stuck.get(run_id)) is not None and stuck.instance is not None:
                    stuck.instance.evict()
                counts = stepper.end()
                ended = True
            except CutOff:
                continue
        if counts:
            step.reply(completion)
            return
        with self._stuck_lock:
            stuck = self._stuck.pop(run_id, None)
        if stuck is not None and stuck.parked is not None:
            self._post(stuck.parked)

    def _park(self, step: _steps.Step) -> bool:
        """Whether the step has to wait until an earlier one of its run, which was cut off, has ended."""
        if not self._stuck or _evicts(step.activation):
            return False
        with self._stuck_lock:
            stuck = self._stuck.get(step.activation.run_id)
            if stuck is None or self._shutting_down:
                return False
            stuck.parked = step
            return True

    def _post(self, step: _steps.Step) -> None:
        assert self._steps is not None
        self._steps.mailbox.post(0, step)

    def _leave_behind(self, step: _steps.Step) -> None:
        """Forgets the run as it stands: whatever the step still does counts for nothing."""
        run_id = step.activation.run_id
        instance = self._instances.pop(run_id, None)
        with self._stuck_lock:
            self._stuck[run_id] = _Stuck(instance)
        if instance is not None:
            instance.abandon()

    def _cut_off(self, step: _steps.Step, frames: list[_steps.Frame]) -> None:
        """Answers for a step that lasts too long."""
        activation = step.activation
        run_id = activation.run_id
        stuck = self._stuck.get(run_id)
        if stuck is not None and stuck.instance is not None:
            frames = frames or stuck.instance.frames()
        if _evicts(activation):
            step.reply(WorkflowCompletion(run_id=run_id, success=ActivationSuccess()))
            return
        place = nearest((file, line) for file, line, _ in reversed(frames))
        assert self._steps is not None
        advice = "Workflow code must not block or compute for long: move the work into an activity"
        if self._steps.tells_tests:
            advice += f". Outside of tests it may take {_steps.LIMIT:g} s, and in them with fail_fast=False"
        error = DeadlockError(
            f"[TMPRL1101] Potential deadlock detected: workflow didn't yield within {self._steps.limit:g} s. {advice}"
        )
        stack = "".join(f'  File "{file}", line {line}, in {name}\n' for file, line, name in frames)
        completion = self._failed(run_id, error, place=place, stack=stack)
        completion.failure.failure.stack_trace = stack
        step.reply(completion)

    def _activate(self, activation: Any) -> Any:
        run_id = activation.run_id
        evicts = _evicts(activation)
        try:
            instance = self._instances.get(run_id)
            if instance is None:
                if evicts:
                    return WorkflowCompletion(run_id=run_id, success=ActivationSuccess())
                instance = self._make(activation)
                self._instances[run_id] = instance
            if evicts:
                self._tell_what_the_core_found(instance, activation)
            completion = instance.activate(activation)
            if self._instances.get(run_id) is not instance:
                return completion  # Cut off meanwhile: it counts for nothing.
            if evicts:
                del self._instances[run_id]
            elif instance.outcome.task_error is not None:
                return self._failed(run_id, instance.outcome.task_error)
            elif not instance.is_replaying:
                self._failures.succeeded(run_id)
            return completion
        except CutOff:
            raise
        except BaseException as error:
            return self._failed(run_id, error, start=_start_of(activation))

    def _make(self, activation: Any) -> WorkflowInstance:
        if activation.run_id in self._stuck:
            raise RuntimeError("an earlier step of this run still hasn't ended, though it was cut off")
        start = _start_of(activation)
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
        try:
            self._request(WorkerRequest(workflow=completion))
        except (TypeError, ValueError, OverflowError) as error:
            # A value that does not fit its field: the user's code gave it, and its task fails.
            self._request(WorkerRequest(workflow=self._failed(completion.run_id, error)))

    def _failed(
        self, run_id: str, error: BaseException, *, start: Any = None, place: str = "", stack: str = ""
    ) -> Any:
        """The completion that fails the task, after telling the log."""
        instance = self._instances.get(run_id)
        if instance is not None:
            instance.outcome.task_error = error
        self._failures.failed(
            run_id,
            _type_of(instance) or (start.workflow_type if start is not None else ""),
            error,
            workflow_id=_id_of(instance) or (start.workflow_id if start is not None else ""),
            place=place,
            stack=stack,
        )
        failure = self._options.failure_of(error)
        # Where a converter has hidden the stack, it stays hidden.
        if failure.stack_trace:
            failure.stack_trace = users_stack(error)
        return WorkflowCompletion(
            run_id=run_id,
            failure=ActivationFailure(
                failure=failure, nondeterminism=isinstance(error, workflow.NondeterminismError)
            ),
        )

    def _tell_what_the_core_found(self, instance: WorkflowInstance, activation: Any) -> None:
        evict = activation.jobs[-1].evict
        if instance.outcome.task_error is not None or evict.reason not in _FAILED:
            return
        if evict.reason == Evict.Reason.NONDETERMINISM:
            error: Exception = workflow.NondeterminismError(evict.message)
            tell = self._failures.ended if instance.outcome.is_failure(error) else self._failures.failed
            tell(activation.run_id, _type_of(instance), error, workflow_id=_id_of(instance))
        else:
            error = RuntimeError(evict.message)
            self._failures.failed(activation.run_id, _type_of(instance), error, workflow_id=_id_of(instance))

    async def _handle_with_codec(self, activation: Any, codec: converter.PayloadCodec) -> None:
        try:
            await _codec.decode(activation, codec)
            completion = await self._activate_outside_task(activation)
        except BaseException as error:
            completion = self._undecodable(activation, error)
        try:
            await _codec.encode(completion, codec)
        except BaseException as error:
            completion = self._failed(activation.run_id, error)
        self._answer(completion)

    def _undecodable(self, activation: Any, error: BaseException) -> Any:
        """Fails the task, since a codec may fail for a while only; the workflow, if the codec says that no retry helps."""
        is_final = isinstance(error, ApplicationError) and error.non_retryable
        if not is_final or all(job.query is not None or job.evict is not None for job in activation.jobs):
            return self._failed(activation.run_id, error)
        command = WorkflowCommand(fail_workflow=FailWorkflow(failure=self._options.failure_of(error)))
        return WorkflowCompletion(run_id=activation.run_id, success=ActivationSuccess(commands=[command]))

    async def _activate_outside_task(self, activation: Any) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        if self._steps is not None:

            def reply(completion: Any) -> None:
                loop.call_soon_threadsafe(_set_result, done, completion)

            self._post(_steps.Step(activation, reply))
        else:
            loop.call_soon(lambda: _set_result(done, self._activate(activation)))
        return await done


class _Stuck:
    """A run whose step was cut off and hasn't ended."""

    def __init__(self, instance: WorkflowInstance | None) -> None:
        self.instance = instance
        self.parked: _steps.Step | None = None


def _set_result(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def covers_nondeterminism(failure_types: Sequence[type[BaseException]]) -> bool:
    """Whether a workflow fails by a disagreement with its history, if these fail it."""
    return any(issubclass(workflow.NondeterminismError, of) for of in failure_types)


_FAILED = (Evict.Reason.NONDETERMINISM, Evict.Reason.ACTIVATION_FAILED)


def _type_of(instance: WorkflowInstance | None) -> str:
    return "" if instance is None else instance.definition.name or "dynamic"


def _start_of(activation: Any) -> Any:
    return next((job.initialize for job in activation.jobs if job.initialize is not None), None)


def _id_of(instance: WorkflowInstance | None) -> str:
    return "" if instance is None else instance.workflow_id


def _evicts(activation: Any) -> bool:
    return bool(activation.jobs) and activation.jobs[-1].evict is not None

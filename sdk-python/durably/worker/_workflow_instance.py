"""One cached run: applies the jobs of an activation, lets the workflow's code go on, and collects its commands.

`activate` is the whole boundary to the core. The order of what happens inside it is part of what histories rely on:
signals and updates first, then the start of the main method and resolutions, then queries. What the run consists of is beside it:
`_handlers` calls signal and query handlers, `_updates` those of updates, `_scheduled` keeps timers and activities, `_related` children and messages to
other workflows, `_commands` what is asked for, `_outcome` how it ends, and `_interception` the chains through which calls enter and leave the user's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from durably import _messages as msg
from durably import converter
from durably._signature import decode_arguments
from durably.common import RawValue
from durably.converter._failure import unconverted
from durably.worker import _builtin_queries as builtin
from durably.worker import _guard as _guard
from durably.worker import _interception as interception
from durably.worker._commands import Commands
from durably.worker._flags import Flags
from durably.worker._handlers import Handlers
from durably.worker._loop import TimerHandle, WorkflowLoop
from durably.worker._outcome import Outcome
from durably.worker._related import Related
from durably.worker._scheduled import Scheduled, too_new
from durably.worker._updates import Updates
from durably.worker._workflow_info import make_info
from durably.workflow._activities import ActivityHandle, ActivityOptions
from durably.workflow._children import ChildWorkflowHandle, ChildWorkflowOptions
from durably.workflow._definition import _Definition
from durably.workflow._exceptions import ContinueAsNew, CutOff, Evicted, ReadOnlyContextError
from durably.workflow._runtime import Info, Runtime

_get_running_loop = asyncio._get_running_loop
_set_running_loop = asyncio._set_running_loop
_swap_current_task: Any = getattr(asyncio.tasks, "_swap_current_task", None)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NO_TIMERS: Any = None


@dataclass(frozen=True)
class InstanceOptions:
    """What all runs of a worker share."""

    payload_converter: converter.PayloadConverter
    failure_converter: converter.FailureConverter
    failure_exception_types: tuple[type[BaseException], ...] = ()
    build_id: str = ""
    disable_eager_activity_execution: bool = False

    def failure_of(self, error: BaseException) -> Any:
        """The error as a `Failure` message, even if the converter can't make one."""
        failure = msg.Failure()
        try:
            self.failure_converter.to_failure(error, self.payload_converter, failure)
        except CutOff:
            raise
        except BaseException as inner:
            return unconverted(error, inner)
        return failure


class WorkflowInstance(Runtime):
    """One run. Not thread-safe: one step at a time, in whichever thread."""

    def __init__(self, definition: _Definition, options: InstanceOptions) -> None:
        self.definition = definition
        self.options = options
        self.payload_converter = options.payload_converter
        self._context = contextvars.Context()
        self.instance: Any = None
        self.is_replaying = False
        self.read_only = False
        self.cancel_reason = None
        self.current_details = ""
        self.time_ns = 0
        self.evicted = False
        """The run is being forgotten: nothing that its code still does counts."""
        self._info: Info | None = None
        self._start: Any = None
        self._main: asyncio.Task[None] | None = None
        self.commands = Commands(options.payload_converter, self.frames_of_main)
        self.flags = Flags()
        self.scheduled = Scheduled(self)
        self.related = Related(self)
        self.handlers = Handlers(self)
        self.updates = Updates(self)
        self.outcome = Outcome(self)
        self.inbound: interception.Inbound = interception.LastInbound(self)
        self.outbound: interception.Outbound = interception.LastOutbound(self)

    @property
    def workflow_id(self) -> str:
        """Of the run; empty until it has begun."""
        return self._start.workflow_id if self._start is not None else ""

    # -- Activations

    def activate(self, activation: Any) -> Any:
        """Apply a `WorkflowActivation`; returns the `WorkflowCompletion`.

        Never raises for what user code does: that is an `ActivationFailure`.
        """
        self.is_replaying = activation.is_replaying
        self.history_length = activation.history_length
        self.history_size = activation.history_size_bytes
        self.continue_as_new_suggested = activation.continue_as_new_suggested
        timestamp = activation.timestamp
        if timestamp is not None:
            self.time_ns = timestamp.seconds * 1_000_000_000 + timestamp.nanos
        self.commands.issued = []
        self.flags.begin(activation)
        self.outcome.task_error = None
        self.updates.accepted = False
        jobs = activation.jobs
        run_id = activation.run_id
        if jobs and jobs[-1].evict is not None:
            self.evict()
            return msg.WorkflowCompletion(run_id=run_id, success=msg.ActivationSuccess())
        if self._start is None:
            self._initialize(jobs, run_id)
        with self._on_its_loop():
            try:
                self._context.run(self._apply, jobs)
                self.outcome.warn_of_unfinished()
            except CutOff:
                raise
            except BaseException as err:
                self.outcome.settle(err)
        return self.outcome.completion(run_id, weight=8_000 + 2_500 * len(self.loop._tasks))

    @contextlib.contextmanager
    def _on_its_loop(self) -> Iterator[None]:
        """Puts the run's loop in the place of the one, if any, in which the worker runs."""
        outer = _get_running_loop()
        outer_task = _swap_current_task(outer, None) if _swap_current_task and outer is not None else None
        hooks = sys.get_asyncgen_hooks()
        _set_running_loop(None)
        _set_running_loop(self.loop)
        sys.set_asyncgen_hooks(self.loop.asyncgen_started, _leave_alone)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            _set_running_loop(None)
            _set_running_loop(outer)
            if outer_task is not None:
                _swap_current_task(outer, outer_task)

    def _initialize(self, jobs: Sequence[Any], run_id: str) -> None:
        start = next((job.initialize for job in jobs if job.initialize is not None), None)
        if start is None:
            raise RuntimeError(f"run {run_id} is not known here, and the activation doesn't start it")
        self._start = start
        self.random_seed = start.randomness_seed
        self.random = random.Random(start.randomness_seed)
        self.loop = WorkflowLoop(self, start.randomness_seed)
        self._info = make_info(start, run_id, _EPOCH + timedelta(microseconds=self.time_ns // 1000))

    def _apply(self, jobs: Sequence[Any]) -> None:
        if self.instance is None:
            self._make_instance()
        messages, queries, others = [], [], []
        for job in jobs:
            if job.signal is not None or job.update is not None:
                messages.append(job)
            elif job.query is not None:
                queries.append(job.query)
            else:
                others.append(job)
        run = self.loop.run_until_blocked
        if messages:
            for job in messages:
                if job.signal is not None:
                    self.handlers.deliver_signal(job.signal)
                else:
                    self.updates.deliver(job.update)
            run(False)
            # Of updates that were turned away nothing stays, so that conditions must not be looked at because of them.
            if self.updates.accepted or any(job.update is None for job in jobs):
                run(True)
        if others and self.outcome.task_error is None:
            for job in others:
                self._apply_job(job)
            run(True)
        if queries and self.outcome.task_error is None:
            for query in queries:
                self.handlers.answer_query(query)
            run(False)
        error, self.loop.callback_error = self.loop.callback_error, None
        if error is not None:
            self.outcome.settle(error)

    def _make_instance(self) -> None:
        definition = self.definition
        args = self._decode_arguments()
        if definition.init_with_args:
            self.instance = definition.cls(*args)
        else:
            self.instance = definition.cls()
        self._run_args = args

    def _decode_arguments(self) -> list[Any]:
        definition, payloads = self.definition, self._start.arguments
        if definition.name is None:
            return [[RawValue(payload) for payload in payloads]]
        problem = definition.signature.mismatch(len(payloads))
        if problem is not None and len(payloads) > len(definition.signature.arg_types):
            # Callers may be newer than this worker: what it doesn't know, it doesn't need.
            payloads = payloads[: len(definition.signature.arg_types)]
        return decode_arguments(self.payload_converter, payloads, definition.signature)

    def _apply_job(self, job: Any) -> None:
        if (fired := job.fire_timer) is not None:
            self.scheduled.fire_timer(fired)
        elif (resolved := job.resolve_activity) is not None:
            self.scheduled.resolve_activity(resolved)
        elif self.related.resolve(job):
            pass
        elif job.initialize is not None:
            self._main = self.loop.create_task(self.outcome.of(self._run_main), name=f"{self._start.workflow_type}.run")
        elif (cancelled := job.cancel) is not None:
            self.outcome.cancel_requested = True
            self.cancel_reason = cancelled.reason
            if self._main is not None:
                self.loop.call_soon(self._main.cancel)
        elif job.update_random_seed is not None:
            self.random_seed = job.update_random_seed.randomness_seed
            self.random.seed(self.random_seed)
        else:
            raise too_new("a job")

    async def _run_main(self) -> None:
        call = interception.main_input(self._start, self.definition, self._run_args)
        result = await self.inbound.execute_workflow(call)
        self.outcome.close("complete_workflow", msg.CompleteWorkflow(result=self.payload_converter.to_payload(result)))

    # -- Forgetting the run

    def abandon(self) -> None:
        """Stop the run where it stands; from another thread than the one in which it stands."""
        self.evicted = True
        if self._start is not None:
            self.loop.abandoned = True

    def evict(self) -> None:
        """Forget the run: end its coroutines without letting them do anything to it."""
        self.evicted = True
        if self._start is None:
            return
        self.is_replaying = True
        with self._on_its_loop():
            self._context.run(self.loop.close_all)
        # Break the cycles, so that a forgotten run is freed at once and not by the garbage collector.
        self.scheduled.clear()
        self.related.clear()
        self.loop.runtime = _NO_TIMERS
        del self.commands, self.scheduled, self.related, self.handlers, self.updates, self.outcome, self.inbound, self.outbound
        self._main = self._start = self.instance = None

    # -- What the workflow can do

    def check_writable(self, action: str) -> None:
        if self.evicted:
            raise Evicted
        if self.read_only:
            raise ReadOnlyContextError(f"While in read-only function, action attempted: {action}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While this is open the run's code may only read, and leaves no trace in it: also its random numbers are others."""
        drawn, self.random = self.random, random.Random(self.random_seed)
        self.read_only = True
        try:
            with self.loop.reading():
                yield
        finally:
            self.read_only = False
            self.random = drawn

    def start_timer(self, seconds: float, handle: TimerHandle) -> None:
        self.scheduled.start_timer(seconds, handle)

    def cancel_timer(self, handle: TimerHandle) -> None:
        self.scheduled.cancel_timer(handle)

    async def sleep(self, seconds: float, summary: str | None) -> None:
        future = self.loop.create_future()
        self.scheduled.describe_next_timer(summary)
        handle = self.loop.call_later(seconds, _wake, future)
        try:
            await future
        finally:
            handle.cancel()

    async def wait_condition(self, fn: Callable[[], bool], timeout: float | None, timeout_summary: str | None) -> None:
        self.check_writable("wait condition")
        future: asyncio.Future[None] = self.loop.create_future()
        self.loop.add_condition(fn, future)
        self.scheduled.describe_next_timer(timeout_summary)
        await asyncio.wait_for(future, timeout)

    def start_activity(self, options: ActivityOptions) -> ActivityHandle[Any]:
        return self.outbound.start_activity(options)

    async def start_child_workflow(self, options: ChildWorkflowOptions) -> ChildWorkflowHandle[Any, Any]:
        self.check_writable("start child workflow")
        return await self.outbound.start_child_workflow(options)

    async def signal_external_workflow(
        self, signal: str, args: Sequence[Any], workflow_id: str, run_id: str | None
    ) -> None:
        self.check_writable("signal external workflow")
        call = interception.SignalExternalWorkflowInput(signal, args, self.own_info().namespace, workflow_id, run_id)
        await self.outbound.signal_external_workflow(call)

    async def cancel_external_workflow(self, workflow_id: str, run_id: str | None, reason: str) -> None:
        self.check_writable("cancel external workflow")
        await self.related.cancel(workflow_id, run_id, reason)

    def continue_as_new(self, **options: Any) -> ContinueAsNew:
        self.check_writable("continue as new")
        return self.outbound.continue_as_new(**options)

    def get_handler(self, kind: str, name: str | None) -> Callable[..., Any] | None:
        return self.handlers.get(kind, name)

    def set_handler(
        self,
        kind: str,
        name: str | None,
        handler: Callable[..., Any] | None,
        validator: Callable[..., Any] | None = None,
    ) -> None:
        self.handlers.set(kind, name, handler, validator)

    def all_handlers_finished(self) -> bool:
        return self.handlers.all_finished()

    def is_failure_exception(self, error: BaseException) -> bool:
        return self.outcome.is_failure(error)

    # -- What the workflow can read

    def info(self) -> Info:
        return self.outbound.info()

    def own_info(self) -> Info:
        """The last link of `info`."""
        assert self._info is not None  # set by the first activation
        return self._info

    def build_id(self) -> str:
        return self.options.build_id

    def memo(self) -> Mapping[str, Any]:
        return {key: self.payload_converter.from_payload(value) for key, value in self.info().raw_memo.items()}

    def memo_value(self, key: str, type_hint: Any) -> Any:
        return self.payload_converter.from_payload(self.info().raw_memo[key], type_hint)

    def has_last_completion_result(self) -> bool:
        last = self._start.last_completion_result
        return last is not None and bool(last.payloads)

    def last_completion_result(self, type_hint: Any) -> Any:
        if not self.has_last_completion_result():
            return None
        return self.payload_converter.from_payload(self._start.last_completion_result.payloads[0], type_hint)

    def last_failure(self) -> BaseException | None:
        failure = self._start.last_failure
        return (
            None if failure is None else self.options.failure_converter.from_failure(failure, self.payload_converter)
        )

    def set_deterministic(self, value: bool) -> bool:
        before = self.loop.deterministic
        self.loop.deterministic = value
        return before

    def frames_of_main(self) -> list[tuple[str, int, str]]:
        """Where the main method stands."""
        return builtin.frames_of(self._main.get_coro()) if self._main is not None else []

    def frames(self) -> list[tuple[str, int, str]]:
        """Where the run's coroutines stand: of the oldest that stands somewhere in the user's code."""
        tasks = self.loop.live_tasks() if self._start is not None else []
        return next((frames for task in tasks if (frames := builtin.frames_of(task.get_coro()))), [])


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _leave_alone(generator: Any) -> None:
    """An abandoned async generator is not finalized: when that happens is up to the garbage collector."""

"""One cached run: applies the jobs of an activation, lets the workflow's code go on, and collects its commands.

`activate` is the whole boundary to the core. The order of what happens inside it is part of what histories rely on:
signals first, then the start of the main method and resolutions, then queries.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from durably import _messages as msg
from durably import converter
from durably.common import RawValue
from durably.exceptions import FailureError, is_cancelled_exception
from durably.worker import _builtin_queries as builtin
from durably.worker import _commands as commands
from durably.worker import _guard as _guard
from durably.worker._activity_task import ActivityTask, PendingActivity
from durably.worker._loop import TimerHandle, WorkflowLoop
from durably.worker._workflow_info import make_info
from durably.workflow._activities import ActivityHandle, ActivityOptions
from durably.workflow._definition import (
    HandlerUnfinishedPolicy,
    _Definition,
    _QueryDefinition,
    _SignalDefinition,
)
from durably.workflow._exceptions import (
    ContinueAsNew,
    Evicted,
    NondeterminismError,
    ReadOnlyContextError,
    UnfinishedSignalHandlersWarning,
)
from durably.workflow._runtime import Info, Runtime

logger = logging.getLogger("durably.worker")

_get_running_loop = asyncio._get_running_loop
_set_running_loop = asyncio._set_running_loop
_swap_current_task: Any = getattr(asyncio.tasks, "_swap_current_task", None)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SKIPPED_FOLDERS = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep for path in (os.path.dirname(__file__), asyncio.__file__)
)
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
        except Exception as inner:
            return msg.Failure(message=f"{error} (and the failure converter failed: {inner})")
        return failure


class WorkflowInstance(Runtime):
    """One run. Not thread-safe; must always be activated from the same thread."""

    def __init__(self, definition: _Definition, options: InstanceOptions) -> None:
        self.definition = definition
        self.payload_converter = options.payload_converter
        self._options = options
        self._failure_types = (*options.failure_exception_types, *definition.failure_exception_types)
        self._context = contextvars.Context()
        self.instance: Any = None
        self.handlers: dict[str, dict[str | None, Any]] = {
            "signal": dict(definition.signals),
            "query": dict(definition.queries),
        }
        self.is_replaying = False
        self.read_only = False
        self.cancel_reason = None
        self.current_details = ""
        self.time_ns = 0
        self._info: Info | None = None
        self._start: Any = None
        self._main: asyncio.Task[None] | None = None
        self._cancel_requested = False
        self._closed = False
        self._evicted = False
        self.task_error: BaseException | None = None
        """Why the last activation failed the workflow task, if it did."""
        self._commands: list[Any] = []
        self._seq = {"timer": 0, "activity": 0, "signal": 0}
        self._timers: dict[int, TimerHandle] = {}
        self._timer_summary: str | None = None
        self._activities: dict[int, PendingActivity] = {}
        self._buffered_signals: dict[str, list[Any]] = {}
        self._running_handlers: dict[int, _SignalDefinition] = {}

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
        self._commands = []
        self.task_error = None
        jobs = activation.jobs
        run_id = activation.run_id
        if jobs and jobs[-1].evict is not None:
            self.evict()
            return msg.WorkflowCompletion(run_id=run_id, success=msg.ActivationSuccess())
        if self._start is None:
            self._initialize(jobs, run_id)
        outer = _get_running_loop()
        outer_task = _swap_current_task(outer, None) if _swap_current_task and outer is not None else None
        hooks = sys.get_asyncgen_hooks()
        _set_running_loop(None)
        _set_running_loop(self.loop)
        sys.set_asyncgen_hooks(self.loop.asyncgen_started, _leave_alone)
        try:
            self._context.run(self._apply, jobs)
        except Exception as err:
            self._settle(err)
        finally:
            sys.set_asyncgen_hooks(*hooks)
            _set_running_loop(None)
            _set_running_loop(outer)
            if outer_task is not None:
                _swap_current_task(outer, outer_task)
        return self._completion(run_id)

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
        signals, queries, others = [], [], []
        for job in jobs:
            if job.signal is not None:
                signals.append(job.signal)
            elif job.query is not None:
                queries.append(job.query)
            else:
                others.append(job)
        run = self.loop.run_until_blocked
        if signals:
            for signal in signals:
                self._deliver_signal(signal)
            run(True)
        if others and self.task_error is None:
            for job in others:
                self._apply_job(job)
            run(True)
        if queries and self.task_error is None:
            for query in queries:
                self._answer_query(query)
            run(False)
        error, self.loop.callback_error = self.loop.callback_error, None
        if error is not None:
            self._settle(error)

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
        return self.payload_converter.from_payloads(payloads, definition.signature.hints(len(payloads)))

    def _apply_job(self, job: Any) -> None:
        if (fired := job.fire_timer) is not None:
            handle = self._timers.pop(fired.seq, None)
            if handle is None:
                if fired.seq > self._seq["timer"]:
                    raise NondeterminismError(f"the history fires timer {fired.seq}, which the code hasn't started")
                # A signal of the same activation made the code cancel it: signals go first.
                return
            handle.seq = 0
            self.loop.push_ready(handle)
        elif (resolved := job.resolve_activity) is not None:
            self._resolve_activity(resolved)
        elif job.initialize is not None:
            self._main = self.loop.create_task(self._run_main(), name=f"{self._start.workflow_type}.run")
        elif (cancelled := job.cancel) is not None:
            self._cancel_requested = True
            self.cancel_reason = cancelled.reason
            if self._main is not None:
                self.loop.call_soon(self._main.cancel)
        elif job.update_random_seed is not None:
            self.random_seed = job.update_random_seed.randomness_seed
            self.random.seed(self.random_seed)
        else:
            raise RuntimeError("the core sent a job that this SDK doesn't know; update the durably package")

    def _completion(self, run_id: str) -> Any:
        error = self.task_error
        if error is not None:
            nondeterminism = isinstance(error, NondeterminismError)
            failure = msg.ActivationFailure(failure=self._options.failure_of(error), nondeterminism=nondeterminism)
            return msg.WorkflowCompletion(run_id=run_id, failure=failure)
        issued = commands.until_closed(self._commands) if self._closed else self._commands
        weight = 8_000 + 2_500 * len(self.loop._tasks)
        return msg.WorkflowCompletion(run_id=run_id, success=msg.ActivationSuccess(commands=issued, cache_bytes=weight))

    def abandon(self) -> None:
        """Stop the run where it stands; from another thread than the one in which it stands."""
        self._evicted = True
        if self._start is not None:
            self.loop.abandoned = True

    def frames(self) -> list[tuple[str, int, str]]:
        """Where the run's coroutines stand: of the oldest that stands somewhere in the user's code."""
        tasks = self.loop.live_tasks() if self._start is not None else []
        return next((frames for task in tasks if (frames := builtin.frames_of(task.get_coro()))), [])

    def evict(self) -> None:
        """Forget the run: end its coroutines without letting them do anything to it."""
        self._evicted = True
        if self._start is None:
            return
        outer = _get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        _set_running_loop(None)
        _set_running_loop(self.loop)
        sys.set_asyncgen_hooks(self.loop.asyncgen_started, _leave_alone)
        self.is_replaying = True
        try:
            self._context.run(self.loop.close_all)
        finally:
            sys.set_asyncgen_hooks(*hooks)
            _set_running_loop(None)
            _set_running_loop(outer)
        self._timers.clear()
        self._activities.clear()
        self._main = None
        self.instance = None
        self.handlers = {"signal": {}, "query": {}}
        # Break the cycle, so that a forgotten run is freed at once and not by the garbage collector.
        self.loop.runtime = _NO_TIMERS

    # -- The main method and how it ends

    async def _run_main(self) -> None:
        await self._run_top_level(self._call_run)

    async def _call_run(self) -> None:
        result = await self.definition.run_fn(self.instance, *self._run_args)
        payload = self.payload_converter.to_payload(result)
        self._close("complete_workflow", msg.CompleteWorkflow(result=payload))

    async def _run_top_level(self, fn: Callable[..., Any], *args: Any) -> None:
        """Run a main method or signal handler; what leaves it ends the workflow or fails the task."""
        try:
            await fn(*args)
        except (Evicted, GeneratorExit):
            raise
        except (Exception, ContinueAsNew, asyncio.CancelledError) as err:
            if not self._evicted:
                self._settle(err)

    def _settle(self, error: BaseException) -> None:
        """What an error does that left workflow code, or that arose before the code could run: it ends the workflow, or
        fails the task."""
        if isinstance(error, ContinueAsNew):
            self._close("continue_as_new", error.command)
        elif self._cancel_requested and is_cancelled_exception(error):
            self._close("cancel_workflow", msg.CancelWorkflow())
        elif isinstance(error, asyncio.CancelledError) or self.is_failure_exception(error):
            self._close("fail_workflow", msg.FailWorkflow(failure=self._failure_of(error)))
        elif self.task_error is None:
            self.task_error = error

    def _failure_of(self, error: BaseException) -> Any:
        before = self.set_deterministic(False)
        try:
            return self._options.failure_of(error)
        finally:
            self.set_deterministic(before)

    def _close(self, kind: str, command: Any) -> None:
        self._commands.append(msg.WorkflowCommand(**{kind: command}))
        if self._closed:
            return
        self._closed = True
        warned = [
            handler.name or "<dynamic>"
            for handler in self._running_handlers.values()
            if handler.unfinished_policy is HandlerUnfinishedPolicy.WARN_AND_ABANDON
        ]
        if warned and not self.is_replaying:
            warnings.warn(
                f"Workflow {self.info().workflow_id} finished while signal handlers are still running: "
                f"{', '.join(warned)}. They are abandoned; end with "
                "`await workflow.wait_condition(workflow.all_handlers_finished)` to let them finish, or give "
                "@workflow.signal unfinished_policy=HandlerUnfinishedPolicy.ABANDON.",
                UnfinishedSignalHandlersWarning,
                stacklevel=2,
            )

    def is_failure_exception(self, error: BaseException) -> bool:
        return isinstance(error, (FailureError, asyncio.TimeoutError, *self._failure_types))

    # -- Commands

    def check_writable(self, action: str) -> None:
        if self._evicted:
            raise Evicted
        if self.read_only:
            raise ReadOnlyContextError(f"While in read-only function, action attempted: {action}")

    def _command(self, summary: str | None = None, **command: Any) -> None:
        if summary:
            command["user_metadata"] = msg.UserMetadata(summary=self.payload_converter.to_payload(summary))
        self._commands.append(msg.WorkflowCommand(**command, location=self._location()))

    def _location(self) -> str:
        """`file:line` of the user's code that issues a command."""
        frame: Any = sys._getframe(2)
        loop_code = WorkflowLoop._run_handle.__code__
        while frame is not None and frame.f_code is not loop_code:
            filename = frame.f_code.co_filename
            if not filename.startswith(_SKIPPED_FOLDERS) and filename[0] != "<":
                return f"{filename}:{frame.f_lineno}"
            frame = frame.f_back
        # Started by gather or create_task, with no user code below: tell where the main method waits.
        frames = builtin.frames_of(self._main.get_coro()) if self._main is not None else []
        frames = [f for f in frames if not f[0].startswith(_SKIPPED_FOLDERS)]
        return f"{frames[-1][0]}:{frames[-1][1]}" if frames else ""

    def start_timer(self, seconds: float, handle: TimerHandle) -> None:
        summary, self._timer_summary = self._timer_summary, None
        self.check_writable("start timer")
        seq = self._seq["timer"] = self._seq["timer"] + 1
        handle.seq = seq
        self._timers[seq] = handle
        self._command(summary, start_timer=commands.start_timer(seq, seconds))

    def cancel_timer(self, handle: TimerHandle) -> None:
        seq = handle.seq
        if self._timers.pop(seq, None) is not None and not self._evicted:
            handle.seq = 0
            self._command(cancel_timer=msg.CancelTimer(seq=seq))

    async def sleep(self, seconds: float, summary: str | None) -> None:
        future = self.loop.create_future()
        self._timer_summary = summary
        handle = self.loop.call_later(seconds, _wake, future)
        try:
            await future
        finally:
            handle.cancel()

    async def wait_condition(self, fn: Callable[[], bool], timeout: float | None, timeout_summary: str | None) -> None:
        self.check_writable("wait condition")
        future: asyncio.Future[None] = self.loop.create_future()
        self.loop.add_condition(fn, future)
        self._timer_summary = timeout_summary
        await asyncio.wait_for(future, timeout)

    def start_activity(self, options: ActivityOptions) -> ActivityHandle[Any]:
        self.check_writable("start activity")
        seq = self._seq["activity"] = self._seq["activity"] + 1
        eager = not (self._options.disable_eager_activity_execution or options.disable_eager_execution)
        command = commands.schedule_activity(seq, options, self.info(), self.payload_converter, eager=eager)
        self._command(options.summary, schedule_activity=command)

        def request_cancel() -> None:
            if not self._evicted:
                self._command(request_cancel_activity=msg.RequestCancelActivity(seq=seq))

        pending = PendingActivity(self.loop.create_future(), options.ret_type, request_cancel)
        self._activities[seq] = pending
        task: ActivityTask = self.loop.make_task(ActivityTask, pending.wait(), f"activity {options.name}")
        task.pending = pending
        return task

    def _resolve_activity(self, job: Any) -> None:
        pending = self._activities.pop(job.seq, None)
        if pending is None:
            raise NondeterminismError(f"the history resolves activity {job.seq}, which the code hasn't scheduled")
        future, result = pending.future, job.result
        if future.done():
            return
        success = result.completed
        if success is None:
            failure = result.failed if result.failed is not None else result.cancelled
            error = self._options.failure_converter.from_failure(failure, self.payload_converter)
            future.set_exception(error)
            # Nobody has to look at it: the handle may have been dropped.
            future.exception()
            return
        try:
            value = None
            if success.result is not None:
                value = self.payload_converter.from_payload(success.result, pending.ret_type)
        except Exception as err:
            # Raised where the workflow waits for the result, so that the stack shows which activity it was.
            future.set_exception(err)
            future.exception()
        else:
            future.set_result(value)

    def continue_as_new(self, **options: Any) -> ContinueAsNew:
        self.check_writable("continue as new")
        return ContinueAsNew(commands.continue_as_new(self.info(), self.payload_converter, **options))

    # -- Signals

    def _deliver_signal(self, signal: Any) -> None:
        handler = self.handlers["signal"].get(signal.name) or self.handlers["signal"].get(None)
        if handler is None:
            self._buffered_signals.setdefault(signal.name, []).append(signal)
            return
        try:
            args = self._handler_args(handler, signal.name, signal.arguments)
        except Exception:
            logger.exception("Failed deserializing signal input for %s, dropping the signal", signal.name)
            return
        self._seq["signal"] += 1
        key = self._seq["signal"]
        self._running_handlers[key] = handler
        call = self._run_top_level(self._call_signal, key, handler, args)
        self.loop.create_task(call, name=f"signal: {signal.name}")

    async def _call_signal(self, key: int, handler: _SignalDefinition, args: Sequence[Any]) -> None:
        try:
            result = handler.fn(self.instance, *args) if handler.is_method else handler.fn(*args)
            if result is not None and asyncio.iscoroutine(result):
                await result
        finally:
            self._running_handlers.pop(key, None)

    def _handler_args(self, handler: Any, name: str, payloads: Sequence[Any]) -> list[Any]:
        if handler.name is None:
            return [name, [RawValue(payload) for payload in payloads]]
        signature = handler.signature
        if not signature.variadic:
            payloads = payloads[: len(signature.arg_types)]
        return self.payload_converter.from_payloads(payloads, signature.hints(len(payloads)))

    def all_handlers_finished(self) -> bool:
        return not self._running_handlers

    def get_handler(self, kind: str, name: str | None) -> Callable[..., Any] | None:
        handler = self.handlers[kind].get(name)
        if handler is None:
            return None
        fn: Callable[..., Any] = handler.fn
        return fn.__get__(self.instance) if handler.is_method else fn

    def set_handler(self, kind: str, name: str | None, handler: Callable[..., Any] | None) -> None:
        self.check_writable(f"set {kind} handler")
        if handler is None:
            self.handlers[kind].pop(name, None)
            return
        make: Any = _SignalDefinition._make if kind == "signal" else _QueryDefinition._make
        self.handlers[kind][name] = make(handler, name, name is None, is_method=False)
        if kind == "signal":
            waiting = list(self._buffered_signals) if name is None else [name]
            for buffered in waiting:
                for signal in self._buffered_signals.pop(buffered, []):
                    self._deliver_signal(signal)

    # -- Queries

    def _answer_query(self, query: Any) -> None:
        answer = msg.QueryAnswer(id=query.id)
        self.read_only = True
        try:
            answer.succeeded = self._query_result(query)
        except Exception as err:
            answer.failed = self._failure_of(err)
        finally:
            self.read_only = False
        self._commands.append(msg.WorkflowCommand(query_answer=answer))

    def _query_result(self, query: Any) -> Any:
        handlers = self.handlers["query"]
        handler = handlers.get(query.name)
        if handler is None and query.name == builtin.STACK_TRACE:
            return self.payload_converter.to_payload(builtin.stack_trace(self.loop.live_tasks()))
        if handler is None and query.name == builtin.METADATA:
            return builtin.metadata(self)
        handler = handler or handlers.get(None)
        if handler is None:
            known = " ".join(sorted([*(name for name in handlers if name), *builtin.NAMES]))
            raise RuntimeError(f"Query handler for '{query.name}' expected but not found, known queries: [{known}]")
        args = self._handler_args(handler, query.name, query.arguments)
        result = handler.fn(self.instance, *args) if handler.is_method else handler.fn(*args)
        if asyncio.iscoroutine(result):
            result = _run_at_once(result, query.name)
        return self.payload_converter.to_payload(result)

    # -- What the workflow can read

    def info(self) -> Info:
        assert self._info is not None  # set by the first activation
        return self._info

    def build_id(self) -> str:
        return self._options.build_id

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
            None if failure is None else self._options.failure_converter.from_failure(failure, self.payload_converter)
        )

    def set_deterministic(self, value: bool) -> bool:
        before = self.loop.deterministic
        self.loop.deterministic = value
        return before


def _run_at_once(coroutine: Any, name: str) -> Any:
    """The result of a query handler that is `async def` without need."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise ReadOnlyContextError(f"Query handler {name} waits for something; a query has to be answered at once")


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _leave_alone(generator: Any) -> None:
    """An abandoned async generator is not finalized: when that happens is up to the garbage collector."""

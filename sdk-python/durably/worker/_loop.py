"""The deterministic asyncio event loop that a workflow runs on.

Callbacks run first in, first out; `call_later` is a durable timer; nothing comes from outside but what an activation
brings. Tasks and futures hash by their number within the run, not by address, so that sets of them (asyncio uses sets
throughout: `wait`, `as_completed`, `TaskGroup`) have the same order in every replay, whatever PYTHONHASHSEED is.

How often a continuation passes through the ready queue decides the order of commands, so it must not change between
releases: histories would no longer replay.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import contextlib
import contextvars
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from durably.workflow._exceptions import CutOff, ReadOnlyContextError

if TYPE_CHECKING:
    # For type checkers AbstractEventLoop is abstract; at run time it isn't, and most of it must never be called here.
    _AbstractEventLoop: Any
else:
    _AbstractEventLoop = asyncio.AbstractEventLoop

_MASK = (1 << 60) - 1


class Timers(Protocol):
    """What the loop needs from the run."""

    time_ns: int

    def start_timer(self, seconds: float, handle: TimerHandle) -> None: ...

    def cancel_timer(self, handle: TimerHandle) -> None: ...


class Handle(asyncio.Handle):
    """A callback in the ready queue. As asyncio's, without its debugging."""

    __slots__ = ()

    def __init__(
        self, callback: Any, args: Any, loop: asyncio.AbstractEventLoop, context: contextvars.Context | None
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class TimerHandle(asyncio.TimerHandle):
    """A durable timer. `seq` is 0 while none is pending."""

    __slots__ = ("seq", "summary")

    seq: int
    summary: str | None


class Future(asyncio.Future):  # type: ignore[type-arg]
    """A future whose hash doesn't depend on where it is in memory."""

    def __hash__(self) -> int:
        return _stable_hash(self)


class Task(asyncio.Task):  # type: ignore[type-arg]
    """A task whose hash doesn't depend on where it is in memory."""

    def __hash__(self) -> int:
        return _stable_hash(self)


def _stable_hash(item: Any) -> int:
    try:
        return item._durably_hash  # type: ignore[no-any-return]
    except AttributeError:
        found: int = item.get_loop().next_hash()
        item._durably_hash = found
        return found


class WorkflowLoop(_AbstractEventLoop):  # type: ignore[misc]
    """The event loop of one run. `run_until_blocked` is its only engine."""

    def __init__(self, runtime: Timers, seed: int) -> None:
        self.runtime = runtime
        self.deterministic = True
        """Whether time, randomness and I/O are under guard."""
        self._ready: deque[Handle] = deque()
        self._conditions: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._tasks: list[Task] = []
        self._asyncgens: list[Any] = []
        # Spread over all runs, so that asyncio's process-wide set of tasks doesn't degrade.
        self._hash = (seed * 0x9E3779B97F4A7C15) & _MASK
        self._task_count = 0
        self._error_handler: Any = None
        self.callback_error: BaseException | None = None
        self.abandoned = False
        """Set from another thread, to stop the loop where it stands."""

    def next_hash(self) -> int:
        """The next number for a task or future."""
        self._hash = (self._hash + 1) & _MASK
        return self._hash

    # -- Running

    def run_until_blocked(self, check_conditions: bool) -> None:
        """Run callbacks until none is ready, and no wait condition has become true."""
        ready = self._ready
        while True:
            while ready:
                if self.abandoned:
                    raise CutOff
                handle = ready.popleft()
                if not handle._cancelled:
                    self._run_handle(handle)
            if not check_conditions or not self._conditions or not self._check_conditions():
                return
            if self.abandoned:
                raise CutOff

    def _run_handle(self, handle: Any) -> None:
        try:
            handle._context.run(handle._callback, *handle._args)
        except CutOff:
            raise
        except BaseException as err:
            self.call_exception_handler({"message": "Exception in a callback", "exception": err})

    def _check_conditions(self) -> bool:
        """Settle the conditions that became true, in the order in which they were waited for."""
        remaining = []
        settled = False
        for condition in self._conditions:
            fn, future = condition
            if future.done():
                continue
            try:
                if fn():
                    future.set_result(None)
                    settled = True
                else:
                    remaining.append(condition)
            except CutOff:
                raise
            except BaseException as err:
                future.set_exception(_as_awaited(err))
                settled = True
        self._conditions = remaining
        return settled

    def add_condition(self, fn: Callable[[], bool], future: asyncio.Future[None]) -> None:
        """Set the future's result as soon as `fn` returns true after some callback has run."""
        self._conditions.append((fn, future))

    def run_next(self, coro: Any, name: str) -> None:
        """Make a task whose first step comes before everything that is ready."""
        self.create_task(coro, name=name)
        self._ready.appendleft(self._ready.pop())

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While this is open nothing can be made to run: what only reads must leave no trace that a replay would miss."""
        hashes, tasks = self._hash, self._task_count
        self.call_soon = self.create_task = _refuse_to_run  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            del self.call_soon, self.create_task
            self._hash, self._task_count = hashes, tasks

    def push_ready(self, handle: Any) -> None:
        """Queue a timer's callback."""
        self._ready.append(handle)

    # -- What asyncio asks of a loop

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None) -> Any:
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        handle = TimerHandle(self.time() + delay, callback, list(args), self, context)
        handle.seq = 0
        self.runtime.start_timer(delay, handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: Any) -> None:
        self.runtime.cancel_timer(handle)

    def time(self) -> float:
        """Deterministic time of the current workflow task, in seconds since the epoch."""
        return self.runtime.time_ns / 1e9

    def create_future(self) -> Any:
        return Future(loop=self)

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **kwargs: Any,
    ) -> Any:
        return self.make_task(Task, coro, name, context, **kwargs)

    def make_task(
        self, cls: Any, coro: Any, name: object = None, context: contextvars.Context | None = None, **kwargs: Any
    ) -> Any:
        """Make a task of the class, numbered within the run."""
        self._task_count += 1
        if context is not None:
            # Python 3.10 knows no `context` here, and nobody can pass one there.
            kwargs["context"] = context
        task = cls(coro, loop=self, name=str(name) if name else f"Task-{self._task_count}", **kwargs)
        hash(task)
        tasks = self._tasks
        tasks.append(task)
        if len(tasks) >= 64 and len(tasks) & (len(tasks) - 1) == 0:
            self._tasks = [t for t in tasks if not t.done()]
        return task

    def live_tasks(self) -> list[Task]:
        """Tasks that aren't done, oldest first."""
        return [task for task in self._tasks if not task.done()]

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        pass

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def get_task_factory(self) -> Any:
        return None

    def get_exception_handler(self) -> Any:
        return self._error_handler

    def set_exception_handler(self, handler: Any) -> None:
        self._error_handler = handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._error_handler is not None:
            self._error_handler(self, context)
        elif (
            isinstance(context.get("exception"), BaseException) and "handle" not in context and "future" not in context
        ):
            self.callback_error = self.callback_error or context["exception"]

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        pass

    # -- Async generators: held until they end, because the garbage collector is not deterministic

    def asyncgen_started(self, generator: Any) -> None:
        """Called by the interpreter for each async generator's first iteration."""
        held = self._asyncgens
        held.append(generator)
        if len(held) >= 32 and len(held) & (len(held) - 1) == 0:
            self._asyncgens = [g for g in held if g.ag_frame is not None]

    # -- Forgetting the run

    def close_all(self) -> None:
        """End every coroutine where it stands. Runs `finally` blocks, with nothing they can do to the run."""
        self._ready.clear()
        self._conditions = []
        task: Any
        for task in self._tasks:
            task._log_destroy_pending = False
            if task.done():
                _forget_exception(task)
                continue
            _end(task.get_coro())
        self._ready.clear()
        self._tasks = []
        self._asyncgens = []


def _refuse_to_run(target: Any, *args: Any, **kwargs: Any) -> NoReturn:
    if asyncio.iscoroutine(target):
        target.close()
    raise ReadOnlyContextError("While in read-only function, action attempted: schedule task")


# Coroutines that refuse to end. Collected as garbage, they would go on in whatever workflow happens to run then.
_undying: list[Any] = []


def _end(coroutine: Any) -> None:
    """Close a coroutine and those it awaits, innermost first: one that refuses must not get lost inside another."""
    chain = []
    while getattr(coroutine, "cr_frame", None) is not None:
        chain.append(coroutine)
        coroutine = coroutine.cr_await
    for each in reversed(chain):
        _close(each)


def _close(coroutine: Any) -> None:
    """Close a coroutine, again and again while its `finally` blocks await something."""
    for _ in range(100):
        try:
            coroutine.close()
            return
        except BaseException:
            # "coroutine ignored GeneratorExit", or an error of a `finally` block, which nobody is left to hear.
            if coroutine.cr_frame is None:
                return
    _undying.append(coroutine)


def _forget_exception(task: Any) -> None:
    if not task.cancelled():
        task.exception()


def _as_awaited(error: BaseException) -> BaseException:
    """The error as a coroutine may raise it: StopIteration is how coroutines return."""
    if not isinstance(error, StopIteration):
        return error
    raised = RuntimeError("a wait condition raised StopIteration")
    raised.__cause__ = error
    return raised


def _forbid(name: str, fix: str) -> None:
    def method(self: WorkflowLoop, *args: Any, **kwargs: Any) -> NoReturn:
        from durably.worker._guard import violation

        raise violation(f"asyncio's {name}", fix)

    setattr(WorkflowLoop, name, method)


_IN_ACTIVITY = "do it in an activity"
for _name in (
    "call_soon_threadsafe",
    "run_in_executor",
    "set_default_executor",
    "getaddrinfo",
    "getnameinfo",
    "create_connection",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "create_datagram_endpoint",
    "connect_read_pipe",
    "connect_write_pipe",
    "subprocess_shell",
    "subprocess_exec",
    "add_reader",
    "add_writer",
    "sock_recv",
    "sock_connect",
    "sock_sendall",
    "sock_accept",
    "add_signal_handler",
    "run_forever",
    "run_until_complete",
    "close",
    "stop",
):
    _forbid(_name, "await it" if _name.startswith("run_") and "exec" not in _name else _IN_ACTIVITY)


def _install_stable_gather() -> None:
    """`asyncio.gather` makes futures of a class of its own; they hash like ours inside a workflow."""
    gathering: Any = getattr(asyncio.tasks, "_GatheringFuture", None)

    def stable(self: Any) -> int:
        return _stable_hash(self) if type(self._loop) is WorkflowLoop else object.__hash__(self)

    if gathering is not None:
        gathering.__hash__ = stable


def _install_ordered_sets() -> None:
    """`asyncio.wait` and `as_completed` start bare coroutines in the order of a set; start them in the given order."""

    def ordered(original: Any) -> Any:
        def call(fs: Any, **kwargs: Any) -> Any:
            loop = asyncio._get_running_loop()
            if type(loop) is WorkflowLoop:
                if asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
                    return original(fs, **kwargs)
                unique = dict.fromkeys(fs)
                if original.__name__ == "as_completed" or sys.version_info < (3, 11):
                    fs = [asyncio.ensure_future(f, loop=loop) for f in unique]
                else:
                    fs = list(unique)
            return original(fs, **kwargs)

        call.__name__, call.__qualname__, call.__doc__ = original.__name__, original.__qualname__, original.__doc__
        call.__wrapped__ = original  # type: ignore[attr-defined]
        return call

    tasks: Any = asyncio.tasks
    package: Any = asyncio
    package.wait = tasks.wait = ordered(tasks.wait)
    package.as_completed = tasks.as_completed = ordered(tasks.as_completed)


_install_stable_gather()
_install_ordered_sets()

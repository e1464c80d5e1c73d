"""Signal and query handlers of a run: which there are, what waits for one, and their calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from durably import _messages as msg
from durably._signature import decode_arguments
from durably.common import RawValue
from durably.worker import _builtin_queries as builtin
from durably.worker import _interception as interception
from durably.workflow._definition import HandlerUnfinishedPolicy, _QueryDefinition, _SignalDefinition
from durably.workflow._exceptions import CutOff, ReadOnlyContextError

if TYPE_CHECKING:
    from durably.worker._workflow_instance import WorkflowInstance

logger = logging.getLogger("durably.worker")


class Handlers:
    """The handlers of one run; those of None are dynamic."""

    def __init__(self, run: WorkflowInstance) -> None:
        self._run = run
        self.signals: dict[str | None, Any] = dict(run.definition.signals)
        self.queries: dict[str | None, Any] = dict(run.definition.queries)
        self._buffered: dict[str, list[Any]] = {}
        self._running: dict[int, _SignalDefinition] = {}
        self._last_signal = 0

    def get(self, kind: str, name: str | None) -> Callable[..., Any] | None:
        """The handler, bound to the workflow object."""
        handler = self._of(kind).get(name)
        if handler is None:
            return None
        fn: Callable[..., Any] = handler.fn
        return fn.__get__(self._run.instance) if handler.is_method else fn

    def set(self, kind: str, name: str | None, handler: Callable[..., Any] | None) -> None:
        """Set or remove (None) a handler; signals that waited for it are delivered."""
        self._run.check_writable(f"set {kind} handler")
        if handler is None:
            self._of(kind).pop(name, None)
            return
        make: Any = _SignalDefinition._make if kind == "signal" else _QueryDefinition._make
        self._of(kind)[name] = make(handler, name, name is None, is_method=False)
        if kind == "signal":
            waiting = list(self._buffered) if name is None else [name]
            for buffered in waiting:
                for signal in self._buffered.pop(buffered, []):
                    self.deliver_signal(signal)

    def _of(self, kind: str) -> dict[str | None, Any]:
        return self.signals if kind == "signal" else self.queries

    def _args(self, handler: Any, name: str, payloads: Sequence[Any]) -> list[Any]:
        if handler.name is None:
            return [name, [RawValue(payload) for payload in payloads]]
        signature = handler.signature
        if not signature.variadic:
            # Callers may be newer than this worker: what it doesn't know, it doesn't need.
            payloads = payloads[: len(signature.arg_types)]
        return decode_arguments(self._run.payload_converter, payloads, signature)

    # -- Signals

    def deliver_signal(self, signal: Any) -> None:
        """Start the signal's handler, or keep the signal until there is one."""
        handler = self.signals.get(signal.name) or self.signals.get(None)
        if handler is None:
            self._buffered.setdefault(signal.name, []).append(signal)
            return
        try:
            args = self._args(handler, signal.name, signal.arguments)
        except Exception:
            logger.exception("Failed deserializing signal input for %s, dropping the signal", signal.name)
            return
        self._last_signal = key = self._last_signal + 1
        self._running[key] = handler
        call = self._run.outcome.of(self._call_signal, key, interception.signal_input(signal, handler, args))
        self._run.loop.create_task(call, name=f"signal: {signal.name}")

    async def _call_signal(self, key: int, call: interception.HandleSignalInput) -> None:
        try:
            await self._run.inbound.handle_signal(call)
        finally:
            self._running.pop(key, None)

    def all_finished(self) -> bool:
        """Whether no handler is running."""
        return not self._running

    def unfinished(self) -> list[str]:
        """Names of running handlers that want to be waited for."""
        return [
            handler.name or "<dynamic>"
            for handler in self._running.values()
            if handler.unfinished_policy is HandlerUnfinishedPolicy.WARN_AND_ABANDON
        ]

    # -- Queries

    def answer_query(self, query: Any) -> None:
        """Answer at once, with a result or a failure."""
        run = self._run
        answer = msg.QueryAnswer(id=query.id)
        run.read_only = True
        try:
            answer.succeeded = self._query_result(query)
        except CutOff:
            raise
        except BaseException as err:
            answer.failed = run.outcome.failure_of(err)
        finally:
            run.read_only = False
        run.commands.issued.append(msg.WorkflowCommand(query_answer=answer))

    def _query_result(self, query: Any) -> Any:
        run = self._run
        handler = self.queries.get(query.name)
        if handler is None and query.name == builtin.STACK_TRACE:
            return run.payload_converter.to_payload(builtin.stack_trace(run.loop.live_tasks()))
        if handler is None and query.name == builtin.METADATA:
            return builtin.metadata(run)
        handler = handler or self.queries.get(None)
        if handler is None:
            known = " ".join(sorted([*(name for name in self.queries if name), *builtin.NAMES]))
            raise RuntimeError(f"Query handler for '{query.name}' expected but not found, known queries: [{known}]")
        args = self._args(handler, query.name, query.arguments)
        call = interception.query_input(query, handler, args)
        return run.payload_converter.to_payload(_run_at_once(run.inbound.handle_query(call), query.name))


def _run_at_once(coroutine: Any, name: str) -> Any:
    """The result of a query handler, which may be `async def` but not wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise ReadOnlyContextError(f"Query handler {name} waits for something; a query has to be answered at once")

"""Handlers of a run: which there are, which are running, what waits for one, and the calls of those of signals and queries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from durably import _messages as msg
from durably import converter
from durably._signature import decode_arguments
from durably.common import RawValue
from durably.worker import _builtin_queries as builtin
from durably.worker import _interception as interception
from durably.workflow._exceptions import CutOff, ReadOnlyContextError
from durably.workflow._handlers import HandlerUnfinishedPolicy, _QueryDefinition, _SignalDefinition, _UpdateDefinition

if TYPE_CHECKING:
    from durably.worker._workflow_instance import WorkflowInstance

logger = logging.getLogger("durably.worker")


_DEFINITIONS: dict[str, Any] = {"signal": _SignalDefinition, "query": _QueryDefinition, "update": _UpdateDefinition}
_PLACES = {"signal": "signals", "query": "queries", "update": "updates"}


class Handlers:
    """The handlers of one run; those of None are dynamic."""

    def __init__(self, run: WorkflowInstance) -> None:
        self._run = run
        self.signals: dict[str | None, Any] = dict(run.definition.signals)
        self.queries: dict[str | None, Any] = dict(run.definition.queries)
        self.updates: dict[str | None, _UpdateDefinition] = dict(run.definition.updates)
        self._buffered: dict[str, list[Any]] = {}
        # By number, if of a signal, or by the update's id: the handler, and what a warning calls it.
        self._running: dict[Hashable, tuple[_SignalDefinition | _UpdateDefinition, str]] = {}
        self._last_signal = 0

    def get(self, kind: str, name: str | None) -> Callable[..., Any] | None:
        """The handler, bound to the workflow object."""
        handler = self._of(kind).get(name)
        if handler is None:
            return None
        fn: Callable[..., Any] = handler.fn
        return fn.__get__(self._run.instance) if handler.is_method else fn

    def set(
        self,
        kind: str,
        name: str | None,
        handler: Callable[..., Any] | None,
        validator: Callable[..., Any] | None,
    ) -> None:
        """Set or remove (None) a handler; signals that waited for it are delivered."""
        self._run.check_writable(f"set {kind} handler")
        if handler is None:
            self._of(kind).pop(name, None)
            return
        definition = _DEFINITIONS[kind]._make(handler, name, name is None, is_method=False)
        if validator is not None:
            definition.set_validator(validator)
        self._of(kind)[name] = definition
        if kind == "signal":
            waiting = list(self._buffered) if name is None else [name]
            for buffered in waiting:
                for signal in self._buffered.pop(buffered, []):
                    self.deliver_signal(signal)

    def _of(self, kind: str) -> dict[str | None, Any]:
        found: dict[str | None, Any] = getattr(self, _PLACES[kind])
        return found

    def args(self, handler: Any, name: str, payloads: Sequence[Any]) -> list[Any]:
        if handler.name is None:
            return [name, [RawValue(payload) for payload in payloads]]
        signature = handler.signature
        if not signature.variadic:
            # Callers may be newer than this worker: what it doesn't know, it doesn't need.
            payloads = payloads[: len(signature.arg_types)]
        return decode_arguments(self._run.payload_converter, payloads, signature)

    # -- Running

    def begun(
        self, key: Hashable, handler: _SignalDefinition | _UpdateDefinition, name: str, id: str | None = None
    ) -> None:
        """A handler of a signal or of an update (which has an id) runs."""
        self._running[key] = handler, name if id is None else f"{name} (id {id})"

    def ended(self, key: Hashable) -> None:
        """It doesn't any more, if it ever did."""
        self._running.pop(key, None)

    def all_finished(self) -> bool:
        """Whether no handler is running."""
        return not self._running

    def unfinished(self) -> tuple[list[str], list[str]]:
        """Updates, and signals, whose running handlers want to be waited for."""
        found: tuple[list[str], list[str]] = [], []
        for handler, name in self._running.values():
            if handler.unfinished_policy is HandlerUnfinishedPolicy.WARN_AND_ABANDON:
                found[isinstance(handler, _SignalDefinition)].append(name)
        return found

    # -- Signals

    def deliver_signal(self, signal: Any) -> None:
        """Start the signal's handler, or keep the signal until there is one."""
        handler = self.signals.get(signal.name) or self.signals.get(None)
        if handler is None:
            self._buffered.setdefault(signal.name, []).append(signal)
            return
        try:
            args = self.args(handler, signal.name, signal.arguments)
        except Exception:
            logger.exception("Failed deserializing signal input for %s, dropping the signal", signal.name)
            return
        self._last_signal = key = self._last_signal + 1
        self.begun(key, handler, signal.name)
        call = self._run.outcome.of(self._call_signal, key, interception.signal_input(signal, handler, args))
        self._run.loop.create_task(call, name=f"signal: {signal.name}")

    async def _call_signal(self, key: int, call: interception.HandleSignalInput) -> None:
        try:
            await self._run.inbound.handle_signal(call)
        finally:
            self.ended(key)

    # -- Queries

    def answer_query(self, query: Any) -> None:
        """Answer at once, with a result or a failure."""
        run = self._run
        answer = msg.QueryAnswer(id=query.id)
        try:
            with run.reading():
                answer.succeeded = self._query_result(query)
        except CutOff:
            raise
        except BaseException as err:
            answer.failed = run.outcome.failure_of(err)
        run.commands.issued.append(msg.WorkflowCommand(query_answer=answer))

    def _query_result(self, query: Any) -> Any:
        run = self._run
        handler = self.queries.get(query.name)
        if handler is None and query.name == builtin.STACK_TRACE:
            return run.payload_converter.to_payload(builtin.stack_trace(run.loop.live_tasks()))
        if handler is None and query.name == builtin.METADATA:
            # By ours: the user's converter need not know messages.
            return converter.PayloadConverter.default.to_payload(builtin.metadata(run))
        handler = handler or self.queries.get(None)
        if handler is None:
            known = " ".join(sorted([*(name for name in self.queries if name), *builtin.NAMES]))
            raise RuntimeError(f"Query handler for '{query.name}' expected but not found, known queries: [{known}]")
        args = self.args(handler, query.name, query.arguments)
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

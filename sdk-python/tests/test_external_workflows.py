"""Activations in, commands out: signals and cancellations from workflow to workflow, and what is told of wrong calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from activations import PAYLOADS, Run, cancel, cancel_delivered, delivered, describe, fire

from durably import _messages as msg
from durably import workflow
from durably.exceptions import ApplicationError, CancelledError


@workflow.defn
class Other:
    @workflow.run
    async def run(self) -> None: ...

    @workflow.signal(name="note!")
    def note(self, text: str) -> None: ...

    @workflow.signal
    def nothing(self) -> None: ...


@workflow.defn
class Speaks:
    """Runs what the test gives it."""

    body: Any = None

    @workflow.run
    async def run(self) -> Any:
        return await self.body()


def speaks(body: Any) -> Run:
    Speaks.body = staticmethod(body)
    return Run(Speaks)


def asked_for(run: Run) -> list[str]:
    return [describe(command) for command in run.completion.success.commands]


NOT_FOUND = msg.Failure(
    message="not there", application_failure_info=msg.ApplicationFailureInfo(type="ExternalWorkflowExecutionNotFound")
)
CANCELLED = msg.Failure(message="taken back", canceled_failure_info=msg.CanceledFailureInfo())


def test_signals() -> None:
    async def body() -> Any:
        other = workflow.get_external_workflow_handle_for(Other.run, "o1")
        await other.signal(Other.note, "a")
        await other.signal(Other.nothing)
        exact = workflow.get_external_workflow_handle("o2", run_id="r2")
        await exact.signal("pair", args=[1, 2])
        return [other.id, other.run_id, exact.id, exact.run_id]

    run = speaks(body)
    (command,) = run.start()
    sent = command.signal_external_workflow
    assert (sent.seq, sent.signal_name, PAYLOADS.from_payloads(sent.arguments)) == (1, "note!", ["a"])
    assert sent.child_workflow_id == "" and sent.headers == {}
    assert sent.workflow == msg.ExternalWorkflow(namespace="default", workflow_id="o1")
    (command,) = run.activate(delivered(1))
    assert (command.signal_external_workflow.signal_name, command.signal_external_workflow.arguments) == ("nothing", [])
    (command,) = run.activate(delivered(2))
    sent = command.signal_external_workflow
    assert (sent.workflow.run_id, PAYLOADS.from_payloads(sent.arguments)) == ("r2", [1, 2])
    run.activate(delivered(3))
    assert run.result == ["o1", None, "o2", "r2"]


def test_a_signal_that_does_not_arrive() -> None:
    async def body() -> Any:
        try:
            await workflow.get_external_workflow_handle("o1").signal("x")
        except ApplicationError as error:
            return [error.type, error.message]

    run = speaks(body)
    run.start()
    run.activate(delivered(1, NOT_FOUND))
    assert run.result == ["ExternalWorkflowExecutionNotFound", "not there"]


def test_a_signal_that_does_not_arrive_fails_the_workflow_if_nobody_catches_it() -> None:
    async def body() -> Any:
        await workflow.get_external_workflow_handle("o1").signal("x")

    run = speaks(body)
    run.start()
    run.activate(delivered(1, NOT_FOUND))
    assert run.failure().application_failure_info.type == "ExternalWorkflowExecutionNotFound"


def test_a_signal_is_taken_back() -> None:
    async def body() -> Any:
        sending = asyncio.create_task(workflow.get_external_workflow_handle("o1").signal("x"))
        await asyncio.sleep(0)
        sending.cancel()
        try:
            await sending
        except CancelledError as error:
            return error.message
        return "delivered"

    for answer, result in [(CANCELLED, "taken back"), (None, "delivered")]:
        run = speaks(body)
        run.start()
        assert asked_for(run) == ["signal_external_workflow 1", "cancel_signal_external_workflow 1"]
        run.activate(delivered(1, answer))
        assert run.result == result


def test_a_cancellation() -> None:
    async def body() -> Any:
        await workflow.get_external_workflow_handle("o1").cancel()
        await workflow.get_external_workflow_handle("o2", run_id="r2").cancel(reason="enough")
        try:
            await workflow.get_external_workflow_handle("o3").cancel()
        except ApplicationError as error:
            return error.type

    run = speaks(body)
    (command,) = run.start()
    asked = command.request_cancel_external_workflow
    assert (asked.seq, asked.reason) == (1, "")
    assert asked.workflow == msg.ExternalWorkflow(namespace="default", workflow_id="o1")
    (command,) = run.activate(cancel_delivered(1))
    asked = command.request_cancel_external_workflow
    assert (asked.reason, asked.workflow.workflow_id, asked.workflow.run_id) == ("enough", "o2", "r2")
    run.activate(cancel_delivered(2))
    run.activate(cancel_delivered(3, NOT_FOUND))
    assert run.result == "ExternalWorkflowExecutionNotFound"


def test_a_cancellation_cannot_be_taken_back_but_the_wait_for_it_can_end() -> None:
    async def body() -> Any:
        try:
            await workflow.get_external_workflow_handle("o1").cancel()
        except asyncio.CancelledError:
            await workflow.sleep(1)
            raise

    run = speaks(body)
    run.start()
    run.activate(cancel())
    assert asked_for(run) == ["timer 1 1.0"]
    assert run.activate(cancel_delivered(1, NOT_FOUND)) == []
    run.activate(fire(1))
    assert asked_for(run) == ["cancel_workflow"]


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda get: get(None), TypeError, "workflow_id must be a string, not NoneType None"),
    (lambda get: get(""), ValueError, "workflow_id must not be empty"),
    (lambda get: get("o1", run_id=5), TypeError, "run_id must be a string, not int 5"),
    (lambda get: get("o1").signal(None), TypeError, "a method with @workflow.signal, or a string, not NoneType None"),
    (lambda get: get("o1").signal(""), ValueError, "the signal's name must not be empty"),
    (lambda get: get("o1").signal(Other.run), RuntimeError, "is it decorated with @workflow.signal?"),
    (lambda get: get("o1").signal(Other.note), TypeError, "Signal note! takes 1 argument, got 0"),
    (lambda get: get("o1").signal("x", args="y"), TypeError, "args is a list of arguments, not str 'y'"),
    (lambda get: get("o1").cancel(reason=5), TypeError, "reason must be a string, not int 5"),
    (lambda get: get("o1").cancel(why="x"), TypeError, "unexpected keyword argument 'why'"),
]


@pytest.mark.parametrize("wrong, kind, words", WRONG)
def test_a_wrong_call_is_refused_where_it_is_made(wrong: Any, kind: type[Exception], words: str) -> None:
    async def body() -> Any:
        try:
            await wrong(workflow.get_external_workflow_handle)
        except kind as error:
            return str(error)

    run = speaks(body)
    run.start()
    assert words in run.result
    assert asked_for(run) == ["complete_workflow"]

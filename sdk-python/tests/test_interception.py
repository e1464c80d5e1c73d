"""A link before the last ones sees every call that enters or leaves workflow code, and can change it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from activations import PAYLOADS, Run, child_completed, child_started, delivered, payload, query, resolve, signal

from durably import workflow
from durably.worker import _interception as interception


@workflow.defn
class Order:
    def __init__(self) -> None:
        self.notes: list[str] = []

    @workflow.run
    async def run(self, name: str) -> str:
        got = await workflow.execute_activity("charge", name, start_to_close_timeout=timedelta(seconds=1))
        await workflow.wait_condition(lambda: bool(self.notes))
        if name == "again":
            workflow.continue_as_new("next")
        return f"{name} {got} {workflow.info().workflow_id} {self.notes}"

    @workflow.signal
    async def note(self, text: str) -> None:
        self.notes.append(text)

    @workflow.query
    def count(self, times: int) -> int:
        return times * len(self.notes)


class In(interception.Inbound):
    async def execute_workflow(self, input: interception.ExecuteWorkflowInput) -> Any:
        return f"<{await self.next.execute_workflow(input)}>"

    async def handle_signal(self, input: interception.HandleSignalInput) -> None:
        await self.next.handle_signal(dataclasses.replace(input, args=[f"{input.signal}: {input.args[0]}"]))

    async def handle_query(self, input: interception.HandleQueryInput) -> Any:
        assert (input.query, input.id) == ("count", "q")
        return 1 + await self.next.handle_query(dataclasses.replace(input, args=[10]))


class Out(interception.Outbound):
    def info(self) -> Any:
        return dataclasses.replace(self.next.info(), workflow_id="hidden")

    def start_activity(self, input: Any) -> Any:
        return self.next.start_activity(dataclasses.replace(input, name="pay"))

    async def start_child_workflow(self, input: Any) -> Any:
        headers = {"trace": payload("1")}
        return await self.next.start_child_workflow(dataclasses.replace(input, id="changed", headers=headers))

    async def signal_child_workflow(self, input: interception.SignalChildWorkflowInput) -> None:
        assert input.child_workflow_id == "changed"
        headers = {"trace": payload("2")}
        await self.next.signal_child_workflow(dataclasses.replace(input, signal="changed", headers=headers))

    async def signal_external_workflow(self, input: interception.SignalExternalWorkflowInput) -> None:
        assert (input.namespace, input.workflow_id, input.workflow_run_id) == ("default", "other", None)
        headers = {"trace": payload("3")}
        await self.next.signal_external_workflow(dataclasses.replace(input, args=["changed"], headers=headers))

    def continue_as_new(self, **options: Any) -> Any:
        return self.next.continue_as_new(**{**options, "args": ["changed"]})


def intercepted(name: str) -> Run:
    run = Run(Order, name)
    run.instance.inbound = In(run.instance.inbound)
    run.instance.outbound = Out(run.instance.outbound)
    return run


def test_links_change_what_goes_in_and_out() -> None:
    run = intercepted("o1")
    (command,) = run.start()
    assert command.schedule_activity.activity_type == "pay"
    run.activate(resolve(1, "ok"))
    run.activate(signal("note", "hello"))
    assert run.result == "<o1 ok hidden ['note: hello']>"
    (answer,) = run.activate(query("count", 3))
    assert PAYLOADS.from_payload(answer.query_answer.succeeded) == 11


def test_a_link_changes_the_next_run() -> None:
    run = intercepted("again")
    run.start()
    run.activate(resolve(1, "ok"))
    (command,) = run.activate(signal("note", "hello"))
    assert PAYLOADS.from_payloads(command.continue_as_new.arguments) == ["changed"]


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> Any:
        child = await workflow.start_child_workflow("Child")
        await child.signal("note")
        await workflow.get_external_workflow_handle("other").signal("note")
        return [child.id, await child]


def test_links_see_what_goes_to_other_workflows() -> None:
    run = Run(Parent)
    run.instance.outbound = Out(run.instance.outbound)
    (command,) = run.start()
    start = command.start_child_workflow
    assert (start.workflow_id, start.headers) == ("changed", {"trace": payload("1")})
    (command,) = run.activate(child_started(1))
    sent = command.signal_external_workflow
    assert (sent.signal_name, sent.child_workflow_id, sent.headers) == ("changed", "changed", {"trace": payload("2")})
    (command,) = run.activate(delivered(1))
    sent = command.signal_external_workflow
    assert (PAYLOADS.from_payloads(sent.arguments), sent.headers) == (["changed"], {"trace": payload("3")})
    run.activate(delivered(2), child_completed(1, "done"))
    assert run.result == ["changed", "done"]

"""The contract declares every job once: each field of WorkflowJob is one that a run takes. One that is added to the contract,
and that no code of this SDK hands on, fails this test."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import durably.api.core.v1 as core
from activations import Run
from durably import _messages as msg
from durably import workflow


@workflow.defn
class Waits:
    @workflow.run
    async def run(self) -> None:
        # Number 1 of each, so that what resolves it finds it.
        self.activity = workflow.start_activity("activity", start_to_close_timeout=timedelta(seconds=1))
        self.child = asyncio.create_task(workflow.start_child_workflow("child", id="child"))
        await workflow.wait_condition(lambda: False)


def refusal(job: Any) -> str:
    """What a waiting run answers to a job that it cannot make anything of; empty if it can."""
    run = Run(Waits)
    run.start()
    run.activate(job)
    failed = run.completion.failure
    return failed.failure.message if failed is not None else ""


UNKNOWN = "a job that this SDK doesn't know"


def test_a_run_refuses_a_job_that_it_does_not_know() -> None:
    assert UNKNOWN in refusal(core.WorkflowJob())


@pytest.mark.parametrize("field", [field for field in core.WorkflowJob._fields if field != "initialize"])
def test_a_run_takes_each_job_of_the_contract(field: str) -> None:
    _, _, _, message = core.WorkflowJob._fields[field]
    assert message is not None
    job = getattr(core, message.rpartition(".")[2])()
    # Some complain, such as of an activity that nobody scheduled; but they know what it is.
    assert UNKNOWN not in refusal(core.WorkflowJob(**{field: job}))


def message_of(message: type[Any], field: str) -> type[Any] | None:
    _, _, _, name = message._fields[field]
    return getattr(core, name.rpartition(".")[2], None) if name is not None else None


def statuses() -> list[tuple[str, bool, str | None]]:
    """The jobs that have a `status`, whether it is their `result`'s, and its members; None: it is not set."""
    found: list[tuple[str, bool, str | None]] = []
    for job in core.WorkflowJob._fields:
        message = message_of(core.WorkflowJob, job)
        assert message is not None
        nested = "result" in message._fields
        holder = message_of(message, "result") if nested else message
        if holder is not None and "status" in holder._oneofs:
            found += [(job, nested, status) for status in (None, *holder._oneofs["status"])]
    return found


def resolution(job: str, nested: bool, status: str | None) -> Any:
    message = message_of(core.WorkflowJob, job)
    assert message is not None
    holder = message_of(message, "result") if nested else message
    assert holder is not None
    fields: dict[str, Any] = {}
    if status is not None:
        fields[status] = (message_of(holder, status) or msg.Failure)()
    if nested:
        return core.WorkflowJob(**{job: message(seq=1, result=holder(**fields))})
    return core.WorkflowJob(**{job: message(seq=1, **fields)})


@pytest.mark.parametrize(("job", "nested", "status"), statuses())
def test_a_run_takes_each_status_of_the_contract_and_no_other(job: str, nested: bool, status: str | None) -> None:
    said = refusal(resolution(job, nested, status))
    # What isn't set is what a later core has: it must not pass for a result.
    assert ("this SDK doesn't know" in said) if status is None else not said


def test_there_are_statuses_to_be_tested() -> None:
    assert len(statuses()) >= 12

"""The contract declares every job once: each field of WorkflowJob is one that a run takes. One that is added to the contract,
and that no code of this SDK hands on, fails this test."""

from __future__ import annotations

from typing import Any

import pytest

import durably.api.core.v1 as core
from activations import Run
from durably import workflow


@workflow.defn
class Waits:
    @workflow.run
    async def run(self) -> None:
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

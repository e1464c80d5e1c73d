"""docs/limits.md: what is refused is refused in the words that stand there, and the defaults are those of a worker."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from durably import activity, workflow
from durably.client import Client, WorkflowFailureError
from durably.service import RPCError
from durably.testing import WorkflowEnvironment

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
MIB = 1024 * 1024


@activity.defn
async def repeat(count: int) -> str:
    return "x" * count


@workflow.defn
class Repeating:
    @workflow.run
    async def run(self, count: int) -> int:
        result = await workflow.execute_activity(repeat, count, start_to_close_timeout=timedelta(seconds=10))
        return len(result)


def text_of(size: int) -> dict[str, Any]:
    return {"arg": "x" * size}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"id": "x" * 1001}, "at most 1000 are allowed"),
        (text_of(3 * MIB), "at most 2097152 are allowed. Store large data elsewhere and pass a reference"),
        ({"memo": {"note": "x" * 3 * MIB}}, "at most 2097152 are allowed"),
        (text_of(17 * MIB), "received message larger than max"),
        ({"static_summary": "x" * 3 * MIB}, "at most 2097152 are allowed"),
        ({"cron_schedule": "* * * * *"}, "cron_schedule is not offered by this server"),
    ],
    ids=["id", "argument", "memo", "request", "summary", "cron"],
)
def test_a_start_beyond_a_limit_is_refused_in_these_words(options: dict[str, Any], words: str) -> None:
    async def refused() -> str:
        async with await Client.connect("embedded:") as client:
            with pytest.raises(RPCError) as raised:
                await client.start_workflow("Greeting", **({"id": "greet", "task_queue": "greetings"} | options))
            return raised.value.message

    assert words in asyncio.run(refused())
    assert words in PAGE


def test_an_activity_with_too_large_a_result_fails_in_these_words() -> None:
    async def cause() -> str:
        async with await WorkflowEnvironment.start_time_skipping() as env:
            with pytest.raises(WorkflowFailureError) as raised:
                await env.execute_workflow(Repeating.run, 3 * MIB)
            return str(raised.value.cause.__cause__)

    words = asyncio.run(cause())
    first, second = words.split(". ", 1)
    assert f"{first}." in PAGE
    assert second == "It takes 3145764 bytes; at most 2097152 are allowed: store large data elsewhere and pass a reference."


def test_a_list_filter_has_a_bound() -> None:
    async def refused() -> str:
        query = " OR ".join(["WorkflowId = 'x'"] * 101)
        async with await Client.connect("embedded:") as client:
            with pytest.raises(RPCError) as raised:
                await client.count_workflows(query)
            return raised.value.message

    assert "100" in asyncio.run(refused())
    assert "100 comparisons" in PAGE

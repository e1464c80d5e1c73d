"""The table of docs/deployment.md about the official UI: calls that work are offered, and the others are not."""

import asyncio
import re
from pathlib import Path

import pytest

import durably.api.operatorservice.v1 as operators
import durably.api.workflowservice.v1 as workflows
from durably.client import Client
from durably.service import RPCError, RPCStatusCode

PAGE = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text().partition("## The official UI and CLI")[2]
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and line.count(" | ") == 2]
CALLS = [(call, "works" in verdict) for _, calls, verdict in ROWS for call in re.findall(r"`(\w+)`", calls)]
#: The UI asks it of the service for operators.
OPERATORS = {"ListSearchAttributes", "ListNexusEndpoints"}


async def is_offered(call: str) -> bool:
    """Whether the server has more to say to an empty request than that it doesn't know the call."""
    async with await Client.connect("embedded:") as client:
        service, messages = client.workflow_service, workflows
        if call in OPERATORS:
            service, messages = client.operator_service, operators
        method = getattr(service, re.sub(r"(?<!^)(?=[A-Z])", "_", call).lower())
        try:
            await method(getattr(messages, f"{call}Request")())
        except RPCError as error:
            return error.status is not RPCStatusCode.UNIMPLEMENTED
        return True


def test_there_are_calls_of_both_kinds() -> None:
    assert {works for _, works in CALLS} == {True, False}


@pytest.mark.parametrize(("call", "works"), CALLS)
def test_the_table_is_right(call: str, works: bool) -> None:
    assert asyncio.run(is_offered(call)) == works

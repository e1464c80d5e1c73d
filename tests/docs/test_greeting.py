"""The first test of a workflow, as README.md shows it: the quickstart's workflow, with and without its real activity."""

# snippet: test
import asyncio

from durably import activity
from durably.testing import WorkflowEnvironment

from quickstart import Greeting


@activity.defn(name="greet")
async def mocked_greet(name: str) -> str:
    return f"mocked {name}"


async def check_greeting() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        assert await env.execute_workflow(Greeting.run, "Ann") == "Hello, Ann!"
        assert await env.execute_workflow(Greeting.run, "Bob", activities=[mocked_greet]) == "mocked Bob"


def test_greeting() -> None:
    asyncio.run(check_greeting())
# end snippet

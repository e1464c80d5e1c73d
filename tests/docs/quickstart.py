"""The quickstart of README.md: one workflow with one activity, on a server in this process."""

# snippet: quickstart
import asyncio
from datetime import timedelta

from durably import activity, workflow
from durably.client import Client
from durably.common import WorkflowIDConflictPolicy
from durably.worker import Worker


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        await asyncio.sleep(1)  # a durable timer: it survives a crash of this process
        return await workflow.execute_activity(greet, name, start_to_close_timeout=timedelta(seconds=10))


async def main() -> None:
    client = await Client.connect("embedded:greetings.db")  # or "localhost:7233"
    async with Worker(client, task_queue="greetings", workflows=[Greeting], activities=[greet]):
        print(
            await client.execute_workflow(
                Greeting.run,
                "Ann",
                id="greet-ann",  # yours to choose: what it is about
                task_queue="greetings",
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,  # one under way is awaited, not started again
            )
        )


if __name__ == "__main__":
    asyncio.run(main())
# end snippet

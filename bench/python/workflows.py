"""The workflow of the SDK benchmark: so many echo activities, one after the other."""

from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def echo(value: str) -> str:
    """The least an activity can do."""
    return value


@workflow.defn
class Steps:
    @workflow.run
    async def run(self, steps: int) -> str:
        value = "x"
        for _ in range(steps):
            value = await workflow.execute_activity(echo, value, start_to_close_timeout=timedelta(minutes=1))
        return value

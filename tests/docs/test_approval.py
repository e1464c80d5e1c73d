"""Tests of the Python SDK's README: a signal, three days in no time, an activity alone, and a replay of what has happened."""

# snippet: imports
import asyncio
from datetime import timedelta

from durably import activity, workflow
from durably.testing import ActivityEnvironment, WorkflowEnvironment
from durably.worker import Replayer, Worker
# end snippet


# snippet: workflow
@workflow.defn
class Approval:
    def __init__(self) -> None:
        self.answer: str | None = None

    @workflow.signal
    def decide(self, answer: str) -> None:
        self.answer = answer

    @workflow.query
    def state(self) -> str:
        return self.answer or "waiting"

    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.wait_condition(lambda: self.answer is not None, timeout=timedelta(days=3))
        except asyncio.TimeoutError:
            return "nobody answered"
        return self.answer or ""
# end snippet


# snippet: time
async def test_nobody_answers() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        assert await env.execute_workflow(Approval.run) == "nobody answered"  # three days pass at once
# end snippet


# snippet: signal
async def test_somebody_answers() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        async with Worker(env.client, task_queue="test", workflows=[Approval]):
            handle = await env.client.start_workflow(Approval.run, id="approval", task_queue="test")
            assert await handle.query(Approval.state) == "waiting"
            await handle.signal(Approval.decide, "yes")
            assert await handle.result() == "yes"
# end snippet


# snippet: activity
@activity.defn
async def count_to(limit: int) -> int:
    for number in range(limit):
        activity.heartbeat(number)
    return limit


async def test_an_activity_alone() -> None:
    environment = ActivityEnvironment()
    heartbeats: list[int] = []
    environment.on_heartbeat = heartbeats.append
    assert await environment.run(count_to, 3) == 3
    assert heartbeats == [0, 1, 2]
# end snippet


# snippet: replay
async def test_new_code_fits_old_runs() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        async with Worker(env.client, task_queue="test", workflows=[Approval]):
            handle = await env.client.start_workflow(Approval.run, id="approval", task_queue="test")
            await handle.result()
        history = await handle.fetch_history()  # or one that you have saved: WorkflowHistory.from_json
    await Replayer(workflows=[Approval]).replay_workflow(history)  # raises if the code has changed what it does
# end snippet

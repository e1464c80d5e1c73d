"""User code that runs while the worker makes an answer, and misbehaves: each attempt is answered, and the worker goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durably import activity, workflow
from durably.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from durably.common import RetryPolicy
from durably.exceptions import ActivityError, ApplicationError
from durably.worker import Worker


class Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Exits(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class NoText(Exception):
    def __str__(self) -> Any:
        return 5


class Own(BaseException):
    pass


def caused_by(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


#: What is raised, the type and the message that arrive.
RAISED: dict[str, tuple[Callable[[], BaseException], str | None, str]] = {
    "speechless": (Speechless, "Speechless", "<str() of Speechless raised ValueError>"),
    "exits when asked": (Exits, "Exits", "<str() of Exits raised SystemExit>"),
    "no text": (NoText, "NoText", "<str() of NoText raised TypeError>"),
    "speechless cause": (lambda: caused_by(ValueError("v"), Speechless()), "ValueError", "v"),
    "own base exception": (lambda: Own("own"), "Own", "own"),
    "SystemExit": (lambda: SystemExit("out"), "SystemExit", "out"),
    "GeneratorExit": (lambda: GeneratorExit("out"), "GeneratorExit", "out"),
    "StopIteration": (lambda: StopIteration(3), "RuntimeError", "raised StopIteration"),
    "lone surrogate": (lambda: ValueError("a\ud800b"), "ValueError", "a\\ud800b"),
    "surrogate in type": (lambda: ApplicationError("m", type="T\ud800"), "T\\ud800", "m"),
    "details of no use": (lambda: ApplicationError("m", object(), type="T", non_retryable=True), "T", "m"),
}


@activity.defn
async def raises(name: str) -> None:
    raise RAISED[name][0]()


@activity.defn
def raises_in_a_thread(name: str) -> None:
    raise RAISED[name][0]()


@activity.defn
def interrupted_in_a_thread() -> None:
    raise KeyboardInterrupt


@workflow.defn
class Calls:
    @workflow.run
    async def run(self, name: str, *args: str) -> None:
        policy = RetryPolicy(maximum_attempts=1)
        timeout = timedelta(minutes=1)
        await workflow.execute_activity(name, args=args, start_to_close_timeout=timeout, retry_policy=policy)


@workflow.defn
class Raises:
    @workflow.init
    def __init__(self, where: str, name: str) -> None:
        self.name = name
        if where == "init":
            self.fail()

    def fail(self) -> bool:
        raise RAISED[self.name][0]()

    @workflow.run
    async def run(self, where: str, name: str) -> None:
        if where == "main":
            self.fail()
        if where == "condition":
            await workflow.wait_condition(self.fail)
        if where == "task":
            await asyncio.create_task(self.fail_later())
        if where == "callback":
            asyncio.get_running_loop().call_soon(self.fail)
        await workflow.wait_condition(lambda: False)

    async def fail_later(self) -> None:
        self.fail()

    @workflow.signal
    def poke(self) -> None:
        self.fail()

    @workflow.query
    def ask(self) -> None:
        self.fail()


@workflow.defn
class Fine:
    @workflow.run
    async def run(self) -> str:
        return "fine"


def worker_of(client: Client, queue: str, types: list[type[BaseException]]) -> Worker:
    activities = [raises, raises_in_a_thread, interrupted_in_a_thread]
    workflows = [Calls, Raises, Fine]
    return Worker(
        client, task_queue=queue, workflows=workflows, activities=activities, workflow_failure_exception_types=types
    )


async def failure_of(handle: WorkflowHandle[Any, Any]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    cause = failed.value.cause
    found = cause.cause if isinstance(cause, ActivityError) else cause
    assert isinstance(found, ApplicationError), found
    return found


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", RAISED)
@pytest.mark.parametrize("kind", [raises, raises_in_a_thread])
async def test_an_activity_is_answered_whatever_it_raises(client: Client, queue: str, kind: Any, name: str) -> None:
    async with worker_of(client, queue, []):
        handle = await client.start_workflow(Calls.run, args=[kind.__name__, name], id=queue, task_queue=queue)
        failure = await failure_of(handle)
    _, type, message = RAISED[name]
    assert (failure.type, message in failure.message) == (type, True), failure
    assert failure.non_retryable == (name == "details of no use")


@pytest.mark.timeout(60)
async def test_a_keyboard_interrupt_in_a_thread_is_the_activitys_own(client: Client, queue: str) -> None:
    async with worker_of(client, queue, []):
        handle = await client.start_workflow(Calls.run, args=["interrupted_in_a_thread"], id=queue, task_queue=queue)
        assert (await failure_of(handle)).type == "KeyboardInterrupt"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", RAISED)
async def test_a_run_fails_wherever_its_code_raises_whatever(client: Client, queue: str, name: str) -> None:
    _, type, message = RAISED[name]
    async with worker_of(client, queue, [BaseException]):
        for where in ["main", "condition", "task", "callback", "init", "signal"]:
            workflow_id = f"{queue}-{where}"
            handle = await client.start_workflow(Raises.run, args=[where, name], id=workflow_id, task_queue=queue)
            if where == "signal":
                await handle.signal(Raises.poke)
            failure = await failure_of(handle)
            if name == "StopIteration":  # Only coroutines can't raise it.
                assert failure.type in ("StopIteration", "RuntimeError"), where
                continue
            assert (failure.type, message in failure.message) == (type, True), (where, failure)
        assert await client.execute_workflow(Fine.run, id=f"{queue}-fine", task_queue=queue) == "fine"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", RAISED)
async def test_a_query_fails_whatever_its_handler_raises(client: Client, queue: str, name: str) -> None:
    async with worker_of(client, queue, []):
        handle = await client.start_workflow(Raises.run, args=["nowhere", name], id=queue, task_queue=queue)
        with pytest.raises(WorkflowQueryFailedError) as failed:
            await handle.query(Raises.ask)
        if name != "StopIteration":
            assert RAISED[name][2] in str(failed.value)
        assert await client.execute_workflow(Fine.run, id=f"{queue}-fine", task_queue=queue) == "fine"
        await handle.terminate()

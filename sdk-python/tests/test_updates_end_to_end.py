"""Updates over a server, with a cache and with none: who is answered what, and when; whatever ran replays."""

from __future__ import annotations

import asyncio
import dataclasses
import zlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from conftest import TARGET
from test_task_failures import records

from durably import activity, converter, workflow
from durably.api.common.v1 import Payload
from durably.client import (
    Client,
    RPCError,
    RPCStatusCode,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from durably.common import WorkflowIDConflictPolicy
from durably.exceptions import ApplicationError
from durably.testing import WorkflowEnvironment
from durably.worker import Replayer, Worker, _steps

ACCEPTED = WorkflowUpdateStage.ACCEPTED


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn(name="Child")
class Child:
    @workflow.run
    async def run(self, number: int) -> int:
        return number + 1


@workflow.defn(name="Account")
class Account:
    limit = 1000

    def __init__(self) -> None:
        self.balance = 0
        self.end = False

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.end and workflow.all_handlers_finished())
        return self.balance

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.update
    async def add(self, number: int) -> int:
        self.balance += number
        return self.balance

    @add.validator
    def validate_add(self, number: int) -> None:
        if number > self.limit:
            raise ApplicationError("too much", number, type="TooMuch")

    @workflow.update
    async def work(self, number: int) -> int:
        number = await workflow.execute_activity(double, number, start_to_close_timeout=timedelta(seconds=10))
        await asyncio.sleep(0.001)
        return await self.plus(await workflow.execute_child_workflow(Child.run, number))

    async def plus(self, number: int) -> int:
        self.balance += number
        return self.balance

    @workflow.update
    async def wait(self, days: float) -> str:
        before = workflow.now()
        await asyncio.sleep(days * 86400)
        return str((workflow.now() - before).days)

    @workflow.update
    async def fail(self) -> None:
        raise ApplicationError("no", {"a": 1}, type="No")


WORKFLOWS = [Account, Child]


def worker(client: Client, queue: str, workflows: Sequence[type[Any]] = WORKFLOWS) -> Worker:
    return Worker(client, task_queue=queue, workflows=workflows, activities=[double])


async def started(client: Client, queue: str) -> WorkflowHandle[Account, int]:
    return await client.start_workflow(Account.run, id=queue, task_queue=queue)


async def cause_of(call: Any) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await call
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause


async def test_a_run_with_updates_replays(client: Client, queue: str) -> None:
    async with worker(client, queue):
        handle = await started(client, queue)
        assert await handle.execute_update(Account.add, 1) == 1
        assert await asyncio.gather(*(handle.execute_update(Account.work, n) for n in (1, 1, 1))) in (
            [[4, 7, 10], [4, 10, 7], [7, 4, 10], [7, 10, 4], [10, 4, 7], [10, 7, 4]]
        )
        refused = await cause_of(handle.execute_update(Account.add, 1001))
        assert (refused.message, refused.type, list(refused.details)) == ("too much", "TooMuch", [1001])
        assert (await cause_of(handle.execute_update(Account.fail))).type == "No"
        await handle.signal(Account.finish)
        assert await handle.result() == 10
    history = await handle.fetch_history()
    await Replayer(workflows=WORKFLOWS).replay_workflow(history)

    @workflow.defn(name="Account")
    class Stricter(Account):
        limit = 0

        @workflow.run
        async def run(self) -> int:
            return await super().run()

    # What was accepted stays so, whatever a validator would say to it now.
    await Replayer(workflows=[Stricter]).replay_workflow(history)

    @workflow.defn(name="Account")
    class Forgetful(Account):
        @workflow.run
        async def run(self) -> int:
            return await super().run()

        @workflow.update
        async def work(self, number: int) -> int:
            return number

    with pytest.raises(workflow.NondeterminismError):
        await Replayer(workflows=[Forgetful]).replay_workflow(history)


async def test_whoever_waits_may_give_up_and_ask_again(client: Client, queue: str) -> None:
    handle = await started(client, queue)
    for call in (
        handle.execute_update(Account.add, 5, id="a", rpc_timeout=0.3),
        handle.start_update(Account.add, 5, id="a", wait_for_stage=ACCEPTED, rpc_timeout=timedelta(seconds=0.3)),
        asyncio.wait_for(handle.execute_update(Account.add, 5, id="a"), 0.3),
    ):
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError, match="waiting for update"):
            await call
    async with worker(client, queue):
        assert await handle.execute_update(Account.add, 5, id="a") == 5
        waiting = await handle.start_update(Account.wait, 1.0, id="b", wait_for_stage=ACCEPTED)
        for call in (waiting.result(rpc_timeout=0.3), asyncio.wait_for(waiting.result(), 0.3)):
            with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
                await call
        elsewhere = await Client.connect(TARGET) if not TARGET.startswith("embedded") else client
        found = elsewhere.get_workflow_handle(queue).get_update_handle("a", result_type=str)
        with pytest.raises(Exception, match="str"):
            await found.result()
        assert await elsewhere.get_workflow_handle(queue).get_update_handle_for(Account.add, "a").result() == 5
    await handle.terminate()


async def test_a_mistake_in_a_handler_can_be_mended(client: Client, queue: str) -> None:
    @workflow.defn(name="Account")
    class Mistaken(Account):
        @workflow.run
        async def run(self) -> int:
            return await super().run()

        @workflow.update
        async def add(self, number: int) -> int:
            return self.balanse  # type: ignore[attr-defined,no-any-return]

    handle = await client.start_workflow(Account.run, id=queue, task_queue=queue, task_timeout=timedelta(seconds=1))
    with records() as log:
        async with worker(client, queue, [Mistaken]):
            waiting = asyncio.create_task(handle.execute_update(Account.add, 5))
            said = await log.some("failed, and is retried until it succeeds")
            assert "balanse" in said.getMessage()
    async with worker(client, queue):
        assert await waiting == 5
        await handle.terminate()


async def test_a_validator_that_never_ends_fails_its_task(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_steps, "LIMIT", 0.3)

    @workflow.defn(name="Account")
    class Ponders(Account):
        @workflow.run
        async def run(self) -> int:
            return await super().run()

        @workflow.update
        async def add(self, number: int) -> int:
            return number

        @add.validator
        def ponder(self, number: int) -> None:
            while True:
                pass

    handle = await started(client, queue)
    with records() as log:
        async with worker(client, queue, [Ponders]):
            waiting = asyncio.create_task(handle.execute_update(Account.add, 5))
            said = await log.some("failed, and is retried until it succeeds")
            assert "DeadlockError" in said.getMessage() and "test_updates_end_to_end.py" in said.getMessage()
            await handle.terminate()
            with pytest.raises((RPCError, WorkflowUpdateFailedError)):
                await waiting


class Squeezed(converter.PayloadCodec):
    """Nothing of a payload can be read that it has not decoded."""

    async def encode(self, payloads: Sequence[Any]) -> list[Any]:
        return [
            Payload(metadata={"encoding": b"binary/squeezed"}, data=zlib.compress(payload.SerializeToString()))
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Any]) -> list[Any]:
        return [Payload.FromString(zlib.decompress(payload.data)) for payload in payloads]


async def test_a_codec_sees_all_that_updates_carry(client: Client, queue: str) -> None:
    failures = type("Encoded", (converter.DefaultFailureConverterWithEncodedAttributes,), {})
    data_converter = dataclasses.replace(
        converter.DataConverter.default, payload_codec=Squeezed(), failure_converter_class=failures
    )
    squeezing = Client(client.service_client, data_converter=data_converter)
    async with worker(squeezing, queue):
        handle = await started(squeezing, queue)
        assert await handle.execute_update(Account.add, 5) == 5
        refused = await handle.start_update(Account.add, 1001, wait_for_stage=ACCEPTED)
        failed = await handle.start_update(Account.fail, wait_for_stage=WorkflowUpdateStage.COMPLETED)
        for _ in range(2):
            assert (await cause_of(refused.result())).message == "too much"
            failure = await cause_of(failed.result())
            assert (failure.message, list(failure.details)) == ("no", [{"a": 1}])
        operation = WithStartWorkflowOperation(
            Account.run, id=f"{queue}-2", task_queue=queue, id_conflict_policy=WorkflowIDConflictPolicy.FAIL
        )
        assert (
            await squeezing.execute_update_with_start_workflow(Account.add, 7, start_workflow_operation=operation) == 7
        )
        await (await operation.workflow_handle()).terminate()
        await handle.terminate()
    history = (await client.get_workflow_handle(queue).fetch_history()).to_json()
    assert "too much" not in history and "TooMuch" not in history


async def test_what_comes_of_a_start_reaches_all_who_wait_for_it(client: Client, queue: str) -> None:
    def operation(queue: str = queue, **options: Any) -> WithStartWorkflowOperation[Account, int]:
        policy = WorkflowIDConflictPolicy.FAIL
        return WithStartWorkflowOperation(Account.run, id=queue, task_queue=queue, id_conflict_policy=policy, **options)

    async with worker(client, queue):
        starting = operation()
        waiting = [asyncio.create_task(starting.workflow_handle()) for _ in range(3)]
        update = await client.start_update_with_start_workflow(
            Account.add, 1, id="u", start_workflow_operation=starting, wait_for_stage=ACCEPTED
        )
        handles = await asyncio.gather(*waiting)
        assert {handle.result_run_id for handle in handles} == {update.workflow_run_id}
        assert await update.result() == 1
        await handles[0].terminate()
    for wrong, error in ((operation(queue=""), ValueError), (operation(start_delay=timedelta(days=1)), RPCError)):
        refused = [asyncio.create_task(wrong.workflow_handle()) for _ in range(2)]
        calls = [client.execute_update_with_start_workflow("add", 1, start_workflow_operation=wrong), *refused]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, error), outcome
            if isinstance(outcome, RPCError):
                assert outcome.status == RPCStatusCode.INVALID_ARGUMENT
    # Nobody polls: the call ends, and the start with it.
    alone = operation(queue=f"{queue}-alone")
    with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
        await client.execute_update_with_start_workflow("add", 1, start_workflow_operation=alone, rpc_timeout=0.5)
    with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
        await alone.workflow_handle()
    with pytest.raises(TypeError, match="unexpected keyword argument 'start_signal'"):
        operation(start_signal="x")
    with pytest.raises(ValueError, match="WorkflowIDConflictPolicy is required"):
        WithStartWorkflowOperation(
            Account.run, id="x", task_queue="x", id_conflict_policy=WorkflowIDConflictPolicy.UNSPECIFIED
        )


@workflow.defn
class Calls:
    @workflow.run
    async def run(self) -> str:
        handle = CLIENTS[0].get_workflow_handle(workflow.info().workflow_id)
        try:
            await handle.execute_update("add", 1)
        except workflow.NondeterminismError as error:
            return error.message
        return "sent"


CLIENTS: list[Client] = []


async def test_a_client_is_not_for_workflows(client: Client, queue: str) -> None:
    CLIENTS[:] = [client]
    async with worker(client, queue, [Calls]):
        said = await client.execute_workflow(Calls.run, id=queue, task_queue=queue)
    assert "a client's call is not possible in workflow code" in said and "do it in an activity" in said


@pytest.mark.skipif(not TARGET.startswith("embedded"), reason="environments bring their own server")
async def test_days_pass_while_an_update_is_awaited() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as env:
        async with worker(env.client, "q"):
            handle = await started(env.client, "q")
            assert await handle.execute_update(Account.wait, 30.0) == "30"
            update = await handle.start_update(Account.wait, 5.0, wait_for_stage=ACCEPTED)
            assert await update.result() == "5"
            with env.auto_time_skipping_disabled():
                with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
                    await handle.execute_update(Account.wait, 5.0, rpc_timeout=0.3)

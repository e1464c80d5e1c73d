"""Calls that cannot succeed get the gRPC status and the error that the SDK turns into its own class."""

from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode


@workflow.defn
class Ends:
    def __init__(self) -> None:
        self.end = False

    @workflow.signal
    def finish(self) -> None:
        self.end = True

    @workflow.run
    async def run(self, fail: bool) -> str:
        if fail:
            raise ApplicationError("deliberate", {"code": 7}, type="Deliberate", non_retryable=True)
        await workflow.wait_condition(lambda: self.end)
        return "ended"


WORKFLOWS = [Ends]


async def status_of(call: Any) -> RPCStatusCode:
    try:
        await call
    except RPCError as error:
        return error.status
    raise AssertionError("the call has succeeded")


async def check(env: Any) -> None:
    name = env.new_id()
    handle = await env.start(Ends.run, False, id=name)
    try:
        await env.client.start_workflow(Ends.run, False, id=name, task_queue=env.task_queue)
    except WorkflowAlreadyStartedError as error:
        assert error.workflow_id == name and error.run_id == handle.first_execution_run_id
    else:
        raise AssertionError("started twice")
    same = await env.client.start_workflow(
        Ends.run, False, id=name, task_queue=env.task_queue, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
    )
    assert same.first_execution_run_id == handle.first_execution_run_id
    await handle.signal(Ends.finish)
    assert await handle.result() == "ended"
    try:
        await env.client.start_workflow(
            Ends.run, False, id=name, task_queue=env.task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
    except WorkflowAlreadyStartedError:
        pass
    else:
        raise AssertionError("an id that must not be used again was")

    failing = await env.start(Ends.run, True)
    try:
        await failing.result()
    except WorkflowFailureError as error:
        cause = error.cause
        assert isinstance(cause, ApplicationError) and cause.type == "Deliberate", repr(cause)
        assert cause.message == "deliberate" and list(cause.details) == [{"code": 7}] and cause.non_retryable
    else:
        raise AssertionError("not failed")

    unknown = env.client.get_workflow_handle("no-such-workflow")
    assert await status_of(unknown.describe()) == RPCStatusCode.NOT_FOUND
    assert await status_of(unknown.signal("x")) == RPCStatusCode.NOT_FOUND
    assert await status_of(unknown.cancel()) == RPCStatusCode.NOT_FOUND
    assert await status_of(unknown.terminate()) == RPCStatusCode.NOT_FOUND
    assert await status_of(handle.signal(Ends.finish)) == RPCStatusCode.NOT_FOUND, "the run has ended"
    too_long = env.client.start_workflow(Ends.run, False, id="x" * 2000, task_queue=env.task_queue)
    assert await status_of(too_long) == RPCStatusCode.INVALID_ARGUMENT
    elsewhere = await Client.connect(env.client.service_client.config.target_host, namespace="no-such-namespace")
    refused = elsewhere.start_workflow(Ends.run, False, id=name, task_queue=env.task_queue)
    assert await status_of(refused) == RPCStatusCode.NOT_FOUND

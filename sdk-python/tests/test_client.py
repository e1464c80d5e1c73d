"""The client: connecting, starting, handles, lists, errors."""

from __future__ import annotations

import asyncio
import os
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import TARGET

from durably import workflow
from durably.api.workflowservice.v1 import DescribeNamespaceRequest, GetSystemInfoRequest
from durably.client import (
    Client,
    RPCError,
    RPCStatusCode,
    TLSConfig,
    WorkflowAlreadyStartedError,
    WorkflowContinuedAsNewError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowHistoryEventFilterType,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from durably.common import QueryRejectCondition, RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from durably.exceptions import ApplicationError, CancelledError, TerminatedError, TimeoutError
from durably.service import ConnectConfig, ServiceClient
from durably.worker import Worker

embedded_only = pytest.mark.skipif(not TARGET.startswith("embedded"), reason="about the embedded server")


@workflow.defn
class Door:
    """Stays until it is told to open."""

    def __init__(self) -> None:
        self.opened_by: str | None = None

    @workflow.run
    async def run(self, who: str) -> str:
        if who == "fail":
            raise ApplicationError("no door", {"why": 1}, type="NoDoor", non_retryable=True)
        if who == "again":
            workflow.continue_as_new("fresh")
        if who != "fresh":
            await workflow.wait_condition(lambda: self.opened_by is not None)
        return f"{who} saw {self.opened_by}"

    @workflow.signal
    def open(self, by: str) -> None:
        self.opened_by = by

    @workflow.signal(name="open-for-all")
    def open_wide(self) -> None:
        self.opened_by = "all"

    @workflow.query
    def state(self) -> str:
        return f"opened by {self.opened_by}"

    @workflow.query
    def broken(self) -> str:
        raise ValueError("no answer")


def door_worker(client: Client, queue: str) -> Worker:
    return Worker(client, task_queue=queue, workflows=[Door])


async def test_start_signal_query_result(client: Client, queue: str) -> None:
    async with door_worker(client, queue):
        handle = await client.start_workflow(Door.run, "Ann", id=queue, task_queue=queue)
        assert handle.id == queue and handle.run_id is None and handle.result_run_id == handle.first_execution_run_id
        assert await handle.query(Door.state) == "opened by None"
        await handle.signal(Door.open, "Bob")
        assert await handle.result() == "Ann saw Bob"
        assert await handle.query("state") == "opened by Bob"
        again = client.get_workflow_handle_for(Door.run, queue)
        assert await again.result() == "Ann saw Bob"
        assert await client.get_workflow_handle(queue, run_id=handle.result_run_id).result() == "Ann saw Bob"


async def test_signal_with_start(client: Client, queue: str) -> None:
    async with door_worker(client, queue):
        handle = await client.start_workflow(
            Door.run, "Ann", id=queue, task_queue=queue, start_signal="open-for-all"
        )
        assert await handle.result() == "Ann saw all"
        assert handle.first_execution_run_id == handle.result_run_id is not None
        by_name = await client.execute_workflow(
            "Door", "Ann", id=queue, task_queue=queue, start_signal="open", start_signal_args=["Zed"], result_type=str
        )
        assert by_name == "Ann saw Zed"


async def test_results_of_every_end(client: Client, queue: str) -> None:
    async with door_worker(client, queue):
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(Door.run, "fail", id=f"{queue}-f", task_queue=queue)
        cause = failed.value.cause
        assert isinstance(cause, ApplicationError) and cause.type == "NoDoor" and list(cause.details) == [{"why": 1}]

        handle = await client.start_workflow(Door.run, "x", id=f"{queue}-c", task_queue=queue)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as cancelled:
            await handle.result()
        assert isinstance(cancelled.value.cause, CancelledError)

        handle = await client.start_workflow(Door.run, "x", id=f"{queue}-t", task_queue=queue)
        waiting = asyncio.create_task(handle.result())
        await handle.terminate("detail", 2, reason="enough")
        with pytest.raises(WorkflowFailureError) as terminated:
            await waiting
        assert isinstance(terminated.value.cause, TerminatedError)
        assert str(terminated.value.cause) == "enough" and list(terminated.value.cause.details) == ["detail", 2]

        handle = await client.start_workflow(
            Door.run, "x", id=f"{queue}-o", task_queue=queue, run_timeout=timedelta(seconds=1)
        )
        with pytest.raises(WorkflowFailureError) as timed_out:
            await handle.result()
        assert isinstance(timed_out.value.cause, TimeoutError)


async def test_continue_as_new_is_followed_unless_told_otherwise(client: Client, queue: str) -> None:
    async with door_worker(client, queue):
        handle = await client.start_workflow(Door.run, "again", id=queue, task_queue=queue)
        assert await handle.result() == "fresh saw None"
        with pytest.raises(WorkflowContinuedAsNewError) as continued:
            await handle.result(follow_runs=False)
        next_run = client.get_workflow_handle(queue, run_id=continued.value.new_execution_run_id)
        assert await next_run.result() == "fresh saw None"


async def test_ids_and_policies(client: Client, queue: str) -> None:
    first = await client.start_workflow(Door.run, "a", id=queue, task_queue=queue)
    with pytest.raises(WorkflowAlreadyStartedError) as taken:
        await client.start_workflow(Door.run, "b", id=queue, task_queue=queue)
    assert taken.value.run_id == first.result_run_id and taken.value.workflow_id == queue
    used = await client.start_workflow(
        Door.run, "b", id=queue, task_queue=queue, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
    )
    assert used.result_run_id == first.result_run_id
    replaced = await client.start_workflow(
        Door.run, "b", id=queue, task_queue=queue, id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING
    )
    assert replaced.result_run_id != first.result_run_id
    await replaced.terminate()
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow(
            Door.run, "b", id=queue, task_queue=queue, id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE
        )


async def test_describe_memo_summary(client: Client, queue: str) -> None:
    handle = await client.start_workflow(
        Door.run,
        "a",
        id=queue,
        task_queue=queue,
        memo={"size": [1, 2]},
        static_summary="one line",
        static_details="more lines",
        execution_timeout=timedelta(hours=1),
        retry_policy=RetryPolicy(maximum_attempts=2),
    )
    found = await handle.describe()
    assert (found.id, found.run_id, found.workflow_type) == (queue, handle.result_run_id, "Door")
    assert (found.status, found.task_queue, found.close_time) == (WorkflowExecutionStatus.RUNNING, queue, None)
    assert await found.memo() == {"size": [1, 2]} and await found.memo_value("size") == [1, 2]
    assert await found.memo_value("nope", default=3) == 3
    with pytest.raises(KeyError):
        await found.memo_value("nope")
    assert (await found.static_summary(), await found.static_details()) == ("one line", "more lines")
    assert found.start_time.utcoffset() == timedelta(0) and found.history_length >= 2
    await handle.terminate()
    assert (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED


async def test_history_whole_in_pages_and_as_json(client: Client, queue: str) -> None:
    async with door_worker(client, queue):
        handle = await client.start_workflow(Door.run, "a", id=queue, task_queue=queue)
        await handle.signal("open", "me")
        # Ends when the workflow closes.
        waited = [e.event_id async for e in handle.fetch_history_events(wait_new_event=True)]
    history = await handle.fetch_history()
    assert waited == [event.event_id for event in history.events] == list(range(1, len(waited) + 1))
    assert history.run_id == handle.result_run_id
    assert WorkflowHistory.from_json(queue, history.to_json()) == history
    assert WorkflowHistory.from_json(queue, history.to_json_dict()) == history
    paged = handle.fetch_history_events(page_size=2)
    assert [e.event_id async for e in paged] == waited and paged.next_page_token is None
    close = await handle.fetch_history(event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT)
    assert [e.event_id for e in close.events] == waited[-1:]


async def test_list_and_count(client: Client, queue: str) -> None:
    for n in range(3):
        await client.start_workflow(Door.run, "a", id=f"{queue}-{n}", task_queue=queue)
    query = f"TaskQueue = '{queue}'" if not TARGET.startswith("embedded") else "WorkflowType = 'Door'"

    async def listed() -> set[str]:
        return {found.id async for found in client.list_workflows(query, page_size=2)}

    if TARGET.startswith("embedded"):
        assert await listed() == {f"{queue}-{n}" for n in range(3)}
        assert (await client.count_workflows(query)).count == 3
        assert len([found async for found in client.list_workflows(query, limit=2)]) == 2
    with pytest.raises(RPCError) as refused:
        await client.count_workflows("nonsense ===")
    assert refused.value.status is RPCStatusCode.INVALID_ARGUMENT


async def test_queries_that_are_not_answered(client: Client, queue: str) -> None:
    async with door_worker(client, queue):
        handle = await client.start_workflow(Door.run, "a", id=queue, task_queue=queue)
        with pytest.raises(WorkflowQueryFailedError, match="no answer"):
            await handle.query(Door.broken)
        with pytest.raises(WorkflowQueryFailedError, match="nope"):
            await handle.query("nope")
        with pytest.raises(RuntimeError, match="is it decorated with @workflow.query"):
            await handle.query(Door.run, "a")  # type: ignore[call-overload]
        await handle.terminate()
        with pytest.raises(WorkflowQueryRejectedError) as rejected:
            await handle.query(Door.state, reject_condition=QueryRejectCondition.NOT_OPEN)
        assert rejected.value.status is WorkflowExecutionStatus.TERMINATED


async def test_errors_of_the_server(client: Client, queue: str) -> None:
    unknown: WorkflowHandle[Door, str] = client.get_workflow_handle("no-such-workflow")
    for attempt in (unknown.describe(), unknown.signal("x"), unknown.result(), unknown.cancel(), unknown.terminate()):
        with pytest.raises(RPCError) as error:
            await attempt
        assert error.value.status is RPCStatusCode.NOT_FOUND
    with pytest.raises(RPCError) as error:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="nope"))
    assert error.value.status is RPCStatusCode.NOT_FOUND
    assert [d.type_url.rsplit(".", 1)[-1] for d in error.value.grpc_status.details] == ["NamespaceNotFoundFailure"]


async def test_bad_options_are_told_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(ValueError, match="id is missing, or empty"):
        await client.start_workflow("Door", id="", task_queue="q")
    with pytest.raises(TypeError, match="nope"):
        await client.start_workflow("Door", id="x", task_queue="q", nope=1)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="Cannot have arg and args"):
        await client.start_workflow("Door", 1, args=[2], id="x", task_queue="q")
    with pytest.raises(TypeError, match="args is a list of arguments, not str 'two'"):
        await client.start_workflow("Door", args="two", id="x", task_queue="q")
    with pytest.raises(ValueError, match="workflow.run"):
        await client.start_workflow(Door.state, id="x", task_queue="q")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="interceptors are not supported"):
        await Client.connect("embedded:", interceptors=[object()])
    with pytest.raises(ValueError, match="must be given together"):
        await Client.connect("localhost:1", tls=TLSConfig(client_cert=b"x"))
    with pytest.raises(ValueError, match="Task token cannot be present"):
        client.get_async_activity_handle(task_token=b"x", workflow_id="y")  # type: ignore[call-overload]


async def test_raw_services_and_health(client: Client) -> None:
    info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    assert info.capabilities.signal_and_query_header
    assert await client.service_client.check_health()
    with pytest.raises(AttributeError, match="has no method nope"):
        client.workflow_service.nope  # noqa: B018
    with pytest.raises(TypeError, match="expected temporal.api.workflowservice.v1.GetSystemInfoRequest"):
        await client.workflow_service.get_system_info(DescribeNamespaceRequest())
    assert "start_workflow_execution" in dir(client.workflow_service)


async def test_an_unreachable_server_is_an_error_at_once_or_when_lazy_at_the_first_call() -> None:
    with pytest.raises(RPCError) as error:
        await Client.connect("127.0.0.1:1")
    assert error.value.status is RPCStatusCode.UNAVAILABLE
    lazy = await Client.connect("127.0.0.1:1", lazy=True)
    with pytest.raises(RPCError):
        await lazy.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=timedelta(seconds=2))


@embedded_only
async def test_a_state_file_outlives_its_server(tmp_path: Path, queue: str) -> None:
    target = f"embedded:{tmp_path / 'state.db'}"
    async with await Client.connect(target) as client:
        await client.start_workflow(Door.run, "Ann", id=queue, task_queue=queue)
    async with await Client.connect(target) as client, door_worker(client, queue):
        handle = client.get_workflow_handle_for(Door.run, queue)
        await handle.signal(Door.open_wide)
        assert await handle.result() == "Ann saw all"


@embedded_only
async def test_a_client_copies_its_state_file_while_workflows_go_on(tmp_path: Path, queue: str) -> None:
    async with await Client.connect(f"embedded:{tmp_path / 'state.db'}") as client:
        await client.start_workflow(Door.run, "Ann", id=queue, task_queue=queue)
        await client.backup(tmp_path / "copy.db")
        with pytest.raises(RPCError, match="is there already") as refused:
            await client.backup(tmp_path / "copy.db")
        assert refused.value.status is RPCStatusCode.INVALID_ARGUMENT
        async with await Client.connect(f"embedded:{tmp_path / 'copy.db'}") as copy, door_worker(copy, queue):
            handle = copy.get_workflow_handle_for(Door.run, queue)
            await handle.signal(Door.open_wide)
            assert await handle.result() == "Ann saw all"
        assert (await client.get_workflow_handle(queue).describe()).status is WorkflowExecutionStatus.RUNNING
    async with await Client.connect("embedded:") as client:
        with pytest.raises(RPCError, match="in memory"):
            await client.backup(tmp_path / "nothing.db")


@embedded_only
async def test_clients_of_several_namespaces_share_a_connection(queue: str) -> None:
    connection = await ServiceClient.connect(ConnectConfig("embedded:", embedded_namespaces=("orders",)))
    client = Client(connection, namespace="orders")
    async with door_worker(client, queue):
        handle = await client.start_workflow(Door.run, "fresh", id=queue, task_queue=queue)
        assert await handle.result() == "fresh saw None"
    with pytest.raises(RPCError, match="not found"):
        await Client(connection).get_workflow_handle(queue).result()
    await connection.close()


@embedded_only
def test_a_client_works_in_one_loop_after_another(queue: str) -> None:
    client = asyncio.run(Client.connect("embedded:"))
    handle = asyncio.run(client.start_workflow("Door", "x", id=queue, task_queue=queue))
    assert asyncio.run(handle.describe()).status is WorkflowExecutionStatus.RUNNING
    asyncio.run(client.close())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork_the_client_says_what_to_do() -> None:
    client = asyncio.run(Client.connect("127.0.0.1:1", lazy=True))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(client.workflow_service.get_system_info(GetSystemInfoRequest()))
        except BaseException as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert b"connect a new Client in the child" in os.read(read, 1000)
    os.close(read)


async def test_a_waiting_call_that_is_cancelled_goes_away(client: Client, queue: str) -> None:
    handle = await client.start_workflow(Door.run, "x", id=str(uuid.uuid4()), task_queue=queue)
    waiting = asyncio.create_task(handle.result())
    await handle.describe()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(RPCError) as error:
        await handle.result(rpc_timeout=timedelta(milliseconds=200))
    assert error.value.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


async def test_a_signal_to_a_run_that_others_started_knows_its_first_run(client: Client, queue: str) -> None:
    async with door_worker(client, queue):
        first = await client.start_workflow(Door.run, "Ann", id=queue, task_queue=queue)
        second = await client.start_workflow(Door.run, "Ann", id=queue, task_queue=queue, start_signal="open-for-all")
        assert second.first_execution_run_id == first.first_execution_run_id == first.result_run_id
        assert await second.result() == "Ann saw all"


async def test_an_embedded_server_says_where_its_namespaces_are_listed() -> None:
    async with await Client.connect("embedded:", namespace="orders") as client:
        with pytest.raises(RPCError, match="'orders' is not registered. The server is embedded: .* list it there"):
            await client.start_workflow("w", id="w", task_queue="q")
    async with await Client.connect("embedded:", namespace="orders", embedded_namespaces=["orders"]) as client:
        assert (await client.start_workflow("w", id="w", task_queue="q")).id == "w"

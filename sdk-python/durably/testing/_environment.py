"""Environments for testing workflows: an embedded server, with or without a clock that skips time."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from durably import activity, common, converter, workflow
from durably._arguments import UNSET
from durably.api.google.protobuf import Empty
from durably.api.operatorservice.v1 import AddSearchAttributesRequest
from durably.api.time import as_timedelta, to_datetime, to_duration
from durably.client import Client, WorkflowHandle
from durably.service import ConnectConfig, RetryConfig, ServiceClient
from durably.worker import Worker

if TYPE_CHECKING:
    from typing_extensions import Self

_T = TypeVar("_T")


class WorkflowEnvironment:
    """A server for tests and a client of it. Make one with `start_local`, `start_time_skipping` or `from_client`;
    use it as an async context manager, or call `shutdown`."""

    @staticmethod
    def from_client(client: Client) -> WorkflowEnvironment:
        """An environment around an existing client; time is real, and `shutdown` does nothing."""
        return WorkflowEnvironment(client)

    @staticmethod
    async def start_local(
        *,
        namespace: str = "default",
        data_converter: converter.DataConverter = converter.DataConverter.default,
        interceptors: Sequence[Any] = (),
        default_workflow_query_reject_condition: common.QueryRejectCondition | None = None,
        retry_config: RetryConfig | None = None,
        rpc_metadata: Mapping[str, str] = {},
        identity: str | None = None,
        ip: str = "127.0.0.1",
        port: int | None = None,
        search_attributes: Sequence[common.SearchAttributeKey[Any]] = (),
        fail_fast: bool = True,
        dev_server_database_filename: str | None = None,
        **ignored: Any,
    ) -> WorkflowEnvironment:
        """A server in this process, with its state in memory and the real clock.

        Args:
            namespace: Made if it isn't `default`.
            data_converter: As in `Client.connect`, like the options that follow.
            interceptors: Reserved.
            default_workflow_query_reject_condition: For queries that give none.
            retry_config: Retries of failed calls.
            rpc_metadata: gRPC metadata of every call.
            identity: Shown in histories.
            ip: Address to listen on, if a port is given.
            port: Listen here too, so that other processes can connect; 0 picks a free port. Default: don't listen.
            search_attributes: Custom search attributes to define.
            fail_fast: Whoever waits for a workflow's result, or for a query's answer, gets an `RPCError` as soon as it is
                known that nothing will come of it until somebody mends something: a workflow task failed by a fault of
                the code, no worker takes the task, the worker lacks the activity. False: wait, as with any other server.
            dev_server_database_filename: Keep the state in this file.
            ignored: Options of `temporalio` about downloading and running its server (`download_dest_dir`, `ui`,
                names beginning with `dev_server_`) are accepted and have no effect.

        Raises:
            RPCError: The server can't be started, for example because the port is in use.
        """
        _check_ignored(ignored, "start_local")
        config = ConnectConfig(
            target_host=f"embedded:{dev_server_database_filename or ''}",
            namespace=namespace,
            retry_config=retry_config,
            rpc_metadata=rpc_metadata,
            identity=identity or "",
            embedded_namespaces=(namespace,),
            embedded_listen=f"{ip}:{port}" if port is not None else "",
            embedded_fail_fast=fail_fast,
        )
        client = await _client(config, data_converter, interceptors, default_workflow_query_reject_condition)
        await _add_search_attributes(client, search_attributes)
        return _OwnEnvironment(client)

    @staticmethod
    async def start_time_skipping(
        *,
        namespace: str = "default",
        data_converter: converter.DataConverter = converter.DataConverter.default,
        interceptors: Sequence[Any] = (),
        default_workflow_query_reject_condition: common.QueryRejectCondition | None = None,
        retry_config: RetryConfig | None = None,
        rpc_metadata: Mapping[str, str] = {},
        identity: str | None = None,
        search_attributes: Sequence[common.SearchAttributeKey[Any]] = (),
        fail_fast: bool = True,
        **ignored: Any,
    ) -> WorkflowEnvironment:
        """A server in this process whose clock jumps to the next timer whenever nothing runs and somebody waits for a
        workflow's result (or sleeps by `sleep`).

        Args:
            namespace: As in `start_local`, like the options that follow.
            data_converter: Converts values to payloads.
            interceptors: Reserved.
            default_workflow_query_reject_condition: For queries that give none.
            retry_config: Retries of failed calls.
            rpc_metadata: gRPC metadata of every call.
            identity: Shown in histories.
            search_attributes: Custom search attributes to define.
            fail_fast: As in `start_local`; also for activities that fail again and again without an end.
            ignored: Options of `temporalio` about downloading and running its server (`port`, `download_dest_dir`,
                names beginning with `test_server_`) are accepted and have no effect.

        Raises:
            RPCError: The server can't be started.
        """
        _check_ignored(ignored, "start_time_skipping")
        config = ConnectConfig(
            target_host="embedded:",
            namespace=namespace,
            retry_config=retry_config,
            rpc_metadata=rpc_metadata,
            identity=identity or "",
            embedded_namespaces=(namespace,),
            embedded_time_skipping=True,
            embedded_fail_fast=fail_fast,
        )
        client = await _client(config, data_converter, interceptors, default_workflow_query_reject_condition)
        await _add_search_attributes(client, search_attributes)
        return _TimeSkippingEnvironment(client)

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def client(self) -> Client:
        """A client of this environment's server."""
        return self._client

    @property
    def supports_time_skipping(self) -> bool:
        """Whether time can be skipped here."""
        return False

    async def sleep(self, duration: timedelta | float) -> None:
        """Sleeps; in a time-skipping environment, by moving its clock. Seconds or timedelta."""
        await asyncio.sleep(_seconds(duration))

    async def get_current_time(self) -> datetime:
        """The environment's time, aware, in UTC."""
        return datetime.now(timezone.utc)

    @contextmanager
    def auto_time_skipping_disabled(self) -> Iterator[None]:
        """While this context is open, waiting for a result does not skip time."""
        yield None

    async def shutdown(self) -> None:
        """Stops the server, if it belongs to this environment."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown()

    async def start_workflow(
        self, workflow: Callable[..., Awaitable[_T]] | str, arg: Any = UNSET, **options: Any
    ) -> WorkflowHandle[Any, _T]:
        """As `client.start_workflow`; `id` may be left out. A worker must be running on `task_queue`."""
        options.setdefault("id", f"test-{uuid.uuid4()}")
        handle: WorkflowHandle[Any, _T] = await self._client.start_workflow(workflow, arg, **options)
        return handle

    async def execute_workflow(
        self,
        workflow: Callable[..., Awaitable[_T]] | str,
        arg: Any = UNSET,
        *,
        task_queue: str | None = None,
        activities: Sequence[Callable[..., Any]] | None = None,
        workflows: Sequence[type[Any]] | None = None,
        **options: Any,
    ) -> _T:
        """Runs one workflow and returns its result; for tests that need no more than that.

        Args:
            workflow: The `@workflow.run` method.
            arg: As in `client.execute_workflow`, like all other options; `id` may be left out.
            task_queue: A queue with a running worker. Default: a worker runs for the length of this call.
            activities: Activities of that worker, for example mocks. Default: those that the workflow's module knows.
            workflows: Its workflows beside this one: of children, or mocks of them. Default: as for activities.
            options: Other options of `client.execute_workflow`.

        Raises:
            WorkflowFailureError: The workflow did not complete; see its `cause`.
            ValueError: A workflow by name was given without a `task_queue`.
        """
        options.setdefault("id", f"test-{uuid.uuid4()}")
        if task_queue is None:
            queue = f"test-{uuid.uuid4()}"
            async with _worker_of(self._client, queue, workflow, activities, workflows):
                return await self.execute_workflow(workflow, arg, task_queue=queue, **options)
        result: _T = await self._client.execute_workflow(workflow, arg, task_queue=task_queue, **options)
        return result


class _OwnEnvironment(WorkflowEnvironment):
    """An environment whose server goes with it."""

    async def shutdown(self) -> None:
        await self._client.close()


class _TimeSkippingEnvironment(_OwnEnvironment):
    """Its server's clock skips while somebody waits for a result, which the core sees to."""

    @property
    def supports_time_skipping(self) -> bool:
        return True

    async def sleep(self, duration: timedelta | float) -> None:
        length = timedelta(seconds=_seconds(duration))
        await self._client.service_client._sleep(length, in_activity=activity.in_activity())

    async def get_current_time(self) -> datetime:
        response = await self._client.test_service.get_current_time(Empty())
        time = to_datetime(response.time)
        assert time is not None
        return time

    @contextmanager
    def auto_time_skipping_disabled(self) -> Iterator[None]:
        service = self._client.service_client
        before, service._keeps_real_time = service._keeps_real_time, True
        try:
            yield None
        finally:
            service._keeps_real_time = before


async def _client(
    config: ConnectConfig,
    data_converter: converter.DataConverter,
    interceptors: Sequence[Any],
    condition: common.QueryRejectCondition | None,
) -> Client:
    if interceptors:
        raise ValueError("interceptors are not supported in this release")
    return Client(
        await ServiceClient.connect(config),
        namespace=config.namespace,
        data_converter=data_converter,
        default_workflow_query_reject_condition=condition,
    )


async def _add_search_attributes(client: Client, keys: Sequence[common.SearchAttributeKey[Any]]) -> None:
    if not keys:
        return
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes={key.name: int(key.indexed_value_type) for key in keys},
        )
    )


def _check_ignored(options: Mapping[str, Any], function: str) -> None:
    known = ("port", "ui", "ui_port", "tls", "runtime", "plugins", "lazy")
    for name in options:
        if name not in known and not name.startswith(("dev_server_", "test_server_", "download_")):
            raise TypeError(f"WorkflowEnvironment.{function}() got an unexpected keyword argument {name!r}")


def _seconds(duration: timedelta | float) -> float:
    return as_timedelta(duration).total_seconds()


def _worker_of(
    client: Client,
    task_queue: str,
    run: Callable[..., Any] | str,
    activities: Sequence[Callable[..., Any]] | None,
    workflows: Sequence[type[Any]] | None,
) -> Worker:
    """A worker for one workflow method, and what it may call."""
    if isinstance(run, str):
        raise ValueError("execute_workflow: a workflow given by name needs a task_queue with a running worker")
    definition = workflow._Definition.must_from_run_fn(run)
    known = list(vars(sys.modules[definition.cls.__module__]).values())
    if workflows is None:
        others = {
            other.name: value
            for value in known
            if isinstance(value, type)
            and (other := workflow._Definition.from_class(value)) is not None
            and other.name not in (None, definition.name)
        }
        workflows = list(others.values())
    if activities is None:
        found = {
            defined.name: value
            for value in known
            if callable(value)
            and not isinstance(value, type)
            and (defined := activity._Definition.from_callable(value)) is not None
        }
        activities = list(found.values())
    return Worker(client, task_queue=task_queue, workflows=[definition.cls, *workflows], activities=activities)

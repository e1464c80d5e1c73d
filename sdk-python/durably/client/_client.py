"""The client: a connection, a namespace and a data converter."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, TypedDict, overload

from durably import common, converter
from durably._arguments import UNSET, all_args
from durably.api.errordetails.v1 import WorkflowExecutionAlreadyStartedFailure
from durably.api.workflowservice.v1 import CountWorkflowExecutionsRequest
from durably.client._activity_handle import AsyncActivityHandle, AsyncActivityIDReference
from durably.client._executions import WorkflowExecutionAsyncIterator, WorkflowExecutionCount
from durably.client._start import StartWorkflowOptions, name_and_result_type, start_request
from durably.client._with_start import UpdatesWithStart
from durably.client._workflow_handle import WorkflowHandle
from durably.exceptions import WorkflowAlreadyStartedError
from durably.runtime import Runtime
from durably.service import (
    WORKFLOW_SERVICE,
    ConnectConfig,
    KeepAliveConfig,
    OperatorService,
    RetryConfig,
    RPCError,
    RPCStatusCode,
    ServiceClient,
    TestService,
    TLSConfig,
    WorkflowService,
)
from durably.types import MethodAsyncNoParam, MethodAsyncSingleParam, MultiParamSpec, ParamType, ReturnType, SelfType

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class ClientConfig(TypedDict, total=False):
    """What `Client.config` returns: the arguments that make an equal client."""

    service_client: ServiceClient
    namespace: str
    data_converter: converter.DataConverter
    default_workflow_query_reject_condition: common.QueryRejectCondition | None


class Client(UpdatesWithStart):
    """Starts workflows and talks to them. Make one with `Client.connect`.

    A client may be used from any event loop of the process, but not across a fork. Closing is only needed for an
    embedded server whose state file another program is to open at once; `async with` does it too.
    """

    @staticmethod
    async def connect(
        target_host: str,
        *,
        namespace: str = "default",
        api_key: str | None = None,
        data_converter: converter.DataConverter = converter.DataConverter.default,
        interceptors: Sequence[Any] = (),
        default_workflow_query_reject_condition: common.QueryRejectCondition | None = None,
        tls: bool | TLSConfig | None = None,
        retry_config: RetryConfig | None = None,
        keep_alive_config: KeepAliveConfig | None = KeepAliveConfig(),
        rpc_metadata: Mapping[str, str] = {},
        identity: str | None = None,
        lazy: bool = False,
        runtime: Runtime | None = None,
        embedded_namespaces: Sequence[str] = (),
    ) -> Client:
        """Connects to a server.

        Args:
            target_host: `"host:port"`; `"embedded:"` for a server in this process with its state in memory;
                `"embedded:PATH"` for one with its state in the SQLite file PATH, or the process that owns the file.
            namespace: Namespace of all calls.
            api_key: Sent as bearer token; turns TLS on unless `tls=False`.
            data_converter: Converts values to payloads.
            interceptors: Reserved; must be empty in this release.
            default_workflow_query_reject_condition: For queries that give none.
            tls: True, False, or a `TLSConfig`. Default: if an API key is given or the target says `https://`.
            retry_config: Retries of failed calls.
            keep_alive_config: HTTP/2 pings; None turns them off.
            rpc_metadata: gRPC metadata of every call.
            identity: Shown in histories. Default `PID@HOST`.
            lazy: Connect on the first call.
            runtime: Threads to run on. Default: the process's.
            embedded_namespaces: What an embedded server registers beside `default` when it starts.

        Raises:
            RPCError: The server can't be reached or refused.
            ValueError: An option is wrong.
        """
        if interceptors:
            raise ValueError("Client.connect: interceptors are not supported in this release")
        service_client = await ServiceClient.connect(
            ConnectConfig(
                target_host=target_host,
                namespace=namespace,
                api_key=api_key,
                tls=tls,
                retry_config=retry_config,
                keep_alive_config=keep_alive_config,
                rpc_metadata=rpc_metadata,
                identity=identity or "",
                lazy=lazy,
                runtime=runtime,
                embedded_namespaces=tuple(embedded_namespaces),
            )
        )
        return Client(
            service_client,
            namespace=namespace,
            data_converter=data_converter,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
        )

    def __init__(
        self,
        service_client: ServiceClient,
        *,
        namespace: str = "default",
        data_converter: converter.DataConverter = converter.DataConverter.default,
        default_workflow_query_reject_condition: common.QueryRejectCondition | None = None,
    ) -> None:
        self._config = ClientConfig(
            service_client=service_client,
            namespace=namespace,
            data_converter=data_converter,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
        )
        self._service_client = service_client
        self._rpc_metadata: Mapping[str, str] = {}
        self._identity = service_client.bridge.identity

    def config(self) -> ClientConfig:
        """The arguments of `Client()` that make an equal client."""
        return self._config.copy()

    @property
    def service_client(self) -> ServiceClient:
        """The connection."""
        return self._service_client

    @property
    def workflow_service(self) -> WorkflowService:
        """Raw access to WorkflowService."""
        return self._service_client.workflow_service

    @property
    def operator_service(self) -> OperatorService:
        """Raw access to OperatorService."""
        return self._service_client.operator_service

    @property
    def test_service(self) -> TestService:
        """Raw access to TestService."""
        return self._service_client.test_service

    @property
    def namespace(self) -> str:
        """Namespace of all calls."""
        return self._config["namespace"]

    @property
    def identity(self) -> str:
        """What histories show."""
        return self._identity

    @property
    def data_converter(self) -> converter.DataConverter:
        """Converts values to payloads."""
        return self._config["data_converter"]

    @property
    def default_workflow_query_reject_condition(self) -> common.QueryRejectCondition | None:
        """For queries that give none."""
        return self._config["default_workflow_query_reject_condition"]

    @property
    def rpc_metadata(self) -> Mapping[str, str]:
        """gRPC metadata that this client adds to its calls, beside that of the connection. Assign to replace it."""
        return self._rpc_metadata

    @rpc_metadata.setter
    def rpc_metadata(self, value: Mapping[str, str]) -> None:
        self._rpc_metadata = dict(value)

    @overload
    async def start_workflow(
        self, workflow: MethodAsyncNoParam[SelfType, ReturnType], **options: Unpack[StartWorkflowOptions]
    ) -> WorkflowHandle[SelfType, ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: MethodAsyncSingleParam[SelfType, ParamType, ReturnType],
        arg: ParamType,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[SelfType, ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[SelfType, ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: type | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[Any, Any]: ...

    async def start_workflow(
        self,
        workflow: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        result_type: type | None = None,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
        **options: Any,
    ) -> WorkflowHandle[Any, Any]:
        """Starts a workflow.

        Args:
            workflow: The `@workflow.run` method, or the workflow type's name.
            arg: Its argument.
            args: Its arguments, if there are several.
            result_type: Type of the result, for a workflow by name.
            rpc_metadata: gRPC metadata of the call.
            rpc_timeout: Deadline of the call.
            options: See `StartWorkflowOptions`; `id` and `task_queue` are required.

        Raises:
            WorkflowAlreadyStartedError: The id is taken, and the id policies don't allow a start.
            RPCError: The server could not be asked or refused.
            ValueError: An option is wrong.
        """
        name, hint = name_and_result_type(workflow, result_type)
        request = await start_request(self, name, all_args((arg,), args), **options)
        with_signal = bool(options.get("start_signal"))
        method = "SignalWithStartWorkflowExecution" if with_signal else "StartWorkflowExecution"
        try:
            response = await self._call(method, request, metadata=rpc_metadata, timeout=rpc_timeout)
        except RPCError as error:
            raise _already_started(error, request.workflow_id, name) or error from None
        # A signal may reach a run that others started; a server that doesn't tell its first run leaves it unknown.
        begun = response.run_id if not with_signal or response.started else None
        first = response.first_execution_run_id or begun
        return WorkflowHandle(
            self,
            request.workflow_id,
            result_run_id=response.run_id,
            first_execution_run_id=first,
            result_type=hint,
            start_workflow_response=response,
        )

    @overload
    async def execute_workflow(
        self, workflow: MethodAsyncNoParam[SelfType, ReturnType], **options: Unpack[StartWorkflowOptions]
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self,
        workflow: MethodAsyncSingleParam[SelfType, ParamType, ReturnType],
        arg: ParamType,
        **options: Unpack[StartWorkflowOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self,
        workflow: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartWorkflowOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self,
        workflow: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: type | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> Any: ...

    async def execute_workflow(self, workflow: Any, arg: Any = UNSET, **options: Any) -> Any:
        """Starts a workflow and waits for its result. As `start_workflow`, then `WorkflowHandle.result`.

        Raises:
            WorkflowFailureError: The workflow failed, timed out, or was cancelled or terminated; see its `cause`.
            WorkflowAlreadyStartedError: The id is taken, and the id policies don't allow a start.
            RPCError: The server could not be asked or refused.
            ValueError: An option is wrong.
        """
        handle = await self.start_workflow(workflow, arg, **options)
        return await handle.result()

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: type | None = None,
    ) -> WorkflowHandle[Any, Any]:
        """A handle on an existing workflow; the server is not asked whether it exists.

        Args:
            workflow_id: The workflow's id.
            run_id: Restrict everything to this run. Default: the current run at the time of each call.
            first_execution_run_id: Restrict cancel and terminate to the chain that began with this run.
            result_type: Type of the result.
        """
        return WorkflowHandle(
            self,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
        )

    def get_workflow_handle_for(
        self,
        workflow: MethodAsyncNoParam[SelfType, ReturnType]
        | MethodAsyncSingleParam[SelfType, Any, ReturnType],
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> WorkflowHandle[SelfType, ReturnType]:
        """As `get_workflow_handle`, typed by the workflow's `@workflow.run` method."""
        _, result_type = name_and_result_type(workflow, None)
        return self.get_workflow_handle(
            workflow_id, run_id=run_id, first_execution_run_id=first_execution_run_id, result_type=result_type
        )

    def list_workflows(
        self,
        query: str | None = None,
        *,
        limit: int | None = None,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> WorkflowExecutionAsyncIterator:
        """Runs that match a list filter, for example `WorkflowType = 'Order' AND ExecutionStatus = 'Running'`.

        Args:
            query: The filter. Default: all.
            limit: Stop after so many.
            page_size: Runs per call.
            next_page_token: Where to go on.
            rpc_metadata: gRPC metadata of the calls.
            rpc_timeout: Deadline of each call.
        """
        return WorkflowExecutionAsyncIterator(
            self,
            query=query,
            page_size=page_size,
            next_page_token=next_page_token,
            limit=limit,
            rpc_metadata=rpc_metadata,
            rpc_timeout=rpc_timeout,
        )

    async def count_workflows(
        self,
        query: str | None = None,
        *,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> WorkflowExecutionCount:
        """How many runs match a list filter.

        Raises:
            RPCError: The server could not be asked or refused the filter.
        """
        request = CountWorkflowExecutionsRequest(namespace=self.namespace, query=query or "")
        response = await self._call(
            "CountWorkflowExecutions", request, metadata=rpc_metadata, timeout=rpc_timeout
        )
        return WorkflowExecutionCount._from_raw(response)

    @overload
    def get_async_activity_handle(
        self, *, workflow_id: str, run_id: str | None, activity_id: str
    ) -> AsyncActivityHandle: ...

    @overload
    def get_async_activity_handle(self, *, task_token: bytes) -> AsyncActivityHandle: ...

    def get_async_activity_handle(
        self,
        *,
        workflow_id: str | None = None,
        run_id: str | None = None,
        activity_id: str | None = None,
        task_token: bytes | None = None,
    ) -> AsyncActivityHandle:
        """A handle on an activity that is completed from here. Give its task token or its ids.

        Raises:
            ValueError: Neither or both were given.
        """
        if task_token is not None:
            if workflow_id is not None or run_id is not None or activity_id is not None:
                raise ValueError("Task token cannot be present with other IDs")
            return AsyncActivityHandle(self, task_token)
        if workflow_id is None or activity_id is None:
            raise ValueError("Workflow ID, run ID, and activity ID must all be given together")
        return AsyncActivityHandle(self, AsyncActivityIDReference(workflow_id, run_id, activity_id))

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Copies the state of an embedded server to a new file, while workflows go on.

        The copy is one file with all that was acknowledged before the call. To restore it, put it where the state file
        was while no server runs, without the old file's ``-wal``. This is not in ``temporalio``.

        Args:
            path: Of the copy. Nothing may be there yet; its directory must exist.

        Raises:
            RPCError: INVALID_ARGUMENT when something is at ``path``. FAILED_PRECONDITION when the state is in memory, or
                not in this process: ``durably server backup`` copies it where its file is.
        """
        await self._service_client.backup(path)

    async def close(self) -> None:
        """Ends the connection, for everybody who shares it. An embedded server that this process owns is down, with
        everything on disk, when this returns."""
        await self._service_client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _metadata(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**self._rpc_metadata, **more}

    async def _call(
        self, method: str, request: Any, *, metadata: Mapping[str, str] = {}, timeout: timedelta | float | None = None
    ) -> Any:
        """A call of WorkflowService, retried as the client is configured."""
        return await self._service_client.call(
            WORKFLOW_SERVICE, method, request, retry=True, metadata=self._metadata(metadata), timeout=timeout
        )


def _already_started(error: RPCError, workflow_id: str, workflow_type: str) -> WorkflowAlreadyStartedError | None:
    if error.status != RPCStatusCode.ALREADY_EXISTS:
        return None
    detail = error.detail(WorkflowExecutionAlreadyStartedFailure)
    if detail is None:
        return None
    return WorkflowAlreadyStartedError(workflow_id, workflow_type, run_id=detail.run_id or None)

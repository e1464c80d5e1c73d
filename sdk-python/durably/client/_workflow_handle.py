"""A handle on one workflow: result, signals, queries, updates, cancellation, termination, description, history."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, cast, overload

from durably import common
from durably import exceptions as ex
from durably._arguments import UNSET, all_args
from durably.api.common.v1 import Payloads
from durably.api.core.v1 import AwaitWorkflow
from durably.api.errordetails.v1 import QueryFailedFailure
from durably.api.query.v1 import WorkflowQuery
from durably.api.time import to_duration
from durably.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    QueryWorkflowRequest,
    RequestCancelWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)
from durably.client._errors import (
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from durably.client._executions import WorkflowExecutionDescription, WorkflowExecutionStatus
from durably.client._history import (
    WorkflowHistory,
    WorkflowHistoryEventAsyncIterator,
    WorkflowHistoryEventFilterType,
    execution_of,
)
from durably.client._updates import UpdatableHandle
from durably.service import RPCError, RPCStatusCode
from durably.types import (
    LocalReturnType,
    MethodSyncOrAsyncNoParam,
    MethodSyncOrAsyncSingleParam,
    MultiParamSpec,
    ParamType,
    ReturnType,
    SelfType,
)

if TYPE_CHECKING:
    from durably.client._client import Client


class WorkflowHandle(UpdatableHandle[SelfType], Generic[SelfType, ReturnType]):
    """One workflow, running or not. From `Client.start_workflow` or `Client.get_workflow_handle`."""

    def __init__(
        self,
        client: Client,
        id: str,
        *,
        run_id: str | None = None,
        result_run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: type | None = None,
        start_workflow_response: Any = None,
    ) -> None:
        self._client = client
        self._id = id
        self._run_id = run_id
        self._result_run_id = result_run_id
        self._first_execution_run_id = first_execution_run_id
        self._result_type = result_type
        self._start_workflow_response = start_workflow_response

    @property
    def id(self) -> str:
        """The workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that signals, queries and describe go to; None, as after a start, means the current run."""
        return self._run_id

    @property
    def result_run_id(self) -> str | None:
        """The run that `result` begins with; None means the current run."""
        return self._result_run_id

    @property
    def first_execution_run_id(self) -> str | None:
        """The first run of the chain that cancel and terminate are restricted to, if known."""
        return self._first_execution_run_id

    async def result(
        self,
        *,
        follow_runs: bool = True,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> ReturnType:
        """Waits until the workflow closes and returns its result, for as long as it takes.

        Args:
            follow_runs: Go on with the next run after continue-as-new, retry or cron.
            rpc_metadata: gRPC metadata of the calls.
            rpc_timeout: Give up after this time.

        Raises:
            WorkflowFailureError: The workflow failed, timed out, or was cancelled or terminated; see its `cause`.
            WorkflowContinuedAsNewError: It continued as new, and runs are not followed.
            RPCError: There is no such workflow, or the server could not be asked.
        """
        request = AwaitWorkflow(
            namespace=self._client.namespace,
            workflow_id=self._id,
            run_id=self._result_run_id,
            follow_runs=follow_runs,
            timeout=to_duration(rpc_timeout),
            metadata=self._client._metadata(rpc_metadata),
        )
        result = await self._client.service_client.await_workflow(request)
        outcome = result.WhichOneof("outcome")
        if outcome == "completed":
            hints = [self._result_type] if self._result_type else None
            values = await self._client.data_converter.decode_wrapper(result.completed, hints)
            return cast(ReturnType, values[0] if values else None)
        if outcome == "continued_as_new_run_id":
            raise WorkflowContinuedAsNewError(result.continued_as_new_run_id)
        raise WorkflowFailureError(cause=await self._cause(outcome, result))

    async def _cause(self, outcome: str | None, result: Any) -> BaseException:
        data_converter = self._client.data_converter
        if outcome == "failed":
            return await data_converter.decode_failure(result.failed)
        if outcome == "cancelled":
            return ex.CancelledError("Workflow cancelled", *await data_converter.decode_wrapper(result.cancelled))
        if outcome == "terminated":
            ended = result.terminated
            details = await data_converter.decode_wrapper(ended.details)
            return ex.TerminatedError(ended.reason or "Workflow terminated", *details)
        if outcome == "timed_out":
            kind = ex.TimeoutType.START_TO_CLOSE
            return ex.TimeoutError("Workflow timed out", type=kind, last_heartbeat_details=[])
        return ex.TemporalError(f"The workflow closed in a way that this version does not know: {outcome}")

    @overload
    async def signal(
        self,
        signal: MethodSyncOrAsyncNoParam[SelfType, None],
        *,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: MethodSyncOrAsyncSingleParam[SelfType, ParamType, None],
        arg: ParamType,
        *,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[None] | None],
        *,
        args: Sequence[Any],
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> None: ...

    async def signal(
        self,
        signal: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> None:
        """Sends a signal; returns when the server has recorded it, not when it is handled.

        Args:
            signal: The `@workflow.signal` method, or the signal's name.
            arg: Its argument.
            args: Its arguments, if there are several.
            rpc_metadata: gRPC metadata of the call.
            rpc_timeout: Deadline of the call.

        Raises:
            RPCError: There is no such running workflow, or the server could not be asked.
        """
        request = SignalWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_execution=execution_of(self._id, self._run_id),
            signal_name=_signal_name(signal),
            input=await self._input(all_args((arg,), args)),
            identity=self._client.identity,
            request_id=str(uuid.uuid4()),
        )
        await self._client._call("SignalWorkflowExecution", request, metadata=rpc_metadata, timeout=rpc_timeout)

    @overload
    async def query(
        self,
        query: MethodSyncOrAsyncNoParam[SelfType, LocalReturnType],
        *,
        reject_condition: common.QueryRejectCondition | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> LocalReturnType: ...

    @overload
    async def query(
        self,
        query: MethodSyncOrAsyncSingleParam[SelfType, ParamType, LocalReturnType],
        arg: ParamType,
        *,
        reject_condition: common.QueryRejectCondition | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> LocalReturnType: ...

    @overload
    async def query(
        self,
        query: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[LocalReturnType]]
        | Callable[Concatenate[SelfType, MultiParamSpec], LocalReturnType],
        *,
        args: Sequence[Any],
        reject_condition: common.QueryRejectCondition | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> LocalReturnType: ...

    @overload
    async def query(
        self,
        query: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: type | None = ...,
        reject_condition: common.QueryRejectCondition | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> Any: ...

    async def query(
        self,
        query: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        result_type: type | None = None,
        reject_condition: common.QueryRejectCondition | None = None,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> Any:
        """Asks the workflow. A worker must be running, also for a closed workflow.

        Args:
            query: The `@workflow.query` method, or the query's name.
            arg: Its argument.
            args: Its arguments, if there are several.
            result_type: Type of the answer, for a query by name.
            reject_condition: Don't ask a workflow in such a state. Default: the client's.
            rpc_metadata: gRPC metadata of the call.
            rpc_timeout: Deadline of the call.

        Raises:
            WorkflowQueryFailedError: The handler raised, or there is none.
            WorkflowQueryRejectedError: The reject condition applies.
            RPCError: There is no such workflow, no worker answered, or the server could not be asked.
        """
        name, found_type = _query_name(query)
        condition = reject_condition or self._client.default_workflow_query_reject_condition
        request = QueryWorkflowRequest(
            namespace=self._client.namespace,
            execution=execution_of(self._id, self._run_id),
            query=WorkflowQuery(query_type=name, query_args=await self._input(all_args((arg,), args))),
            query_reject_condition=int(condition or 0),
        )
        try:
            response = await self._client._call(
                "QueryWorkflow", request, metadata=rpc_metadata, timeout=rpc_timeout
            )
        except RPCError as error:
            if error.status == RPCStatusCode.INVALID_ARGUMENT and error.detail(QueryFailedFailure) is not None:
                raise WorkflowQueryFailedError(error.message) from None
            raise
        if response.query_rejected is not None:
            raise WorkflowQueryRejectedError(WorkflowExecutionStatus._of(response.query_rejected.status))
        hint = result_type or found_type
        values = await self._client.data_converter.decode_wrapper(response.query_result, [hint] if hint else None)
        return values[0] if values else None

    async def cancel(
        self, *, rpc_metadata: Mapping[str, str] = {}, rpc_timeout: timedelta | float | None = None
    ) -> None:
        """Asks the workflow to cancel itself; its code decides how.

        Raises:
            RPCError: There is no such workflow, or the server could not be asked.
        """
        request = RequestCancelWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_execution=execution_of(self._id, self._run_id),
            identity=self._client.identity,
            request_id=str(uuid.uuid4()),
            first_execution_run_id=self._first_execution_run_id,
        )
        await self._client._call(
            "RequestCancelWorkflowExecution", request, metadata=rpc_metadata, timeout=rpc_timeout
        )

    async def terminate(
        self,
        *args: Any,
        reason: str | None = None,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> None:
        """Ends the workflow at once; its code is not asked.

        Args:
            args: Details to record.
            reason: Why.
            rpc_metadata: gRPC metadata of the call.
            rpc_timeout: Deadline of the call.

        Raises:
            RPCError: There is no such running workflow, or the server could not be asked.
        """
        request = TerminateWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_execution=execution_of(self._id, self._run_id),
            reason=reason or "",
            details=await self._input(args),
            identity=self._client.identity,
            first_execution_run_id=self._first_execution_run_id,
        )
        await self._client._call(
            "TerminateWorkflowExecution", request, metadata=rpc_metadata, timeout=rpc_timeout
        )

    async def describe(
        self, *, rpc_metadata: Mapping[str, str] = {}, rpc_timeout: timedelta | float | None = None
    ) -> WorkflowExecutionDescription:
        """Status, times, memo and more.

        Raises:
            RPCError: There is no such workflow, or the server could not be asked.
        """
        request = DescribeWorkflowExecutionRequest(
            namespace=self._client.namespace, execution=execution_of(self._id, self._run_id)
        )
        response = await self._client._call(
            "DescribeWorkflowExecution", request, metadata=rpc_metadata, timeout=rpc_timeout
        )
        return await WorkflowExecutionDescription._from_raw_description(
            response, self._client.namespace, self._client.data_converter
        )

    async def fetch_history(
        self,
        *,
        event_filter_type: WorkflowHistoryEventFilterType = WorkflowHistoryEventFilterType.ALL_EVENT,
        skip_archival: bool = False,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> WorkflowHistory:
        """All events so far.

        Raises:
            RPCError: There is no such workflow, or the server could not be asked.
        """
        events = self.fetch_history_events(
            event_filter_type=event_filter_type,
            skip_archival=skip_archival,
            rpc_metadata=rpc_metadata,
            rpc_timeout=rpc_timeout,
        )
        return WorkflowHistory(self._id, [event async for event in events])

    def fetch_history_events(
        self,
        *,
        page_size: int | None = None,
        next_page_token: bytes | None = None,
        wait_new_event: bool = False,
        event_filter_type: WorkflowHistoryEventFilterType = WorkflowHistoryEventFilterType.ALL_EVENT,
        skip_archival: bool = False,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> WorkflowHistoryEventAsyncIterator:
        """Events one by one, fetched in pages.

        Args:
            page_size: Events per page. Default: the server's.
            next_page_token: Where to go on.
            wait_new_event: Go on until the workflow closes, waiting for new events.
            event_filter_type: All events, or only the one that closed the workflow.
            skip_archival: Don't look in archives.
            rpc_metadata: gRPC metadata of the calls.
            rpc_timeout: Deadline of each call.
        """
        return WorkflowHistoryEventAsyncIterator(
            self._client,
            execution_of(self._id, self._run_id),
            page_size=page_size,
            next_page_token=next_page_token,
            wait_new_event=wait_new_event,
            event_filter_type=event_filter_type,
            skip_archival=skip_archival,
            rpc_metadata=rpc_metadata,
            rpc_timeout=rpc_timeout,
        )

    async def _input(self, args: Sequence[Any]) -> Any:
        return Payloads(payloads=await self._client.data_converter.encode(args)) if args else None


def _signal_name(signal: str | Callable[..., Any]) -> str:
    if isinstance(signal, str):
        return signal
    from durably import workflow

    return workflow._SignalDefinition.must_name_from_fn_or_str(signal)


def _query_name(query: str | Callable[..., Any]) -> tuple[str, Any]:
    if isinstance(query, str):
        return query, None
    from durably import workflow

    definition = workflow._QueryDefinition.from_fn(query)
    if definition is None:
        name = getattr(query, "__qualname__", repr(query))
        raise RuntimeError(f"Query definition not found on {name}, is it decorated with @workflow.query?")
    if definition.name is None:
        raise RuntimeError("Cannot invoke dynamic query definition")
    return definition.name, definition.ret_type

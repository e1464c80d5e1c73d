"""Update-with-start: one call that starts a workflow, if it isn't running, and sends it an update."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, overload

from durably import common
from durably._arguments import UNSET, all_args
from durably.api.errordetails.v1 import MultiOperationExecutionFailure, WorkflowExecutionAlreadyStartedFailure
from durably.api.failure.v1 import MultiOperationExecutionAborted
from durably.api.workflowservice.v1 import ExecuteMultiOperationRequest
from durably.client import _start
from durably.client._updates import (
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
    check_stage,
    name_and_result_type,
    update_request,
    waited_for,
)
from durably.client._workflow_handle import WorkflowHandle
from durably.exceptions import WorkflowAlreadyStartedError
from durably.service import RPCError, RPCStatusCode
from durably.types import (
    LocalReturnType,
    MethodAsyncNoParam,
    MethodAsyncSingleParam,
    MultiParamSpec,
    ParamType,
    ReturnType,
    SelfType,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from durably.client._client import Client
    from durably.workflow import UpdateMethodMultiParam


class WithStartWorkflowOperation(Generic[SelfType, ReturnType]):
    """How `Client.execute_update_with_start_workflow` starts the workflow. For one call."""

    @overload
    def __init__(
        self, workflow: MethodAsyncNoParam[SelfType, ReturnType], **options: Unpack[_start.WithStartWorkflowOptions]
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow: MethodAsyncSingleParam[SelfType, ParamType, ReturnType],
        arg: ParamType,
        **options: Unpack[_start.WithStartWorkflowOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        **options: Unpack[_start.WithStartWorkflowOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: type | None = ...,
        **options: Unpack[_start.WithStartWorkflowOptions],
    ) -> None: ...

    def __init__(
        self,
        workflow: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str,
        task_queue: str,
        id_conflict_policy: common.WorkflowIDConflictPolicy,
        result_type: type | None = None,
        **options: Any,
    ) -> None:
        """What to start.

        Args:
            workflow: The `@workflow.run` method, or the workflow type's name.
            arg: Its argument.
            args: Its arguments, if there are several.
            id: The workflow id.
            task_queue: The task queue.
            id_conflict_policy: What to do if a run of the id is there: USE_EXISTING sends the update to it, FAIL does
                nothing, TERMINATE_EXISTING puts a new run in its place.
            result_type: Type of the workflow's result, for a workflow by name.
            options: See `StartWorkflowOptions`.

        Raises:
            ValueError: The conflict policy is UNSPECIFIED, or there are both `arg` and `args`.
        """
        if id_conflict_policy == common.WorkflowIDConflictPolicy.UNSPECIFIED:
            raise ValueError("WorkflowIDConflictPolicy is required: FAIL, USE_EXISTING or TERMINATE_EXISTING")
        refused = sorted(options.keys() - _start.WithStartWorkflowOptions.__annotations__.keys())
        if refused:
            raise TypeError(f"WithStartWorkflowOperation() got an unexpected keyword argument {refused[0]!r}")
        self._name, self._result_type = _start.name_and_result_type(workflow, result_type)
        self._args = all_args((arg,), args)
        self._id = id
        self._options = dict(id=id, task_queue=task_queue, id_conflict_policy=id_conflict_policy, **options)
        self._used = False
        self._begun: WorkflowHandle[SelfType, ReturnType] | BaseException | None = None
        self._waiting: list[asyncio.Future[None]] = []

    async def workflow_handle(self) -> WorkflowHandle[SelfType, ReturnType]:
        """Waits until the call has been made in which this is used, and the workflow is running.

        Raises:
            WorkflowAlreadyStartedError: The id is taken, and the id policies don't allow a start.
            WorkflowUpdateRPCTimeoutOrCancelledError: The call timed out or was cancelled first.
            RPCError: The server could not be asked or refused.
        """
        while self._begun is None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        if isinstance(self._begun, BaseException):
            raise self._begun
        return self._begun

    def _begins(self, begun: WorkflowHandle[SelfType, ReturnType] | BaseException) -> None:
        """Tell those who wait for the handle what has become of the start."""
        self._begun = begun
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


async def start(
    client: Client,
    update: Any,
    args: Sequence[Any],
    operation: WithStartWorkflowOperation[Any, Any],
    stage: WorkflowUpdateStage,
    *,
    id: str | None,
    result_type: type | None,
    rpc_metadata: Mapping[str, str],
    rpc_timeout: timedelta | float | None,
) -> WorkflowUpdateHandle[Any]:
    """The call; see `UpdatesWithStart`."""
    check_stage(stage)
    if operation._used:
        raise RuntimeError("WithStartWorkflowOperation cannot be reused; make one for each call")
    operation._used = True
    try:
        name, hint = name_and_result_type(update, result_type)
        starting = await _start.start_request(client, operation._name, operation._args, **operation._options)
        updating = await update_request(client, operation._id, name, args, id=id, stage=stage)
        request = ExecuteMultiOperationRequest(
            namespace=client.namespace,
            operations=[
                ExecuteMultiOperationRequest.Operation(start_workflow=starting),
                ExecuteMultiOperationRequest.Operation(update_workflow=updating),
            ],
        )
        call = client._call("ExecuteMultiOperation", request, metadata=rpc_metadata, timeout=rpc_timeout)
        started, updated = (await waited_for(call)).responses
    except RPCError as error:
        reason = _reason(error, operation)
        operation._begins(reason)
        raise reason from None
    except BaseException as error:
        operation._begins(error)
        raise
    begun, answer = started.start_workflow, updated.update_workflow
    operation._begins(
        WorkflowHandle(
            client,
            operation._id,
            first_execution_run_id=begun.first_execution_run_id or begun.run_id,
            result_run_id=begun.run_id,
            result_type=operation._result_type,
            start_workflow_response=begun,
        )
    )
    return WorkflowUpdateHandle(
        client,
        updating.request.meta.update_id,
        operation._id,
        workflow_run_id=begun.run_id,
        result_type=hint,
        known_outcome=answer.outcome,
    )


def _reason(error: RPCError, operation: WithStartWorkflowOperation[Any, Any]) -> BaseException:
    """The error of that one of the two that failed by itself; the other one was only given up because of it."""
    both = error.detail(MultiOperationExecutionFailure)
    for status in both.statuses if both is not None else ():
        if status.code == RPCStatusCode.OK or _detail(status, MultiOperationExecutionAborted) is not None:
            continue
        taken = _detail(status, WorkflowExecutionAlreadyStartedFailure)
        if status.code == RPCStatusCode.ALREADY_EXISTS and taken is not None:
            return WorkflowAlreadyStartedError(operation._id, operation._name, run_id=taken.run_id or None)
        if status.code in list(RPCStatusCode):
            return RPCError(status.message, RPCStatusCode(status.code), error.raw_grpc_status)
    return error


def _detail(status: Any, message_class: Any) -> Any:
    """The first detail of the given message class, or None."""
    for detail in status.details:
        if detail.type_url.rsplit("/", 1)[-1] == message_class.full_name:
            return message_class.FromString(detail.value)
    return None


class UpdatesWithStart:
    """What a `Client` can do with workflows that may have to be started first."""

    @overload
    async def start_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[[SelfType], LocalReturnType],
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> WorkflowUpdateHandle[LocalReturnType]: ...

    @overload
    async def start_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[[SelfType, ParamType], LocalReturnType],
        arg: ParamType,
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> WorkflowUpdateHandle[LocalReturnType]: ...

    @overload
    async def start_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[MultiParamSpec, LocalReturnType],
        *,
        args: Sequence[Any],
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> WorkflowUpdateHandle[LocalReturnType]: ...

    @overload
    async def start_update_with_start_workflow(
        self,
        update: str,
        arg: Any = ...,
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = ...,
        id: str | None = ...,
        result_type: type | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> WorkflowUpdateHandle[Any]: ...

    async def start_update_with_start_workflow(
        self: Any,
        update: Any,
        arg: Any = UNSET,
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: type | None = None,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> WorkflowUpdateHandle[Any]:
        """Starts a workflow, if it isn't running, and sends it an update, in one step: a run that this starts has the update in its
        first workflow task. Returns when the update has come as far as `wait_for_stage` says.

        Args:
            update: The `@workflow.update` method, or the update's name.
            arg: Its argument.
            start_workflow_operation: How to start the workflow, and what to do if it is running.
            wait_for_stage: ACCEPTED or COMPLETED.
            args: Its arguments, if there are several.
            id: Names the update within the run. Default: a new UUID.
            result_type: Type of the answer, for an update by name.
            rpc_metadata: gRPC metadata of the call.
            rpc_timeout: Give up after this time. Default: as long as it takes.

        Raises:
            WorkflowAlreadyStartedError: The id is taken, and the id policies don't allow a start.
            WorkflowUpdateRPCTimeoutOrCancelledError: The time is up, or the wait was cancelled; both may have happened.
            RPCError: The server could not be asked or refused one of the two; then neither has happened.
            ValueError: Nobody can wait for that stage, or an option is wrong.
            RuntimeError: The operation was used before.
        """
        return await start(
            self,
            update,
            all_args((arg,), args),
            start_workflow_operation,
            wait_for_stage,
            id=id,
            result_type=result_type,
            rpc_metadata=rpc_metadata,
            rpc_timeout=rpc_timeout,
        )

    @overload
    async def execute_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[[SelfType], LocalReturnType],
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> LocalReturnType: ...

    @overload
    async def execute_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[[SelfType, ParamType], LocalReturnType],
        arg: ParamType,
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> LocalReturnType: ...

    @overload
    async def execute_update_with_start_workflow(
        self,
        update: UpdateMethodMultiParam[MultiParamSpec, LocalReturnType],
        *,
        args: Sequence[Any],
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> LocalReturnType: ...

    @overload
    async def execute_update_with_start_workflow(
        self,
        update: str,
        arg: Any = ...,
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],
        args: Sequence[Any] = ...,
        id: str | None = ...,
        result_type: type | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> Any: ...

    async def execute_update_with_start_workflow(self, update: Any, arg: Any = UNSET, **options: Any) -> Any:
        """As `start_update_with_start_workflow`, then waits for the update's answer.

        Raises:
            WorkflowUpdateFailedError: The update failed, was rejected, or its workflow closed before it; see its `cause`.
            WorkflowAlreadyStartedError: The id is taken, and the id policies don't allow a start.
            WorkflowUpdateRPCTimeoutOrCancelledError: The time is up, or the wait was cancelled; both may have happened.
            RPCError: The server could not be asked or refused one of the two; then neither has happened.
        """
        handle = await self.start_update_with_start_workflow(
            update, arg, wait_for_stage=WorkflowUpdateStage.COMPLETED, **options
        )
        return await handle.result()

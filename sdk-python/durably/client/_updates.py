"""Updates, as a client asks for them: sent, waited for by stage, and found again by id."""

from __future__ import annotations

import asyncio
import uuid
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from durably._arguments import UNSET, all_args
from durably.api.common.v1 import Payloads
from durably.api.enums.v1 import UpdateWorkflowExecutionLifecycleStage as Stage
from durably.api.update.v1 import Input, Meta, Request, UpdateRef, WaitPolicy
from durably.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest, UpdateWorkflowExecutionRequest
from durably.client._errors import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from durably.client._history import execution_of
from durably.service import RPCError, RPCStatusCode
from durably.types import LocalReturnType, MultiParamSpec, ParamType, SelfType

if TYPE_CHECKING:
    from durably.client._client import Client
    from durably.workflow import UpdateMethodMultiParam

_R = TypeVar("_R")


class WorkflowUpdateStage(IntEnum):
    """How far an update has come."""

    ADMITTED = int(Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED)
    """The server has it. Nobody can wait for this alone."""
    ACCEPTED = int(Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED)
    """The workflow has it, and its history: its handler has begun."""
    COMPLETED = int(Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED)
    """It has its answer."""


class WorkflowUpdateHandle(Generic[LocalReturnType]):
    """One update. From `start_update` or `get_update_handle` of a `WorkflowHandle`."""

    def __init__(
        self,
        client: Client,
        id: str,
        workflow_id: str,
        *,
        workflow_run_id: str | None = None,
        result_type: type | None = None,
        known_outcome: Any = None,
    ) -> None:
        self._client = client
        self._id = id
        self._workflow_id = workflow_id
        self._workflow_run_id = workflow_run_id
        self._result_type = result_type
        self._known_outcome = known_outcome

    @property
    def id(self) -> str:
        """The update's id."""
        return self._id

    @property
    def workflow_id(self) -> str:
        """Of the workflow that it was sent to."""
        return self._workflow_id

    @property
    def workflow_run_id(self) -> str | None:
        """The run that it was sent to; None means the current one."""
        return self._workflow_run_id

    async def result(
        self, *, rpc_metadata: Mapping[str, str] = {}, rpc_timeout: timedelta | float | None = None
    ) -> LocalReturnType:
        """Waits until the update has completed and returns its answer, for as long as it takes.

        Args:
            rpc_metadata: gRPC metadata of the call.
            rpc_timeout: Give up after this time.

        Raises:
            WorkflowUpdateFailedError: It failed, was rejected, or its workflow closed before it; see its `cause`.
            WorkflowUpdateRPCTimeoutOrCancelledError: The time is up, or the wait was cancelled; the update goes on.
            RPCError: There is no such update, or the server could not be asked.
        """
        if self._known_outcome is None:
            request = PollWorkflowExecutionUpdateRequest(
                namespace=self._client.namespace,
                update_ref=UpdateRef(
                    workflow_execution=execution_of(self._workflow_id, self._workflow_run_id), update_id=self._id
                ),
                identity=self._client.identity,
                wait_policy=WaitPolicy(lifecycle_stage=int(WorkflowUpdateStage.COMPLETED)),
            )
            call = self._client._call(
                "PollWorkflowExecutionUpdate", request, metadata=rpc_metadata, timeout=rpc_timeout
            )
            self._known_outcome = (await waited_for(call)).outcome
        outcome, data_converter = self._known_outcome, self._client.data_converter
        if outcome is None:
            raise RPCError("the server ended the wait without an outcome", RPCStatusCode.INTERNAL, b"")
        if outcome.failure is not None:
            # Decoding may change it in place, and the result can be asked for again.
            failure = type(outcome.failure).FromString(outcome.failure.SerializeToString())
            raise WorkflowUpdateFailedError(await data_converter.decode_failure(failure))
        values = await data_converter.decode_wrapper(outcome.success, [self._result_type] if self._result_type else None)
        if len(values) > 1:
            warnings.warn(f"Expected single update result, got {len(values)}", stacklevel=2)
        return cast(LocalReturnType, values[0] if values else None)


async def waited_for(call: Awaitable[_R]) -> _R:
    """What a call comes to that waits for an update.

    Raises:
        WorkflowUpdateRPCTimeoutOrCancelledError: It came to nothing in time, or was cancelled.
        RPCError: The server refused.
    """
    try:
        return await call
    except RPCError as error:
        if error.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
            raise WorkflowUpdateRPCTimeoutOrCancelledError from error
        raise
    except asyncio.CancelledError as error:
        raise WorkflowUpdateRPCTimeoutOrCancelledError from error


def check_stage(stage: WorkflowUpdateStage) -> None:
    """Refuses what nobody can wait for."""
    if stage not in (WorkflowUpdateStage.ACCEPTED, WorkflowUpdateStage.COMPLETED):
        name = WorkflowUpdateStage(stage).name if stage in list(WorkflowUpdateStage) else repr(stage)
        raise ValueError(f"{name} wait stage not supported; wait for ACCEPTED or COMPLETED")


def name_and_result_type(update: str | Callable[..., Any], result_type: type | None) -> tuple[str, type | None]:
    """The update's name, and the type of its answer if it is known."""
    from durably import workflow

    name, inferred = workflow._UpdateDefinition.get_name_and_result_type(update)
    return name, result_type or inferred


async def update_request(
    client: Client,
    workflow_id: str,
    name: str,
    args: Sequence[Any],
    *,
    id: str | None,
    stage: WorkflowUpdateStage,
    run_id: str | None = None,
    first_execution_run_id: str | None = None,
) -> Any:
    """An `UpdateWorkflowExecutionRequest`; an update without an id gets one."""
    return UpdateWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=execution_of(workflow_id, run_id),
        first_execution_run_id=first_execution_run_id or "",
        request=Request(
            meta=Meta(update_id=id or str(uuid.uuid4()), identity=client.identity),
            input=Input(
                name=name, args=Payloads(payloads=await client.data_converter.encode(args)) if args else None
            ),
        ),
        wait_policy=WaitPolicy(lifecycle_stage=int(stage)),
    )


class UpdatableHandle(Generic[SelfType]):
    """What a `WorkflowHandle` can do with updates."""

    _client: Client
    _id: str
    _run_id: str | None
    _first_execution_run_id: str | None

    @overload
    async def start_update(
        self,
        update: UpdateMethodMultiParam[[SelfType], LocalReturnType],
        *,
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> WorkflowUpdateHandle[LocalReturnType]: ...

    @overload
    async def start_update(
        self,
        update: UpdateMethodMultiParam[[SelfType, ParamType], LocalReturnType],
        arg: ParamType,
        *,
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> WorkflowUpdateHandle[LocalReturnType]: ...

    @overload
    async def start_update(
        self,
        update: UpdateMethodMultiParam[MultiParamSpec, LocalReturnType],
        *,
        args: Sequence[Any],
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> WorkflowUpdateHandle[LocalReturnType]: ...

    @overload
    async def start_update(
        self,
        update: str,
        arg: Any = ...,
        *,
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = ...,
        id: str | None = ...,
        result_type: type | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> WorkflowUpdateHandle[Any]: ...

    async def start_update(
        self,
        update: Any,
        arg: Any = UNSET,
        *,
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: type | None = None,
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> WorkflowUpdateHandle[Any]:
        """Sends an update; returns when it has come as far as `wait_for_stage` says. A worker must be running.

        One that is rejected counts as completed: `result` of the handle raises why.

        Args:
            update: The `@workflow.update` method, or the update's name.
            arg: Its argument.
            wait_for_stage: ACCEPTED or COMPLETED.
            args: Its arguments, if there are several.
            id: Names it within the run: one that is there already is found, and not sent again. Default: a new UUID.
            result_type: Type of the answer, for an update by name.
            rpc_metadata: gRPC metadata of the call.
            rpc_timeout: Give up after this time. Default: as long as it takes.

        Raises:
            WorkflowUpdateRPCTimeoutOrCancelledError: The time is up, or the wait was cancelled; the update may go on.
            RPCError: There is no such running workflow, or the server could not be asked or refused.
            ValueError: Nobody can wait for that stage.
        """
        check_stage(wait_for_stage)
        name, hint = name_and_result_type(update, result_type)
        request = await update_request(
            self._client,
            self._id,
            name,
            all_args((arg,), args),
            id=id,
            stage=wait_for_stage,
            run_id=self._run_id,
            first_execution_run_id=self._first_execution_run_id,
        )
        call = self._client._call("UpdateWorkflowExecution", request, metadata=rpc_metadata, timeout=rpc_timeout)
        response = await waited_for(call)
        reference = response.update_ref
        run = reference.workflow_execution.run_id if reference is not None and reference.workflow_execution else ""
        return WorkflowUpdateHandle(
            self._client,
            request.request.meta.update_id,
            self._id,
            workflow_run_id=run or self._run_id,
            result_type=hint,
            known_outcome=response.outcome,
        )

    @overload
    async def execute_update(
        self,
        update: UpdateMethodMultiParam[[SelfType], LocalReturnType],
        *,
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> LocalReturnType: ...

    @overload
    async def execute_update(
        self,
        update: UpdateMethodMultiParam[[SelfType, ParamType], LocalReturnType],
        arg: ParamType,
        *,
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> LocalReturnType: ...

    @overload
    async def execute_update(
        self,
        update: UpdateMethodMultiParam[MultiParamSpec, LocalReturnType],
        *,
        args: Sequence[Any],
        id: str | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> LocalReturnType: ...

    @overload
    async def execute_update(
        self,
        update: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        id: str | None = ...,
        result_type: type | None = ...,
        rpc_metadata: Mapping[str, str] = ...,
        rpc_timeout: timedelta | float | None = ...,
    ) -> Any: ...

    async def execute_update(self, update: Any, arg: Any = UNSET, **options: Any) -> Any:
        """Sends an update and waits for its answer. As `start_update`, then `WorkflowUpdateHandle.result`.

        Raises:
            WorkflowUpdateFailedError: It failed, was rejected, or its workflow closed before it; see its `cause`.
            WorkflowUpdateRPCTimeoutOrCancelledError: The time is up, or the wait was cancelled; the update may go on.
            RPCError: There is no such running workflow, or the server could not be asked or refused.
        """
        handle = await self.start_update(update, arg, wait_for_stage=WorkflowUpdateStage.COMPLETED, **options)
        return await handle.result()

    def get_update_handle(
        self, id: str, *, workflow_run_id: str | None = None, result_type: type | None = None
    ) -> WorkflowUpdateHandle[Any]:
        """A handle on an update that was sent before, by whomever; the server is not asked whether it exists.

        Args:
            id: The update's id.
            workflow_run_id: The run that it was sent to. Default: this handle's `run_id`.
            result_type: Type of the answer.
        """
        return WorkflowUpdateHandle(
            self._client,
            id,
            self._id,
            workflow_run_id=workflow_run_id or self._run_id,
            result_type=result_type,
        )

    def get_update_handle_for(
        self,
        update: UpdateMethodMultiParam[Any, LocalReturnType],
        id: str,
        *,
        workflow_run_id: str | None = None,
    ) -> WorkflowUpdateHandle[LocalReturnType]:
        """As `get_update_handle`, typed by the `@workflow.update` method."""
        _, result_type = name_and_result_type(update, None)
        return self.get_update_handle(id, workflow_run_id=workflow_run_id, result_type=result_type)

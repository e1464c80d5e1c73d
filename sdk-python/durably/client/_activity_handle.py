"""Completing activities from elsewhere, by task token or by ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from durably._arguments import UNSET
from durably.activity import ActivityCancellationDetails
from durably.api.failure.v1 import Failure
from durably.api.workflowservice import v1 as rpc
from durably.client._errors import AsyncActivityCancelledError

if TYPE_CHECKING:
    from durably.client._client import Client


@dataclass(frozen=True)
class AsyncActivityIDReference:
    """An activity by its ids."""

    workflow_id: str
    run_id: str | None
    activity_id: str


class AsyncActivityHandle:
    """An activity that another process, or this one at another time, completes. From
    `Client.get_async_activity_handle`."""

    def __init__(self, client: Client, id_or_token: AsyncActivityIDReference | bytes) -> None:
        self._client = client
        self._id_or_token = id_or_token

    async def heartbeat(
        self, *details: Any, rpc_metadata: Mapping[str, str] = {}, rpc_timeout: timedelta | float | None = None
    ) -> None:
        """Reports progress.

        Raises:
            AsyncActivityCancelledError: The activity should stop.
            RPCError: The server does not know the activity (any more), or could not be asked.
        """
        response = await self._respond(
            "RecordActivityTaskHeartbeat",
            rpc_metadata,
            rpc_timeout,
            details=await self._details(details),
        )
        if response.cancel_requested or response.activity_paused or response.activity_reset:
            raise AsyncActivityCancelledError(
                ActivityCancellationDetails(
                    cancel_requested=response.cancel_requested,
                    paused=response.activity_paused,
                    reset=response.activity_reset,
                )
            )

    async def complete(
        self, result: Any = UNSET, *, rpc_metadata: Mapping[str, str] = {}, rpc_timeout: timedelta | float | None = None
    ) -> None:
        """Completes the activity with a result.

        Raises:
            RPCError: The server does not know the activity (any more), or could not be asked.
        """
        values = [None if result is UNSET else result]
        encoded = await self._client.data_converter.encode_wrapper(values)
        await self._respond("RespondActivityTaskCompleted", rpc_metadata, rpc_timeout, result=encoded)

    async def fail(
        self,
        error: Exception,
        *,
        last_heartbeat_details: tuple[Any, ...] = (),
        rpc_metadata: Mapping[str, str] = {},
        rpc_timeout: timedelta | float | None = None,
    ) -> None:
        """Fails this attempt; the retry policy decides what follows.

        Raises:
            RPCError: The server does not know the activity (any more), or could not be asked.
        """
        failure = Failure()
        await self._client.data_converter.encode_failure(error, failure)
        await self._respond(
            "RespondActivityTaskFailed",
            rpc_metadata,
            rpc_timeout,
            failure=failure,
            last_heartbeat_details=await self._details(last_heartbeat_details),
        )

    async def report_cancellation(
        self, *details: Any, rpc_metadata: Mapping[str, str] = {}, rpc_timeout: timedelta | float | None = None
    ) -> None:
        """Reports that the activity has stopped after a request for cancellation.

        Raises:
            RPCError: Cancellation was not requested, or the server does not know the activity (any more).
        """
        await self._respond(
            "RespondActivityTaskCanceled", rpc_metadata, rpc_timeout, details=await self._details(details)
        )

    async def _details(self, details: tuple[Any, ...]) -> Any:
        return await self._client.data_converter.encode_wrapper(details) if details else None

    async def _respond(
        self, method: str, metadata: Mapping[str, str], timeout: timedelta | float | None, **fields: Any
    ) -> Any:
        fields.update(namespace=self._client.namespace, identity=self._client.identity)
        target = self._id_or_token
        if isinstance(target, AsyncActivityIDReference):
            # The same call by ids has another name: RespondActivityTaskCompletedById.
            method += "ById"
            fields.update(
                workflow_id=target.workflow_id, run_id=target.run_id or "", activity_id=target.activity_id
            )
        else:
            fields["task_token"] = target
        request = getattr(rpc, method + "Request")(**fields)
        return await self._client._call(method, request, metadata=metadata, timeout=timeout)

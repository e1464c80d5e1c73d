"""Histories of workflows: as a whole, event by event, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from durably.api.common.v1 import WorkflowExecution
from durably.api.history.v1 import History
from durably.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest

if TYPE_CHECKING:
    from durably.client._client import Client


class WorkflowHistoryEventFilterType(IntEnum):
    """Which events to fetch."""

    ALL_EVENT = 1
    CLOSE_EVENT = 2


@dataclass(frozen=True)
class WorkflowHistory:
    """The events of one run."""

    workflow_id: str
    events: Sequence[Any]
    """`durably.api.history.v1.HistoryEvent` messages."""

    @property
    def run_id(self) -> str:
        """The run's id, from its first event.

        Raises:
            RuntimeError: The history does not begin with a start.
        """
        started = self.events[0].workflow_execution_started_event_attributes if self.events else None
        if started is None:
            raise RuntimeError("First event is not workflow start")
        return str(started.original_execution_run_id)

    @staticmethod
    def from_json(workflow_id: str, history: str | dict[str, Any]) -> WorkflowHistory:
        """Reads what `to_json`, Temporal's CLI or its UI wrote. Enum values may be in full or in short.

        Raises:
            ValueError: It is not a history.
        """
        text = history if isinstance(history, str) else json.dumps(history)
        return WorkflowHistory(workflow_id, History.from_json(text).events)

    def to_json(self) -> str:
        """The history as protobuf JSON, as Temporal's tools read it."""
        text: str = History(events=list(self.events)).to_json()
        return text

    def to_json_dict(self) -> dict[str, Any]:
        """`to_json` as a dict."""
        found: dict[str, Any] = json.loads(self.to_json())
        return found


class WorkflowHistoryEventAsyncIterator:
    """Events of one run, fetched page by page."""

    def __init__(
        self,
        client: Client,
        execution: Any,
        *,
        page_size: int | None,
        next_page_token: bytes | None,
        wait_new_event: bool,
        event_filter_type: WorkflowHistoryEventFilterType,
        skip_archival: bool,
        rpc_metadata: Mapping[str, str],
        rpc_timeout: timedelta | float | None,
    ) -> None:
        self._client = client
        self._request = GetWorkflowExecutionHistoryRequest(
            namespace=client.namespace,
            execution=execution,
            maximum_page_size=page_size or 0,
            wait_new_event=wait_new_event,
            history_event_filter_type=int(event_filter_type),
            skip_archival=skip_archival,
        )
        self._metadata = rpc_metadata
        self._timeout = rpc_timeout
        self._next_page_token = next_page_token
        self._done = False
        self._current_page: Sequence[Any] | None = None
        self._index = 0

    @property
    def current_page(self) -> Sequence[Any] | None:
        """The events fetched last."""
        return self._current_page

    @property
    def current_page_index(self) -> int:
        """Position in `current_page`."""
        return self._index

    @property
    def next_page_token(self) -> bytes | None:
        """Where the next page begins; None after the last."""
        return self._next_page_token

    async def fetch_next_page(self, *, page_size: int | None = None) -> None:
        """Replaces `current_page` by the next one.

        Raises:
            RPCError: The server refused.
        """
        if page_size is not None:
            self._request.maximum_page_size = page_size
        self._request.next_page_token = self._next_page_token
        response = await self._client._call(
            "GetWorkflowExecutionHistory", self._request, metadata=self._metadata, timeout=self._timeout
        )
        self._index = 0
        self._current_page = response.history.events if response.history is not None else []
        self._next_page_token = response.next_page_token or None
        self._done = self._next_page_token is None

    def __aiter__(self) -> WorkflowHistoryEventAsyncIterator:
        return self

    async def __anext__(self) -> Any:
        while self._current_page is None or self._index >= len(self._current_page):
            if self._done:
                raise StopAsyncIteration
            await self.fetch_next_page()
        event = self._current_page[self._index]
        self._index += 1
        return event


def execution_of(workflow_id: str, run_id: str | None) -> Any:
    """A `durably.api.common.v1.WorkflowExecution`."""
    return WorkflowExecution(workflow_id=workflow_id, run_id=run_id or "")

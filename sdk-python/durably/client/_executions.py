"""What the server tells about workflows: status, times, memo, search attributes, counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from durably import common, converter
from durably.api.time import to_datetime
from durably.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from durably.client._history import WorkflowHistory, WorkflowHistoryEventFilterType

if TYPE_CHECKING:
    from durably.client._client import Client


class WorkflowExecutionStatus(IntEnum):
    """Status of a workflow execution."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    CONTINUED_AS_NEW = 6
    TIMED_OUT = 7
    PAUSED = 8

    @classmethod
    def _of(cls, number: int) -> WorkflowExecutionStatus | None:
        try:
            return cls(number)
        except ValueError:
            return None


@dataclass
class WorkflowExecution:
    """One run, as lists show it."""

    id: str
    run_id: str
    workflow_type: str
    task_queue: str
    namespace: str
    status: WorkflowExecutionStatus | None
    start_time: datetime
    """All times are aware, in UTC."""
    execution_time: datetime | None
    """When the first workflow task was due: later than `start_time` with cron, delay or backoff."""
    close_time: datetime | None
    history_length: int
    parent_id: str | None
    parent_run_id: str | None
    root_id: str | None
    root_run_id: str | None
    search_attributes: common.SearchAttributes
    """Untyped; `typed_search_attributes` is the better way."""
    typed_search_attributes: common.TypedSearchAttributes
    data_converter: converter.DataConverter
    raw_info: Any
    """The `durably.api.workflow.v1.WorkflowExecutionInfo` message."""

    @classmethod
    def _from_raw_info(
        cls, info: Any, namespace: str, data_converter: converter.DataConverter, **more: Any
    ) -> Any:
        parent, root = info.parent_execution, info.root_execution
        return cls(
            id=info.execution.workflow_id,
            run_id=info.execution.run_id,
            workflow_type=info.type.name if info.type is not None else "",
            task_queue=info.task_queue,
            namespace=namespace,
            status=WorkflowExecutionStatus._of(info.status),
            start_time=to_datetime(info.start_time),  # type: ignore[arg-type]  # every run has one
            execution_time=to_datetime(info.execution_time),
            close_time=to_datetime(info.close_time),
            history_length=info.history_length,
            parent_id=parent.workflow_id if parent is not None else None,
            parent_run_id=parent.run_id if parent is not None else None,
            root_id=root.workflow_id if root is not None else None,
            root_run_id=root.run_id if root is not None else None,
            search_attributes=converter.decode_search_attributes(info.search_attributes),
            typed_search_attributes=converter.decode_typed_search_attributes(info.search_attributes),
            data_converter=data_converter,
            raw_info=info,
            **more,
        )

    async def memo(self) -> Mapping[str, Any]:
        """The memo's values, converted without type hints."""
        payloads = self.raw_info.memo.fields if self.raw_info.memo is not None else {}
        return {name: (await self.data_converter.decode([payload]))[0] for name, payload in payloads.items()}

    async def memo_value(self, key: str, default: Any = ..., *, type_hint: type | None = None) -> Any:
        """One value of the memo.

        Raises:
            KeyError: There is none, and no default was given.
        """
        payloads = self.raw_info.memo.fields if self.raw_info.memo is not None else {}
        payload = payloads.get(key)
        if payload is None:
            if default is ...:
                raise KeyError(f"Memo does not have a value for key {key}")
            return default
        return (await self.data_converter.decode([payload], [type_hint] if type_hint else None))[0]


@dataclass
class WorkflowExecutionDescription(WorkflowExecution):
    """One run, as `WorkflowHandle.describe` shows it."""

    raw_description: Any
    """The `durably.api.workflowservice.v1.DescribeWorkflowExecutionResponse` message."""

    @classmethod
    async def _from_raw_description(
        cls, description: Any, namespace: str, data_converter: converter.DataConverter
    ) -> WorkflowExecutionDescription:
        found: WorkflowExecutionDescription = cls._from_raw_info(
            description.workflow_execution_info, namespace, data_converter, raw_description=description
        )
        return found

    async def static_summary(self) -> str | None:
        """The one-line summary given at the start."""
        return await self._metadata("summary")

    async def static_details(self) -> str | None:
        """The details given at the start."""
        return await self._metadata("details")

    async def _metadata(self, name: str) -> str | None:
        config = self.raw_description.execution_config
        metadata = config.user_metadata if config is not None else None
        payload = getattr(metadata, name) if metadata is not None else None
        return (await self.data_converter.decode([payload], [str]))[0] if payload is not None else None


class WorkflowExecutionAsyncIterator:
    """Runs that match a list filter, fetched page by page."""

    def __init__(
        self,
        client: Client,
        *,
        query: str | None,
        page_size: int,
        next_page_token: bytes | None,
        limit: int | None,
        rpc_metadata: Mapping[str, str],
        rpc_timeout: timedelta | float | None,
    ) -> None:
        self._client = client
        self._request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=query or "", page_size=page_size
        )
        self._next_page_token = next_page_token
        self._left = limit
        self._metadata = rpc_metadata
        self._timeout = rpc_timeout
        self._current_page: Sequence[WorkflowExecution] | None = None
        self._index = 0

    @property
    def current_page(self) -> Sequence[WorkflowExecution] | None:
        """The runs fetched last."""
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
            RPCError: The server refused, for example because of the filter.
        """
        if page_size is not None:
            self._request.page_size = page_size
        self._request.next_page_token = self._next_page_token
        response = await self._client._call(
            "ListWorkflowExecutions", self._request, metadata=self._metadata, timeout=self._timeout
        )
        self._index = 0
        self._next_page_token = response.next_page_token or None
        self._current_page = [
            WorkflowExecution._from_raw_info(info, self._client.namespace, self._client.data_converter)
            for info in response.executions
        ]

    def __aiter__(self) -> WorkflowExecutionAsyncIterator:
        return self

    async def __anext__(self) -> WorkflowExecution:
        if self._left is not None and self._left <= 0:
            raise StopAsyncIteration
        while self._current_page is None or self._index >= len(self._current_page):
            if self._current_page is not None and self._next_page_token is None:
                raise StopAsyncIteration
            await self.fetch_next_page()
        if self._left is not None:
            self._left -= 1
        found = self._current_page[self._index]
        self._index += 1
        return found

    async def map_histories(
        self,
        *,
        event_filter_type: WorkflowHistoryEventFilterType = WorkflowHistoryEventFilterType.ALL_EVENT,
        skip_archival: bool = False,
    ) -> AsyncIterator[WorkflowHistory]:
        """The history of each run, for `Replayer.replay_workflows`."""
        async for execution in self:
            handle = self._client.get_workflow_handle(execution.id, run_id=execution.run_id)
            yield await handle.fetch_history(event_filter_type=event_filter_type, skip_archival=skip_archival)


@dataclass
class WorkflowExecutionCountAggregationGroup:
    """One group of a count with `GROUP BY`."""

    count: int
    group_values: Sequence[common.SearchAttributeValue]


@dataclass
class WorkflowExecutionCount:
    """How many runs match a filter."""

    count: int
    """Approximate if the query had `GROUP BY`: groups left out are not counted."""
    groups: Sequence[WorkflowExecutionCountAggregationGroup]
    """Empty unless the query had `GROUP BY`."""

    @staticmethod
    def _from_raw(raw: Any) -> WorkflowExecutionCount:
        decode = converter.PayloadConverter.default.from_payload
        return WorkflowExecutionCount(
            count=raw.count,
            groups=[
                WorkflowExecutionCountAggregationGroup(
                    count=group.count, group_values=[decode(value) for value in group.group_values]
                )
                for group in raw.groups
            ],
        )

"""Options of a start, and the request that they make."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from durably import common, converter
from durably.api.common.v1 import Memo, Payloads, SearchAttributes, WorkflowType
from durably.api.sdk.v1 import UserMetadata
from durably.api.taskqueue.v1 import TaskQueue
from durably.api.time import to_duration
from durably.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
)

if TYPE_CHECKING:
    from durably.client._client import Client


class _Required(TypedDict):
    id: str
    task_queue: str


class _StartOptions(_Required, total=False):
    execution_timeout: timedelta | float | None
    """Longest time for all runs of the chain: retries, cron and continue-as-new included."""
    run_timeout: timedelta | float | None
    """Longest time for one run."""
    task_timeout: timedelta | float | None
    """Longest time for one workflow task."""
    id_reuse_policy: common.WorkflowIDReusePolicy
    """When the id belongs to a closed workflow. Default ALLOW_DUPLICATE."""
    retry_policy: common.RetryPolicy | None
    """Retry of the workflow itself. Default: none."""
    cron_schedule: str
    memo: Mapping[str, Any] | None
    """Values shown with the workflow, not indexed."""
    search_attributes: common.TypedSearchAttributes | common.SearchAttributes | None
    static_summary: str | None
    """One line for tools, Markdown."""
    static_details: str | None
    """More lines for tools, Markdown."""
    start_delay: timedelta | float | None
    """Wait before the first workflow task; a signal ends it. Not with `cron_schedule`."""
    priority: common.Priority
    versioning_override: Any
    """Not part of this release; only None is accepted."""


class StartWorkflowOptions(_StartOptions, total=False):
    """Keyword options of `Client.start_workflow` and `Client.execute_workflow`. `id` and `task_queue` are required.

    Time-outs are timedeltas; None, the default, means none (the server's 10 s for `task_timeout`).
    """

    id_conflict_policy: common.WorkflowIDConflictPolicy
    """When the id belongs to a running workflow. Default FAIL, by way of UNSPECIFIED."""
    start_signal: str | None
    """Send this signal, and start the workflow if it is not running (signal-with-start)."""
    start_signal_args: Sequence[Any]
    rpc_metadata: Mapping[str, str]
    """gRPC metadata of this call, over that of the client."""
    rpc_timeout: timedelta | float | None
    """Deadline of this call."""
    request_eager_start: bool
    """A hint: begin on a worker of this client at once. The server decides; this release always lets it dispatch."""


class WithStartWorkflowOptions(_StartOptions):
    """Keyword options of `WithStartWorkflowOperation`. `id`, `task_queue` and `id_conflict_policy` are required."""

    id_conflict_policy: common.WorkflowIDConflictPolicy
    """When the id belongs to a running workflow."""


async def start_request(
    client: Client,
    workflow_type: str,
    args: Sequence[Any],
    *,
    id: str = "",
    task_queue: str = "",
    execution_timeout: timedelta | float | None = None,
    run_timeout: timedelta | float | None = None,
    task_timeout: timedelta | float | None = None,
    id_reuse_policy: common.WorkflowIDReusePolicy = common.WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    id_conflict_policy: common.WorkflowIDConflictPolicy = common.WorkflowIDConflictPolicy.UNSPECIFIED,
    retry_policy: common.RetryPolicy | None = None,
    cron_schedule: str = "",
    memo: Mapping[str, Any] | None = None,
    search_attributes: common.TypedSearchAttributes | common.SearchAttributes | None = None,
    static_summary: str | None = None,
    static_details: str | None = None,
    start_delay: timedelta | float | None = None,
    start_signal: str | None = None,
    start_signal_args: Sequence[Any] = (),
    request_eager_start: bool = False,
    priority: common.Priority = common.Priority.default,
    versioning_override: Any = None,
) -> Any:
    """A `StartWorkflowExecutionRequest`, or a `SignalWithStartWorkflowExecutionRequest` if a signal is given.

    Raises:
        ValueError: Options that the server could not accept.
    """
    del request_eager_start
    if not id:
        raise ValueError("start_workflow: id is missing, or empty")
    if not task_queue:
        raise ValueError("start_workflow: task_queue is missing, or empty")
    if versioning_override is not None:
        raise ValueError("start_workflow: versioning_override is not supported in this release")
    data_converter = client.data_converter
    fields: dict[str, Any] = dict(
        namespace=client.namespace,
        workflow_id=id,
        workflow_type=WorkflowType(name=workflow_type),
        task_queue=TaskQueue(name=task_queue),
        input=await _payloads(data_converter, args),
        workflow_execution_timeout=to_duration(execution_timeout),
        workflow_run_timeout=to_duration(run_timeout),
        workflow_task_timeout=to_duration(task_timeout),
        identity=client.identity,
        request_id=str(uuid.uuid4()),
        workflow_id_reuse_policy=int(id_reuse_policy),
        workflow_id_conflict_policy=int(id_conflict_policy),
        retry_policy=retry_policy._to_proto() if retry_policy is not None else None,
        cron_schedule=cron_schedule,
        memo=await _memo(data_converter, memo),
        search_attributes=_search_attributes(search_attributes),
        user_metadata=await _user_metadata(data_converter, static_summary, static_details),
        workflow_start_delay=to_duration(start_delay),
        priority=priority._to_proto(),
    )
    if start_signal is None:
        return StartWorkflowExecutionRequest(**fields)
    fields.update(signal_name=start_signal, signal_input=await _payloads(data_converter, start_signal_args))
    return SignalWithStartWorkflowExecutionRequest(**fields)


async def _payloads(data_converter: converter.DataConverter, args: Sequence[Any]) -> Any:
    return Payloads(payloads=await data_converter.encode(args)) if args else None


async def _memo(data_converter: converter.DataConverter, memo: Mapping[str, Any] | None) -> Any:
    if not memo:
        return None
    return Memo(fields={name: (await data_converter.encode([value]))[0] for name, value in memo.items()})


def _search_attributes(attributes: common.TypedSearchAttributes | common.SearchAttributes | None) -> Any:
    if attributes is None:
        return None
    message = SearchAttributes()
    converter.encode_search_attributes(attributes, message)
    return message


async def _user_metadata(data_converter: converter.DataConverter, summary: str | None, details: str | None) -> Any:
    if summary is None and details is None:
        return None
    return UserMetadata(
        summary=(await data_converter.encode([summary]))[0] if summary is not None else None,
        details=(await data_converter.encode([details]))[0] if details is not None else None,
    )


def name_and_result_type(workflow: str | Callable[..., Any], result_type: type | None) -> tuple[str, type | None]:
    """The workflow type's name, and the type of its result if it is known."""
    if isinstance(workflow, str):
        return workflow, result_type
    from durably import workflow as definitions

    name, inferred = definitions._Definition.get_name_and_result_type(workflow)
    return name, result_type or inferred

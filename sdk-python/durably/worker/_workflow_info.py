"""`workflow.Info` from the message that starts a run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from durably import common
from durably import _messages as msg
from durably.converter import decode_search_attributes, decode_typed_search_attributes
from durably.workflow._runtime import Info, ParentInfo, RootInfo


def make_info(start: Any, run_id: str, first_task_time: datetime) -> Info:
    """Everything that doesn't change while the run lasts."""
    parent, root = start.parent, start.root
    return Info(
        attempt=start.attempt,
        continued_run_id=start.continued_from_execution_run_id or None,
        cron_schedule=start.cron_schedule or None,
        execution_timeout=msg.from_duration(start.execution_timeout),
        first_execution_run_id=start.first_execution_run_id,
        headers=start.headers,
        namespace=start.namespace,
        original_execution_run_id=run_id,
        parent=ParentInfo(start.parent_namespace, parent.run_id, parent.workflow_id) if parent is not None else None,
        root=RootInfo(root.run_id, root.workflow_id) if root is not None else None,
        priority=common.Priority._from_proto(start.priority),
        raw_memo=start.memo.fields if start.memo is not None else {},
        retry_policy=common.RetryPolicy.from_proto(start.retry_policy) if start.retry_policy is not None else None,
        run_id=run_id,
        run_timeout=msg.from_duration(start.run_timeout),
        search_attributes=decode_search_attributes(start.search_attributes),
        start_time=first_task_time,
        task_queue=start.task_queue,
        task_timeout=msg.from_duration(start.task_timeout) or timedelta(seconds=10),
        typed_search_attributes=decode_typed_search_attributes(start.search_attributes),
        workflow_id=start.workflow_id,
        workflow_start_time=msg.from_timestamp(start.start_time) or first_task_time,
        workflow_type=start.workflow_type,
    )

"""Commands as messages, from what workflow code asked for."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from durably import _messages as msg
from durably import converter
from durably.converter import PayloadConverter
from durably.worker._loop import WorkflowLoop
from durably.workflow._activities import ActivityOptions
from durably.workflow._children import ChildWorkflowOptions
from durably.workflow._definition import _Definition
from durably.workflow._runtime import Info

_SKIPPED_FOLDERS = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep for path in (os.path.dirname(__file__), asyncio.__file__)
)


class Commands:
    """What a run has asked for in the present activation, in order."""

    def __init__(self, payloads: PayloadConverter, frames_of_main: Callable[[], Sequence[tuple[str, int, str]]]) -> None:
        self.issued: list[Any] = []
        self._payloads = payloads
        self._frames_of_main = frames_of_main

    def issue(self, summary: str | None = None, details: str | None = None, **command: Any) -> None:
        """Ask for one, with the place in the user's code that asks."""
        if summary or details:
            to_payload = self._payloads.to_payload
            command["user_metadata"] = msg.UserMetadata(
                summary=to_payload(summary) if summary else None, details=to_payload(details) if details else None
            )
        self.issued.append(msg.WorkflowCommand(**command, location=self._location()))

    def _location(self) -> str:
        """`file:line` of the user's code that issues a command."""
        frame: Any = sys._getframe(2)
        loop_code = WorkflowLoop._run_handle.__code__
        while frame is not None and frame.f_code is not loop_code:
            filename = frame.f_code.co_filename
            if not filename.startswith(_SKIPPED_FOLDERS) and filename[0] != "<":
                return f"{filename}:{frame.f_lineno}"
            frame = frame.f_back
        # Started by gather or create_task, with no user code below: tell where the main method waits.
        frames = [f for f in self._frames_of_main() if not f[0].startswith(_SKIPPED_FOLDERS)]
        return f"{frames[-1][0]}:{frames[-1][1]}" if frames else ""


def start_timer(seq: int, seconds: float) -> Any:
    """`StartTimer`, to the microsecond: what is smaller is noise of the float."""
    micros = max(round(seconds * 1_000_000), 0)
    duration = msg.Duration(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
    return msg.StartTimer(seq=seq, start_to_fire_timeout=duration)


def schedule_activity(
    seq: int, options: ActivityOptions, info: Info, payloads: PayloadConverter, *, eager: bool
) -> Any:
    """`ScheduleActivity`."""
    command = msg.ScheduleActivity(
        seq=seq,
        activity_id=options.activity_id or "",
        activity_type=options.name,
        task_queue=options.task_queue or info.task_queue,
        arguments=payloads.to_payloads(options.args) if options.args else [],
        cancellation_type=int(options.cancellation_type),
    )
    if options.schedule_to_close_timeout is not None:
        command.schedule_to_close_timeout = msg.to_duration(options.schedule_to_close_timeout)
    if options.schedule_to_start_timeout is not None:
        command.schedule_to_start_timeout = msg.to_duration(options.schedule_to_start_timeout)
    if options.start_to_close_timeout is not None:
        command.start_to_close_timeout = msg.to_duration(options.start_to_close_timeout)
    if options.heartbeat_timeout is not None:
        command.heartbeat_timeout = msg.to_duration(options.heartbeat_timeout)
    if options.retry_policy is not None:
        command.retry_policy = options.retry_policy._to_proto()
    priority = options.priority._to_proto()
    if priority is not None:
        command.priority = priority
    if not eager:
        command.do_not_eagerly_execute = True
    return command


def start_child_workflow(seq: int, options: ChildWorkflowOptions, info: Info, payloads: PayloadConverter) -> Any:
    """`StartChildWorkflow`."""
    command = msg.StartChildWorkflow(
        seq=seq,
        workflow_id=options.id,
        workflow_type=options.name,
        task_queue=options.task_queue or info.task_queue,
        arguments=payloads.to_payloads(options.args) if options.args else [],
        headers=dict(options.headers),
        execution_timeout=msg.to_duration(options.execution_timeout),
        run_timeout=msg.to_duration(options.run_timeout),
        task_timeout=msg.to_duration(options.task_timeout),
        parent_close_policy=int(options.parent_close_policy),
        workflow_id_reuse_policy=int(options.id_reuse_policy),
        retry_policy=None if options.retry_policy is None else options.retry_policy._to_proto(),
        cron_schedule=options.cron_schedule,
        cancellation_type=int(options.cancellation_type),
        priority=options.priority._to_proto(),
    )
    if options.memo:
        command.memo = _memo(payloads, options.memo)
    if options.search_attributes:
        command.search_attributes = _search_attributes(options.search_attributes)
    return command


def signal_external_workflow(
    seq: int, target: Mapping[str, Any], signal: str, args: Sequence[Any], headers: Mapping[str, Any], payloads: PayloadConverter
) -> Any:
    """`SignalExternalWorkflow`; `target` is a field of it."""
    return msg.SignalExternalWorkflow(
        seq=seq,
        signal_name=signal,
        arguments=payloads.to_payloads(args) if args else [],
        headers=dict(headers),
        **target,
    )


def _memo(payloads: PayloadConverter, memo: Mapping[str, Any]) -> Any:
    return msg.Memo(fields={key: payloads.to_payload(value) for key, value in memo.items()})


def _search_attributes(attributes: Any) -> Any:
    message = msg.SearchAttributes()
    converter.encode_search_attributes(attributes, message)
    return message


def continue_as_new(
    info: Info,
    payloads: PayloadConverter,
    *,
    args: Sequence[Any],
    workflow: Any,
    task_queue: str | None,
    run_timeout: timedelta | float | None,
    task_timeout: timedelta | float | None,
    retry_policy: Any,
    memo: Mapping[str, Any] | None,
    search_attributes: Any,
) -> Any:
    """`ContinueAsNew`; what is None goes on as in this run."""
    name = None if workflow is None else _Definition.get_name_and_result_type(workflow)[0]
    command = msg.ContinueAsNew(
        workflow_type=name or info.workflow_type,
        task_queue=task_queue or info.task_queue,
        arguments=payloads.to_payloads(args) if args else [],
        run_timeout=msg.to_duration(run_timeout),
        task_timeout=msg.to_duration(task_timeout),
        retry_policy=None if retry_policy is None else retry_policy._to_proto(),
    )
    if memo is not None:
        command.memo = _memo(payloads, memo)
    if search_attributes is not None:
        command.search_attributes = _search_attributes(search_attributes)
    return command

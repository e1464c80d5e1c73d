"""A workflow's history as a timeline that a person can read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from durably.api.enums.v1 import EventType


def timeline(events: Iterable[Any]) -> list[str]:
    """One line per event that means something to a reader; the bookkeeping of workflow tasks is left out."""
    lines = []
    names: dict[int, str] = {}
    start: float | None = None
    worker = ""
    for event in events:
        at = event.event_time.seconds + event.event_time.nanos / 1e9
        start = at if start is None else start
        text = _describe(event, names)
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            identity = event.workflow_task_started_event_attributes.identity
            if worker and identity != worker:
                text = f"goes on in another process ({identity})"
            worker = identity
        if text:
            lines.append(f"{event.event_id:>4}  {at - start:>8.3f} s  {text}")
    return lines


def _describe(event: Any, names: dict[int, str]) -> str:
    """What the event says, or nothing. `names` remembers activities by the event that scheduled them."""
    if (started := event.workflow_execution_started_event_attributes) is not None:
        return f"order arrives: {_values(started.input)[:90]} …"
    if (scheduled := event.activity_task_scheduled_event_attributes) is not None:
        names[event.event_id] = scheduled.activity_type.name
        return ""
    if (begun := event.activity_task_started_event_attributes) is not None:
        if begun.attempt < 2:
            return ""
        reason = begun.last_failure.message if begun.last_failure is not None else "unknown"
        return f"{names[begun.scheduled_event_id]}: attempt {begun.attempt}, because: {reason}"
    if (done := event.activity_task_completed_event_attributes) is not None:
        return f"{names[done.scheduled_event_id]}: done {_values(done.result)}".rstrip()
    if (failed := event.activity_task_failed_event_attributes) is not None:
        return f"{names[failed.scheduled_event_id]}: failed for good: {failed.failure.message}"
    if (timed_out := event.activity_task_timed_out_event_attributes) is not None:
        return f"{names[timed_out.scheduled_event_id]}: timed out"
    if (timer := event.timer_started_event_attributes) is not None:
        wait = timer.start_to_fire_timeout
        return f"timer set: {wait.seconds + wait.nanos / 1e9:g} s"
    if event.timer_fired_event_attributes is not None:
        return "timer fires"
    if event.timer_canceled_event_attributes is not None:
        return "timer not needed any more"
    if (signalled := event.workflow_execution_signaled_event_attributes) is not None:
        return f"signal {signalled.signal_name} {_values(signalled.input)}"
    if (completed := event.workflow_execution_completed_event_attributes) is not None:
        return f"order closed: {_values(completed.result)}"
    if (ended := event.workflow_execution_failed_event_attributes) is not None:
        return f"workflow failed: {ended.failure.message}"
    return ""


def _values(payloads: Any) -> str:
    """JSON payloads as they are."""
    shown = [p.data.decode() for p in payloads.payloads if p.data] if payloads is not None else []
    return " ".join(json.dumps(json.loads(text), ensure_ascii=False) for text in shown)

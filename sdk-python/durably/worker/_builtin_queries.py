"""Queries that every workflow answers: where it stands, and what it can be asked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from durably import _messages as msg
from durably.api.sdk import v1 as sdk

_OUR_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

STACK_TRACE = "__stack_trace"
METADATA = "__temporal_workflow_metadata"
NAMES = (STACK_TRACE, METADATA)


def frames_of(coroutine: Any) -> list[tuple[str, int, str]]:
    """Where a suspended coroutine stands, outermost first: file, line, function; our own frames left out."""
    found = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None and not frame.f_code.co_filename.startswith(_OUR_FOLDER):
            name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
            found.append((frame.f_code.co_filename, frame.f_lineno, name))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return found


def stack_trace(tasks: Iterable[Any]) -> str:
    """The stacks of all live tasks."""
    parts = []
    for task in tasks:
        frames = frames_of(task.get_coro())
        if frames:
            lines = [f'  File "{file}", line {line}, in {name}' for file, line, name in frames]
            parts.append("\n".join([f"Stack for {task.get_name()} (most recent call last):", *lines]))
    return "\n\n".join(parts)


def metadata(instance: Any) -> Any:
    """The payload of a `temporal.api.sdk.v1.WorkflowMetadata` message."""

    def interactions(handlers: Any) -> list[Any]:
        named = sorted(handlers.items(), key=lambda item: item[0] or "")
        return [
            sdk.WorkflowInteractionDefinition(name=name or "", description=handler.description or "")
            for name, handler in named
        ]

    queries = interactions(instance.handlers.queries)
    queries += [sdk.WorkflowInteractionDefinition(name=name) for name in NAMES]
    message = sdk.WorkflowMetadata(
        definition=sdk.WorkflowDefinition(
            type=instance.info().workflow_type,
            query_definitions=queries,
            signal_definitions=interactions(instance.handlers.signals),
        ),
        current_details=instance.current_details,
    )
    return msg.Payload(
        metadata={"encoding": b"json/protobuf", "messageType": b"temporal.api.sdk.v1.WorkflowMetadata"},
        data=message.to_json().encode(),
    )

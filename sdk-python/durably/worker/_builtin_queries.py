"""Queries that every workflow answers: where it stands, and what it can be asked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

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
    """A `temporal.api.sdk.v1.WorkflowMetadata` message: the handlers by kind and name, dynamic ones with none."""

    def interactions(handlers: Any, names: Iterable[str] = ()) -> list[Any]:
        described = {name or "": handler.description or "" for name, handler in handlers.items()}
        described = {**dict.fromkeys(names, ""), **described}
        return [sdk.WorkflowInteractionDefinition(name=n, description=d) for n, d in sorted(described.items())]

    return sdk.WorkflowMetadata(
        definition=sdk.WorkflowDefinition(
            type=instance.info().workflow_type,
            query_definitions=interactions(instance.handlers.queries, NAMES),
            signal_definitions=interactions(instance.handlers.signals),
            update_definitions=interactions(instance.handlers.updates),
        ),
        current_details=instance.current_details,
    )

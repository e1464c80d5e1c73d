"""The payload codec at the workflow's edges: every payload of an activation, and of a completion.

Headers and search attributes are left alone, as Temporal's SDKs do: servers and interceptors read them.
"""

from __future__ import annotations

from typing import Any

from durably.converter import PayloadCodec


async def decode_activation(codec: PayloadCodec, activation: Any) -> None:
    """Decode in place."""
    for job in activation.jobs:
        if (start := job.initialize) is not None:
            start.arguments = await _many(codec.decode, start.arguments)
            await _map(codec.decode, start.memo)
            if start.last_completion_result is not None:
                await codec.decode_wrapper(start.last_completion_result)
            if start.last_failure is not None:
                await codec.decode_failure(start.last_failure)
        elif (resolved := job.resolve_activity) is not None:
            result = resolved.result
            if result.completed is not None and result.completed.result is not None:
                result.completed.result = (await codec.decode([result.completed.result]))[0]
            for failure in (result.failed, result.cancelled):
                if failure is not None:
                    await codec.decode_failure(failure)
        else:
            message = job.signal or job.query
            if message is not None:
                message.arguments = await _many(codec.decode, message.arguments)


async def encode_completion(codec: PayloadCodec, completion: Any) -> None:
    """Encode in place."""
    if completion.failure is not None:
        await codec.encode_failure(completion.failure.failure)
        return
    for command in completion.success.commands:
        await _encode_command(codec, command)


async def _encode_command(codec: PayloadCodec, command: Any) -> None:
    metadata = command.user_metadata
    if metadata is not None:
        for name in ("summary", "details"):
            if getattr(metadata, name) is not None:
                setattr(metadata, name, (await codec.encode([getattr(metadata, name)]))[0])
    if (started := command.schedule_activity or command.continue_as_new) is not None:
        started.arguments = await _many(codec.encode, started.arguments)
        if command.continue_as_new is not None:
            await _map(codec.encode, started.memo)
    elif (complete := command.complete_workflow) is not None:
        if complete.result is not None:
            complete.result = (await codec.encode([complete.result]))[0]
    elif (fail := command.fail_workflow) is not None:
        await codec.encode_failure(fail.failure)
    elif (cancelled := command.cancel_workflow) is not None:
        if cancelled.details is not None:
            await codec.encode_wrapper(cancelled.details)
    elif (answer := command.query_answer) is not None:
        if answer.succeeded is not None:
            answer.succeeded = (await codec.encode([answer.succeeded]))[0]
        elif answer.failed is not None:
            await codec.encode_failure(answer.failed)


async def _many(apply: Any, payloads: Any) -> list[Any]:
    return list(await apply(payloads)) if payloads else []


async def _map(apply: Any, memo: Any) -> None:
    if memo is not None:
        for key, payload in list(memo.fields.items()):
            memo.fields[key] = (await apply([payload]))[0]

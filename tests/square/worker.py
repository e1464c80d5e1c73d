"""The square's worker in Python: runs until its standard input ends. test_square.py says what each part is for."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import timedelta
from typing import Any

from durably import activity, workflow
from durably.client import Client
from durably.common import RetryPolicy
from durably.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    is_cancelled_exception,
)
from durably.worker import Worker

VALUES: dict[str, Any] = {
    "object": {"name": "Zoë 🦊", "count": 3, "ratio": 0.5, "deep": {"flags": [True, False, None]}},
    "list": [1, "two", None, {"three": 3}],
    "nothing": None,
    "text": 'naïve 日本 🦊\n"quoted" \\ end',
    "bytes": bytes([0, 1, 127, 128, 255]),
}


def describe(object: dict[str, Any], list: list[Any], nothing: None, text: str, data: bytes) -> dict[str, Any]:
    """What these values are, found out by working with them."""
    return {
        "name": object["name"],
        "count": object["count"] + 1,
        "ratio": object["ratio"] * 2,
        "flags": sum(flag is True for flag in object["deep"]["flags"]),
        "list": [len(list), list[1].upper(), list[2] is None, list[3]["three"]],
        "nothing": nothing is None,
        "text": text + "!",
        "characters": len(text),
        "bytes": data.hex(),
    }


@activity.defn
def inspect(object: dict[str, Any], list: list[Any], nothing: None, text: str, data: bytes) -> dict[str, Any]:
    return describe(object, list, nothing, text, data)


@activity.defn
def give(kind: str) -> Any:
    return VALUES[kind]


@activity.defn
def refuse() -> None:
    raise ApplicationError("no, ü", {"code": 7}, "ü", type="Refused", non_retryable=True) from ApplicationError(
        "deep down", type="Deeper"
    )


@activity.defn
def resume() -> list[Any]:
    if activity.info().attempt == 1:
        activity.heartbeat({"at": 3}, "ü")
        raise ApplicationError("once more", type="Once")
    return list(activity.info().heartbeat_details)


@activity.defn
async def linger() -> None:
    try:
        while True:
            activity.heartbeat("here")
            # tidy-allow: sleep: the pace of the heartbeats; the cancellation ends it
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        raise CancelledError("swept up", {"crumbs": 2}) from None


@workflow.defn
class Square:
    """Calls each activity of another language, and reports what it saw."""

    @workflow.run
    async def run(self, queue: str) -> dict[str, Any]:
        async def call(name: str, *arguments: Any, result_type: type | None = None) -> Any:
            return await workflow.execute_activity(
                name,
                args=arguments,
                task_queue=queue,
                result_type=result_type,
                start_to_close_timeout=timedelta(minutes=1),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10)),
            )

        inspected = await call("inspect", *VALUES.values())
        given = [await call("give", kind, result_type=bytes if kind == "bytes" else None) for kind in VALUES]
        try:
            refused: Any = await call("refuse")
        except ActivityError as error:
            cause = error.cause
            assert isinstance(cause, ApplicationError) and isinstance(cause.cause, ApplicationError)
            refused = {
                "type": cause.type,
                "message": cause.message,
                "details": list(cause.details),
                "nonRetryable": cause.non_retryable,
                "cause": {"type": cause.cause.type, "message": cause.cause.message},
            }
        return {
            "inspected": inspected,
            "given": describe(*given),
            "refused": refused,
            "resumed": await call("resume"),
        }


@workflow.defn
class SquareCancelled:
    """Is cancelled while an activity of another language is under way, and reports how that one ended."""

    @workflow.run
    async def run(self, queue: str) -> Any:
        try:
            await workflow.execute_activity(
                "linger",
                task_queue=queue,
                start_to_close_timeout=timedelta(minutes=1),
                heartbeat_timeout=timedelta(seconds=30),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except ActivityError as error:
            assert is_cancelled_exception(error) and isinstance(error.cause, CancelledError)
            return {"cancelled": list(error.cause.details)}
        return "not cancelled"


@workflow.defn
class SquareParent:
    """Starts two children of another language: tells one something, and sees the other fail."""

    @workflow.run
    async def run(self, queue: str) -> dict[str, Any]:
        listener = await workflow.start_child_workflow("SquareChild", False, task_queue=queue)
        await listener.signal("tell", VALUES["object"])
        heard = await listener
        try:
            refused: Any = await workflow.execute_child_workflow("SquareChild", True, task_queue=queue)
        except ChildWorkflowError as error:
            cause = error.cause
            assert isinstance(cause, ApplicationError) and isinstance(cause.cause, ApplicationError)
            refused = {
                "type": cause.type,
                "message": cause.message,
                "details": list(cause.details),
                "nonRetryable": cause.non_retryable,
                "cause": {"type": cause.cause.type, "message": cause.cause.message},
            }
        return {"heard": heard, "refused": refused}


@workflow.defn
class SquareChild:
    """Fails, or returns what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    @workflow.signal
    def tell(self, value: Any) -> None:
        self.told.append(value)

    @workflow.run
    async def run(self, refuses: bool) -> Any:
        if refuses:
            refuse()
        await workflow.wait_condition(lambda: len(self.told) > 0)
        return self.told[0]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("queue")
    arguments = parser.parse_args()
    worker = Worker(
        await Client.connect(arguments.address),
        task_queue=arguments.queue,
        workflows=[Square, SquareCancelled, SquareParent, SquareChild],
        activities=[inspect, give, refuse, resume, linger],
        max_heartbeat_throttle_interval=timedelta(milliseconds=100),
    )
    async with worker:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

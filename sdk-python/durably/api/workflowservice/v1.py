"""Messages and enums of the protobuf package temporal.api.workflowservice.v1."""

from typing import Any

from durably.api import _message


def __getattr__(name: str) -> Any:
    return _message.lookup("temporal.api.workflowservice.v1", name)


def __dir__() -> list[str]:
    return _message.names("temporal.api.workflowservice.v1")

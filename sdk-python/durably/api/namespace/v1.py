"""Messages and enums of the protobuf package temporal.api.namespace.v1."""

from typing import Any

from durably.api import _message


def __getattr__(name: str) -> Any:
    return _message.lookup("temporal.api.namespace.v1", name)


def __dir__() -> list[str]:
    return _message.names("temporal.api.namespace.v1")

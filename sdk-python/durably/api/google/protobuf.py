"""Messages and enums of the protobuf package google.protobuf."""

from typing import Any

from durably.api import _message


def __getattr__(name: str) -> Any:
    return _message.lookup("google.protobuf", name)


def __dir__() -> list[str]:
    return _message.names("google.protobuf")

"""The messages and enums of Temporal's public API, and of the contract with the core (``durably.api.core.v1``).

The modules have Temporal's paths: ``temporal.api.common.v1.Payload`` is ``durably.api.common.v1.Payload``::

    from durably.api.common.v1 import Payload
    from durably.api.enums.v1 import EventType
    from durably.api.core.v1 import WorkflowCommand, StartTimer
    from durably.api.google.protobuf import Duration

    payload = Payload(metadata={"encoding": b"json/plain"}, data=b"1")
    assert Payload.FromString(payload.SerializeToString()) == payload

How fields behave is said in ``durably.api._message``; in short: plain attributes, unset messages read as ``None``,
lists and dicts for repeated fields and maps, ints for enums. ``Timestamp`` and ``Duration`` have ``ToDatetime``,
``FromDatetime``, ``ToTimedelta`` and ``FromTimedelta``; ``durably.api.time`` converts in one call.
"""

from durably.api._message import Enum, Message

__all__ = ["Enum", "Message"]

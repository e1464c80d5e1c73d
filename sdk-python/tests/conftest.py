"""Fixtures: a client of an embedded server, or of the server named by DURABLY_TEST_TARGET (host:port)."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator

import pytest

from durably.client import Client

TARGET = os.environ.get("DURABLY_TEST_TARGET", "embedded:")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    connected = await Client.connect(TARGET)
    yield connected
    await connected.close()


@pytest.fixture
def queue() -> str:
    """A task queue, and a prefix of workflow ids, that no other test uses."""
    return f"queue-{uuid.uuid4()}"

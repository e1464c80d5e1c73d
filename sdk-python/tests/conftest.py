"""Fixtures: a client of an embedded server, or of the server named by DURABLY_TEST_TARGET (host:port)."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator

import pytest

from durably.client import Client
from durably.worker import Worker

TARGET = os.environ.get("DURABLY_TEST_TARGET", "embedded:")

# The whole suite holds with any cache, also none: then each workflow task replays its run from the start.
if (cached := os.environ.get("DURABLY_TEST_MAX_CACHED_WORKFLOWS")) is not None:
    Worker.__init__.__kwdefaults__["max_cached_workflows"] = int(cached)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    connected = await Client.connect(TARGET)
    yield connected
    await connected.close()


@pytest.fixture
def queue() -> str:
    """A task queue, and a prefix of workflow ids, that no other test uses."""
    return f"queue-{uuid.uuid4()}"

"""The contract declares every option once: each field of its option messages is offered here, or stands below with the
reason why it isn't. A field that is added to the contract and to neither fails this test."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import durably.api.core.v1 as core
from durably import workflow
from durably.client import Client
from durably.service import ConnectConfig, KeepAliveConfig, RetryConfig, TLSConfig
from durably.worker import Worker

# Fields that the keyword arguments below leave unset on purpose.
EXCEPTIONS = {
    core.WorkerOptions: {
        "no_workflow_cache": "is what max_cached_workflows=0 means",
        "activities": "is told by the activities given, of which this worker has none",
        "history_dialect": "is BY_SEQUENCE, as of the official SDK",
        "nondeterminism_as_task_fail_for_types": "is told by a dynamic workflow's own failure types",
        "nondeterminism_failure_message": "is for SDKs that wrap the disagreement in an error of their own",
        "replay_only": "is what Replayer is for",
        "activities_on_demand": "is for the sidecar, whose applications come and go",
    },
    core.TlsOptions: {"disabled": "is what tls=False means"},
    core.KeepAliveOptions: {"disabled": "is what keep_alive_config=None means"},
}


@workflow.defn(failure_exception_types=[workflow.NondeterminismError])
class Nothing:
    @workflow.run
    async def run(self) -> None:
        pass


def unset(message: Any) -> set[str]:
    """Fields that are absent or have the type's zero, which is the same on the wire."""
    return {name for name in message._fields if not getattr(message, name)}


def test_each_option_of_a_connection_is_offered() -> None:
    config = ConnectConfig(
        target_host="localhost:1",
        namespace="orders",
        api_key="key",
        tls=TLSConfig(server_root_ca_cert=b"a", domain="b", client_cert=b"c", client_private_key=b"d"),
        retry_config=RetryConfig(),
        keep_alive_config=KeepAliveConfig(),
        rpc_metadata={"a": "b"},
        identity="me",
        lazy=True,
        embedded_namespaces=("orders",),
        embedded_listen="127.0.0.1:0",
        embedded_time_skipping=True,
        embedded_fail_fast=True,
    )
    options = config._to_message()
    for message in (options, options.tls, options.retry, options.keep_alive, options.embedded):
        assert unset(message) == set(EXCEPTIONS.get(type(message), {})), type(message).full_name


async def test_each_option_of_a_worker_is_offered(client: Client) -> None:
    second = timedelta(seconds=1)
    worker = Worker(
        client,
        task_queue="q",
        workflows=[Nothing],
        build_id="1",
        identity="me",
        workflow_failure_exception_types=[Exception],
        max_cached_workflows=7,
        max_cached_bytes=7,
        max_concurrent_workflow_tasks=7,
        max_concurrent_activities=7,
        max_concurrent_local_activities=7,
        max_concurrent_workflow_task_polls=7,
        max_concurrent_activity_task_polls=7,
        max_activities_per_second=7,
        max_task_queue_activities_per_second=7,
        max_eager_activity_reservations_per_workflow_task=7,
        disable_eager_activity_execution=True,
        graceful_shutdown_timeout=second,
    )
    assert unset(worker._options) == set(EXCEPTIONS[core.WorkerOptions])

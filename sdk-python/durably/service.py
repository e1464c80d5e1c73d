"""The connection to a server, its options, and raw access to the gRPC services.

``Client.workflow_service.start_workflow_execution(request)`` and its like take and return the messages of
``durably.api``; everything above them is in ``durably.client``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import Any

from durably import _bridge, _core
from durably.api.google.rpc import Status
from durably.api.core.v1 import (
    AwaitWorkflow,
    BackUpRequest,
    ConnectOptions,
    EmbeddedOptions,
    KeepAliveOptions,
    RetryOptions,
    SleepRequest,
    TlsOptions,
)
from durably.api.time import as_timedelta, to_duration
from durably.exceptions import TemporalError
from durably.runtime import Runtime

__all__ = [
    "ConnectConfig",
    "KeepAliveConfig",
    "OperatorService",
    "RPCError",
    "RPCStatusCode",
    "RetryConfig",
    "ServiceClient",
    "TLSConfig",
    "TestService",
    "WorkflowService",
]

WORKFLOW_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
OPERATOR_SERVICE = "temporal.api.operatorservice.v1.OperatorService"
TEST_SERVICE = "temporal.api.testservice.v1.TestService"
HEALTH_SERVICE = "grpc.health.v1.Health"
EMBEDDED_SERVICE = "durably.core.v1.Embedded"


class RPCStatusCode(IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RPCError(TemporalError):
    """A call failed.

    Attributes:
        message: What the server said.
        status: The gRPC status code.
        raw_grpc_status: The encoded ``google.rpc.Status`` with its details, or empty.
    """

    def __init__(self, message: str, status: RPCStatusCode, raw_grpc_status: bytes) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.raw_grpc_status = raw_grpc_status

    @property
    def grpc_status(self) -> Any:
        """The status as a ``google.rpc.Status`` message."""
        return Status.FromString(self.raw_grpc_status)

    def detail(self, message_class: Any) -> Any:
        """The first detail of the given message class, or None."""
        if not self.raw_grpc_status:
            return None
        for detail in self.grpc_status.details:
            if detail.type_url.rsplit("/", 1)[-1] == message_class.full_name:
                return message_class.FromString(detail.value)
        return None

    @classmethod
    def _from_bridge(cls, error: _core.BridgeError) -> RPCError:
        try:
            status = RPCStatusCode(error.code)
        except ValueError:
            status = RPCStatusCode.UNKNOWN
        return cls(error.message, status, error.status)


@dataclass(frozen=True)
class TLSConfig:
    """TLS options. All bytes are PEM."""

    server_root_ca_cert: bytes | None = None
    """Root certificate to verify the server with. Default: the platform's."""
    domain: str | None = None
    """Name to verify the server's certificate for. Default: the target's host."""
    client_cert: bytes | None = None
    """Client certificate for mTLS; needs ``client_private_key``."""
    client_private_key: bytes | None = None
    """Private key for mTLS; needs ``client_cert``."""

    def _to_message(self) -> Any:
        if (self.client_cert is None) != (self.client_private_key is None):
            raise ValueError("TLSConfig: client_cert and client_private_key must be given together, or neither")
        return TlsOptions(
            server_root_ca_cert=self.server_root_ca_cert,
            domain=self.domain,
            client_cert=self.client_cert,
            client_private_key=self.client_private_key,
        )


@dataclass(frozen=True)
class RetryConfig:
    """Retries of failed calls."""

    initial_interval_millis: int = 100
    randomization_factor: float = 0.2
    multiplier: float = 1.7
    max_interval_millis: int = 5000
    max_elapsed_time_millis: int | None = 10000
    """Give up after this time. None: never."""
    max_retries: int = 10

    def _to_message(self) -> Any:
        elapsed = self.max_elapsed_time_millis
        return RetryOptions(
            initial_interval=to_duration(timedelta(milliseconds=self.initial_interval_millis)),
            randomization_factor=float(self.randomization_factor),
            multiplier=float(self.multiplier),
            max_interval=to_duration(timedelta(milliseconds=self.max_interval_millis)),
            max_elapsed_time=to_duration(_FOREVER if elapsed is None else timedelta(milliseconds=elapsed)),
            max_retries=self.max_retries,
        )


_FOREVER = timedelta(days=36500)


@dataclass(frozen=True)
class KeepAliveConfig:
    """HTTP/2 keep-alive pings."""

    interval_millis: int = 30000
    timeout_millis: int = 15000

    def _to_message(self) -> Any:
        return KeepAliveOptions(
            interval=to_duration(timedelta(milliseconds=self.interval_millis)),
            timeout=to_duration(timedelta(milliseconds=self.timeout_millis)),
        )


@dataclass
class ConnectConfig:
    """How to connect. ``target_host`` is ``host:port``, ``embedded:`` or ``embedded:PATH``."""

    target_host: str
    namespace: str = "default"
    api_key: str | None = None
    tls: bool | TLSConfig | None = None
    """None: TLS if an API key is given or the target begins with ``https://``."""
    retry_config: RetryConfig | None = None
    keep_alive_config: KeepAliveConfig | None = field(default_factory=KeepAliveConfig)
    """None turns pings off."""
    rpc_metadata: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""
    lazy: bool = False
    runtime: Runtime | None = None
    """None: the process's."""
    embedded_namespaces: tuple[str, ...] = ()
    embedded_listen: str = ""
    embedded_time_skipping: bool = False
    embedded_fail_fast: bool = False

    def _to_message(self) -> Any:
        tls = None
        if isinstance(self.tls, TLSConfig):
            tls = self.tls._to_message()
        elif self.tls is not None:
            tls = TlsOptions(disabled=not self.tls)
        keep_alive = self.keep_alive_config
        for name, value in self.rpc_metadata.items():
            if not isinstance(value, str):
                raise TypeError(f"rpc_metadata: the value of {name} must be a str, got {type(value).__name__}")
        return ConnectOptions(
            target=self.target_host,
            namespace=self.namespace,
            identity=self.identity,
            client_name="durably-python",
            client_version=_bridge.__version__,
            tls=tls,
            api_key=self.api_key,
            metadata=dict(self.rpc_metadata),
            retry=self.retry_config._to_message() if self.retry_config else None,
            keep_alive=keep_alive._to_message() if keep_alive else KeepAliveOptions(disabled=True),
            lazy=self.lazy,
            embedded=EmbeddedOptions(
                namespaces=list(self.embedded_namespaces),
                listen=self.embedded_listen,
                time_skipping=self.embedded_time_skipping,
                fail_fast=self.embedded_fail_fast,
            ),
        )


class ServiceClient:
    """A connection and the services behind it."""

    def __init__(self, bridge: _bridge.Client, config: ConnectConfig) -> None:
        self.config = config
        self.bridge = bridge
        # Of a test environment that skips time: it shall not, for the moment.
        self._keeps_real_time = False
        self.workflow_service = WorkflowService(self)
        self.operator_service = OperatorService(self)
        self.test_service = TestService(self)

    @staticmethod
    async def connect(config: ConnectConfig) -> ServiceClient:
        """Connects.

        Raises:
            RPCError: The server can't be reached or refused.
            ValueError: The configuration is wrong.
        """
        message = config._to_message()
        try:
            runtime = config.runtime._bridge if config.runtime is not None else None
            return ServiceClient(await _core.connect(message, runtime), config)
        except _core.BridgeError as error:
            raise RPCError._from_bridge(error) from None

    async def check_health(
        self,
        *,
        service: str = WORKFLOW_SERVICE,
        retry: bool = False,
        metadata: Mapping[str, str] | None = None,
        timeout: timedelta | float | None = None,
    ) -> bool:
        """Whether the server says that ``service`` is serving.

        Raises:
            RPCError: It could not be asked.
        """
        # grpc.health.v1 is not among the descriptors: field 1 of the request is the service, of the answer the status.
        name = service.encode()
        if len(name) > 127:
            raise ValueError("service: longer than 127 bytes")
        request = bytes([0x0A, len(name)]) + name
        response: bytes = await self.call(
            HEALTH_SERVICE, "Check", request, retry=retry, metadata=metadata, timeout=timeout
        )
        return response == b"\x08\x01"

    async def call(
        self,
        service: str,
        method: str,
        request: Any,
        *,
        retry: bool = False,
        metadata: Mapping[str, str] | None = None,
        timeout: timedelta | float | None = None,
    ) -> Any:
        """One unary call. ``request`` is the request message; the answer is the response message.

        Raises:
            RPCError: The call failed.
        """
        try:
            return await _core.call(
                self.bridge,
                service,
                method,
                request,
                timeout=as_timedelta(timeout).total_seconds() if timeout is not None else None,
                metadata=metadata,
                retry=retry,
                clock=AwaitWorkflow.Clock.REAL if self._keeps_real_time else AwaitWorkflow.Clock.BY_CONNECTION,
            )
        except _core.BridgeError as error:
            raise RPCError._from_bridge(error) from None

    async def await_workflow(self, request: Any) -> Any:
        """Waits by an ``AwaitWorkflow`` message until a workflow closes.

        Raises:
            RPCError: The server can't be asked, or the request's time-out has passed.
        """
        if self._keeps_real_time:
            request.clock = AwaitWorkflow.Clock.REAL
        try:
            return await _core.await_workflow(self.bridge, request)
        except _core.BridgeError as error:
            raise RPCError._from_bridge(error) from None

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Copies the state file of an embedded server; see ``Client.backup``.

        Raises:
            RPCError: There is no state file, or it can't be copied.
        """
        await self.call(EMBEDDED_SERVICE, "BackUp", BackUpRequest(path=os.fspath(path)).SerializeToString())

    async def _sleep(self, length: timedelta, *, in_activity: bool) -> None:
        """Sleeps by the clock of a server that skips time."""
        request = SleepRequest(duration=to_duration(length), in_activity=in_activity)
        await self.call(EMBEDDED_SERVICE, "Sleep", request.SerializeToString())

    async def close(self) -> None:
        """Ends the connection; an embedded server of this process is down when this returns."""
        await _core.close(self.bridge)


class _Service:
    """A gRPC service: each method in snake_case takes the request message and returns the response message.

    All take ``retry`` (False: as the raw call, once), ``metadata`` and ``timeout``.
    """

    _name: str

    def __init__(self, client: ServiceClient) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = "".join(part.capitalize() for part in name.split("_"))
        if name.startswith("_") or method not in _methods(self._name):
            raise AttributeError(f"{self._name} has no method {name}")

        async def call(
            request: Any,
            *,
            retry: bool = False,
            metadata: Mapping[str, str] | None = None,
            timeout: timedelta | float | None = None,
        ) -> Any:
            return await self.client.call(
                self._name, method, request, retry=retry, metadata=metadata, timeout=timeout
            )

        call.__name__ = name
        call.__qualname__ = f"{type(self).__name__}.{name}"
        self.__dict__[name] = call
        return call

    def __dir__(self) -> list[str]:
        return [re.sub(r"(?<!^)(?=[A-Z])", "_", method).lower() for method in _methods(self._name)]


_known: dict[str, dict[str, tuple[str, str]]] = {}


def _methods(service: str) -> dict[str, tuple[str, str]]:
    if service not in _known:
        _known[service] = _bridge.service_methods(service)
    return _known[service]


class WorkflowService(_Service):
    """Temporal's WorkflowService."""

    _name = WORKFLOW_SERVICE


class OperatorService(_Service):
    """Temporal's OperatorService."""

    _name = OPERATOR_SERVICE


class TestService(_Service):
    """Temporal's TestService; only servers with a virtual clock have it."""

    __test__ = False
    _name = TEST_SERVICE

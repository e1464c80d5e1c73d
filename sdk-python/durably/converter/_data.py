"""The data converter: payload converter, failure converter and codec together, as client and worker use them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from durably import _messages as msg
from durably.converter._failure import DefaultFailureConverter, FailureConverter
from durably.converter._payload import DefaultPayloadConverter, PayloadConverter


class PayloadCodec(ABC):
    """Turns payloads into other payloads, for example encrypted or compressed ones.

    Runs outside workflows, so that it may do I/O. The number of payloads may change.
    """

    @abstractmethod
    async def encode(self, payloads: Sequence[Any]) -> list[Any]:
        """Encode payloads on their way to the server. Don't change the given ones."""
        raise NotImplementedError

    @abstractmethod
    async def decode(self, payloads: Sequence[Any]) -> list[Any]:
        """Decode payloads on their way from the server. Leave alone what `encode` didn't make."""
        raise NotImplementedError

    async def encode_wrapper(self, payloads: Any) -> None:
        """Encode a `Payloads` message in place."""
        payloads.payloads = list(await self.encode(payloads.payloads))

    async def decode_wrapper(self, payloads: Any) -> None:
        """Decode a `Payloads` message in place."""
        payloads.payloads = list(await self.decode(payloads.payloads))

    async def encode_failure(self, failure: Any) -> None:
        """Encode the payloads of a `Failure` message and its causes in place."""
        await _apply_to_failure(self.encode, failure)

    async def decode_failure(self, failure: Any) -> None:
        """Decode the payloads of a `Failure` message and its causes in place."""
        await _apply_to_failure(self.decode, failure)


async def _apply_to_failure(apply: Any, failure: Any) -> None:
    while failure is not None:
        if failure.encoded_attributes is not None:
            failure.encoded_attributes = (await apply([failure.encoded_attributes]))[0]
        for details in failure_details(failure):
            details.payloads = list(await apply(details.payloads))
        failure = failure.cause


def failure_details(failure: Any) -> list[Any]:
    """The `Payloads` messages of one failure, without its causes'."""
    found = []
    for info, name in (
        (failure.application_failure_info, "details"),
        (failure.canceled_failure_info, "details"),
        (failure.timeout_failure_info, "last_heartbeat_details"),
        (failure.reset_workflow_failure_info, "last_heartbeat_details"),
    ):
        details = getattr(info, name) if info is not None else None
        if details is not None and details.payloads:
            found.append(details)
    return found


@dataclass(frozen=True)
class DataConverter:
    """How values and errors become payloads and failures: converter first, then codec."""

    payload_converter_class: type[PayloadConverter] = DefaultPayloadConverter
    """Made anew by each user, so it must need no arguments."""
    payload_codec: PayloadCodec | None = None
    """Optional last step towards the server and first step from it."""
    failure_converter_class: type[FailureConverter] = DefaultFailureConverter
    """Made anew by each user, so it must need no arguments."""
    payload_converter: PayloadConverter = field(init=False)
    """An instance of `payload_converter_class`."""
    failure_converter: FailureConverter = field(init=False)
    """An instance of `failure_converter_class`."""

    default: ClassVar[DataConverter]
    """The converter that is used unless told otherwise."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload_converter", self.payload_converter_class())
        object.__setattr__(self, "failure_converter", self.failure_converter_class())

    async def encode(self, values: Sequence[Any]) -> list[Any]:
        """Values to payloads, codec applied."""
        payloads = self.payload_converter.to_payloads(values)
        return list(await self.payload_codec.encode(payloads)) if self.payload_codec else payloads

    async def decode(self, payloads: Sequence[Any], type_hints: Sequence[Any] | None = None) -> list[Any]:
        """Payloads to values, codec applied. See `PayloadConverter.from_payloads`."""
        if self.payload_codec:
            payloads = await self.payload_codec.decode(payloads)
        return self.payload_converter.from_payloads(payloads, type_hints)

    async def encode_wrapper(self, values: Sequence[Any]) -> Any:
        """`encode` to a `Payloads` message."""
        return msg.Payloads(payloads=await self.encode(values))

    async def decode_wrapper(self, payloads: Any | None, type_hints: Sequence[Any] | None = None) -> list[Any]:
        """`decode` of a `Payloads` message; none if it is absent."""
        if payloads is None or not payloads.payloads:
            return []
        return await self.decode(payloads.payloads, type_hints)

    async def encode_failure(self, exception: BaseException, failure: Any) -> None:
        """Fill a `Failure` message from an exception, codec applied."""
        self.failure_converter.to_failure(exception, self.payload_converter, failure)
        if self.payload_codec:
            await self.payload_codec.encode_failure(failure)

    async def decode_failure(self, failure: Any) -> BaseException:
        """The exception of a `Failure` message, codec applied."""
        if self.payload_codec:
            await self.payload_codec.decode_failure(failure)
        return self.failure_converter.from_failure(failure, self.payload_converter)


DataConverter.default = DataConverter()


def default() -> DataConverter:
    """The default data converter."""
    return DataConverter.default

"""Options and values shared by client, worker, workflow and activity code.

Names and meaning follow Temporal's API. Worker-deployment versioning and metrics are not part of this release.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar, Union, cast, get_origin


from durably import _messages as msg
from durably.api.time import as_timedelta

__all__ = [
    "Priority",
    "QueryRejectCondition",
    "RawValue",
    "RetryPolicy",
    "SearchAttributeIndexedValueType",
    "SearchAttributeKey",
    "SearchAttributePair",
    "SearchAttributeUpdate",
    "SearchAttributeValue",
    "SearchAttributeValues",
    "SearchAttributes",
    "TypedSearchAttributes",
    "WorkflowIDConflictPolicy",
    "WorkflowIDReusePolicy",
]


@dataclass
class RetryPolicy:
    """How an activity or a workflow is retried after a failure.

    The n-th retry waits `initial_interval * backoff_coefficient ** (n - 1)`, at most `maximum_interval`.
    """

    initial_interval: timedelta | float = timedelta(seconds=1)
    """Wait before the first retry. More than zero."""
    backoff_coefficient: float = 2.0
    """Growth of the wait from retry to retry. At least 1."""
    maximum_interval: timedelta | float | None = None
    """Longest wait. Default: 100 times the initial interval."""
    maximum_attempts: int = 0
    """Attempts in all, the first included. 0: no limit."""
    non_retryable_error_types: Sequence[str] | None = None
    """`ApplicationError.type` values that are not retried. A Python exception's type is its class name."""

    @staticmethod
    def from_proto(proto: Any) -> RetryPolicy:
        """The policy in a `temporal.api.common.v1.RetryPolicy` message."""
        return RetryPolicy(
            initial_interval=msg.from_duration(proto.initial_interval) or timedelta(0),
            backoff_coefficient=proto.backoff_coefficient,
            maximum_interval=msg.from_duration(proto.maximum_interval) or None,
            maximum_attempts=proto.maximum_attempts,
            non_retryable_error_types=list(proto.non_retryable_error_types) or None,
        )

    def apply_to_proto(self, proto: Any) -> None:
        """Fill a `temporal.api.common.v1.RetryPolicy` message, after validation."""
        self._validate()
        proto.initial_interval = msg.to_duration(self.initial_interval)
        proto.backoff_coefficient = float(self.backoff_coefficient)
        proto.maximum_interval = msg.to_duration(self.maximum_interval or self.initial_interval * 100)
        proto.maximum_attempts = self.maximum_attempts
        proto.non_retryable_error_types = list(self.non_retryable_error_types or ())

    def _to_proto(self) -> Any:
        proto = msg.RetryPolicy()
        self.apply_to_proto(proto)
        return proto

    def _validate(self) -> None:
        # With one attempt there is never a retry, so that the intervals don't matter.
        if self.maximum_attempts == 1:
            return
        initial = as_timedelta(self.initial_interval)
        if initial < timedelta(0):
            raise ValueError("RetryPolicy: initial_interval cannot be negative; leave it out for 1 second")
        if self.backoff_coefficient < 1:
            raise ValueError("RetryPolicy: backoff_coefficient cannot be less than 1; 1 means a constant interval")
        if self.maximum_interval is not None:
            maximum = as_timedelta(self.maximum_interval)
            if maximum < timedelta(0):
                raise ValueError("RetryPolicy: maximum_interval cannot be negative")
            if maximum < initial:
                raise ValueError("RetryPolicy: maximum_interval cannot be less than initial_interval")
        if self.maximum_attempts < 0:
            raise ValueError("RetryPolicy: maximum_attempts cannot be negative; 0 means no limit")


class WorkflowIDReusePolicy(IntEnum):
    """What to do with a start whose workflow id belongs to a *closed* workflow."""

    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    REJECT_DUPLICATE = 3
    TERMINATE_IF_RUNNING = 4


class WorkflowIDConflictPolicy(IntEnum):
    """What to do with a start whose workflow id belongs to a *running* workflow."""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2
    TERMINATE_EXISTING = 3


class QueryRejectCondition(IntEnum):
    """When a query is rejected instead of answered."""

    NONE = 1
    NOT_OPEN = 2
    NOT_COMPLETED_CLEANLY = 3


@dataclass(frozen=True)
class Priority:
    """Order in which a task queue hands out tasks."""

    priority_key: int | None = None
    """From 1 (first) upwards. Default: the server's, usually 3."""
    fairness_key: str | None = None
    """Tasks with different keys share the queue fairly. At most 64 bytes."""
    fairness_weight: float | None = None
    """Share of this key, 0.001 to 1000. Default 1."""

    default: ClassVar[Priority]

    def __post_init__(self) -> None:
        if self.priority_key is not None:
            if not isinstance(self.priority_key, int):
                raise TypeError("Priority: priority_key must be an integer")
            if self.priority_key < 1:
                raise ValueError("Priority: priority_key must be a positive integer; 1 is the most urgent")

    @staticmethod
    def _from_proto(proto: Any) -> Priority:
        if proto is None:
            return Priority.default
        return Priority(
            priority_key=proto.priority_key or None,
            fairness_key=proto.fairness_key or None,
            fairness_weight=proto.fairness_weight or None,
        )

    def _to_proto(self) -> Any:
        """The message, or None for the default, which is not sent."""
        if self == Priority.default:
            return None
        return msg.Priority(
            priority_key=self.priority_key or 0,
            fairness_key=self.fairness_key or "",
            fairness_weight=self.fairness_weight or 0.0,
        )


Priority.default = Priority()


@dataclass(frozen=True)
class RawValue:
    """A payload that is passed through unconverted, in both directions."""

    payload: Any
    """A `temporal.api.common.v1.Payload` message."""


SearchAttributeValue: TypeAlias = Union[str, int, float, bool, datetime, Sequence[str]]
SearchAttributeValues: TypeAlias = Union[
    Sequence[str], Sequence[int], Sequence[float], Sequence[bool], Sequence[datetime]
]
SearchAttributes: TypeAlias = Mapping[str, SearchAttributeValues]

SearchAttributeValueType = TypeVar("SearchAttributeValueType")
_T = TypeVar("_T")


class SearchAttributeIndexedValueType(IntEnum):
    """Types of search attributes, as the server numbers them."""

    TEXT = 1
    KEYWORD = 2
    INT = 3
    DOUBLE = 4
    BOOL = 5
    DATETIME = 6
    KEYWORD_LIST = 7

    @property
    def _metadata_type(self) -> str:
        """The name that a payload's metadata carries, for example `KeywordList`."""
        return "".join(part.capitalize() for part in self.name.split("_"))


@dataclass(frozen=True)
class SearchAttributeKey(ABC, Generic[SearchAttributeValueType]):
    """A search attribute's name and type. Make one with a `for_…` method."""

    _name: str
    _indexed_value_type: SearchAttributeIndexedValueType
    _value_type: Any

    @property
    def name(self) -> str:
        """Name of the search attribute."""
        return self._name

    @property
    def indexed_value_type(self) -> SearchAttributeIndexedValueType:
        """The server's type."""
        return self._indexed_value_type

    @property
    def value_type(self) -> type[SearchAttributeValueType]:
        """The Python type, which may be generic."""
        return cast("type[SearchAttributeValueType]", self._value_type)

    @property
    def origin_value_type(self) -> type:
        """The Python type for `isinstance`."""
        return cast(type, get_origin(self._value_type) or self._value_type)

    @property
    def _metadata_type(self) -> str:
        return self._indexed_value_type._metadata_type

    def value_set(self, value: SearchAttributeValueType) -> SearchAttributeUpdate[SearchAttributeValueType]:
        """An update that sets the attribute."""
        return SearchAttributeUpdate(self, value)

    def value_unset(self) -> SearchAttributeUpdate[SearchAttributeValueType]:
        """An update that removes the attribute."""
        return SearchAttributeUpdate(self, None)

    @staticmethod
    def for_text(name: str) -> SearchAttributeKey[str]:
        """A text attribute: searched by words."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.TEXT, str)

    @staticmethod
    def for_keyword(name: str) -> SearchAttributeKey[str]:
        """A keyword attribute: searched as a whole."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.KEYWORD, str)

    @staticmethod
    def for_int(name: str) -> SearchAttributeKey[int]:
        """A 64-bit integer attribute."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.INT, int)

    @staticmethod
    def for_float(name: str) -> SearchAttributeKey[float]:
        """A floating-point attribute."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.DOUBLE, float)

    @staticmethod
    def for_bool(name: str) -> SearchAttributeKey[bool]:
        """A boolean attribute."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.BOOL, bool)

    @staticmethod
    def for_datetime(name: str) -> SearchAttributeKey[datetime]:
        """A date and time attribute. Values must be aware."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.DATETIME, datetime)

    @staticmethod
    def for_keyword_list(name: str) -> SearchAttributeKey[Sequence[str]]:
        """An attribute with several keywords."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.KEYWORD_LIST, Sequence[str])

    @staticmethod
    def _from_metadata_type(name: str, metadata_type: str) -> SearchAttributeKey[Any] | None:
        for kind in SearchAttributeIndexedValueType:
            if kind._metadata_type == metadata_type:
                return SearchAttributeKey(name, kind, _VALUE_TYPES[kind])
        return None


_VALUE_TYPES: dict[SearchAttributeIndexedValueType, Any] = {
    SearchAttributeIndexedValueType.TEXT: str,
    SearchAttributeIndexedValueType.KEYWORD: str,
    SearchAttributeIndexedValueType.INT: int,
    SearchAttributeIndexedValueType.DOUBLE: float,
    SearchAttributeIndexedValueType.BOOL: bool,
    SearchAttributeIndexedValueType.DATETIME: datetime,
    SearchAttributeIndexedValueType.KEYWORD_LIST: Sequence[str],
}


@dataclass(frozen=True)
class SearchAttributeUpdate(Generic[SearchAttributeValueType]):
    """A change of one search attribute. Make one with `SearchAttributeKey.value_set` or `value_unset`."""

    key: SearchAttributeKey[SearchAttributeValueType]
    value: SearchAttributeValueType | None


class SearchAttributePair(NamedTuple):
    """A search attribute's key with its value."""

    key: SearchAttributeKey[Any]
    value: Any


@dataclass(frozen=True)
class TypedSearchAttributes(Collection[SearchAttributePair]):
    """Search attributes with their types, each key at most once."""

    search_attributes: Sequence[SearchAttributePair]

    empty: ClassVar[TypedSearchAttributes]

    def __post_init__(self) -> None:
        pairs = tuple(sorted(self.search_attributes, key=lambda pair: pair.key.name))
        for before, after in zip(pairs, pairs[1:]):
            if before.key.name == after.key.name:
                raise ValueError(f"duplicate search attribute {after.key.name!r}")
        object.__setattr__(self, "search_attributes", pairs)

    def __len__(self) -> int:
        return len(self.search_attributes)

    def __iter__(self) -> Iterator[SearchAttributePair]:
        return iter(self.search_attributes)

    def __contains__(self, key: object) -> bool:
        return any(pair.key == key for pair in self.search_attributes)

    def __getitem__(self, key: SearchAttributeKey[_T]) -> _T:
        for pair in self.search_attributes:
            if pair.key == key:
                return cast(_T, pair.value)
        raise KeyError(key.name)

    def get(self, key: SearchAttributeKey[_T], default: Any | None = None) -> Any:
        """The attribute's value, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def updated(self, *search_attributes: SearchAttributePair) -> TypedSearchAttributes:
        """A copy with these attributes added or replaced."""
        names = {pair.key.name for pair in search_attributes}
        kept = [pair for pair in self.search_attributes if pair.key.name not in names]
        return TypedSearchAttributes([*kept, *search_attributes])


TypedSearchAttributes.empty = TypedSearchAttributes([])

"""Shapes of workflow methods, for the signatures that infer argument and result types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar

__all__ = [
    "AnyType",
    "CallableAsyncNoParam",
    "CallableAsyncSingleParam",
    "LocalReturnType",
    "MethodAsyncNoParam",
    "MethodAsyncSingleParam",
    "MethodSyncNoParam",
    "MethodSyncOrAsyncNoParam",
    "MethodSyncOrAsyncSingleParam",
    "MethodSyncSingleParam",
    "MultiParamSpec",
    "ParamType",
    "ReturnType",
    "SelfType",
]

AnyType = TypeVar("AnyType")
SelfType = TypeVar("SelfType")
ParamType = TypeVar("ParamType")
ReturnType = TypeVar("ReturnType", covariant=True)
LocalReturnType = TypeVar("LocalReturnType", covariant=True)
MultiParamSpec = ParamSpec("MultiParamSpec")

_SelfIn = TypeVar("_SelfIn", contravariant=True)
_ParamIn = TypeVar("_ParamIn", contravariant=True)
_ReturnOut = TypeVar("_ReturnOut", covariant=True)

CallableAsyncNoParam = Callable[[], Awaitable[Any]]
CallableAsyncSingleParam = Callable[[Any], Awaitable[Any]]


class MethodAsyncNoParam(Protocol[_SelfIn, _ReturnOut]):
    """An ``async def`` method without parameters, not bound to an instance."""

    def __call__(self, __self: _SelfIn) -> Awaitable[_ReturnOut]: ...


class MethodAsyncSingleParam(Protocol[_SelfIn, _ParamIn, _ReturnOut]):
    """An ``async def`` method with one parameter, not bound to an instance."""

    def __call__(self, __self: _SelfIn, __arg: _ParamIn) -> Awaitable[_ReturnOut]: ...


class MethodSyncNoParam(Protocol[_SelfIn, _ReturnOut]):
    """A plain method without parameters, not bound to an instance."""

    def __call__(self, __self: _SelfIn) -> _ReturnOut: ...


class MethodSyncSingleParam(Protocol[_SelfIn, _ParamIn, _ReturnOut]):
    """A plain method with one parameter, not bound to an instance."""

    def __call__(self, __self: _SelfIn, __arg: _ParamIn) -> _ReturnOut: ...


class MethodSyncOrAsyncNoParam(Protocol[_SelfIn, _ReturnOut]):
    """A plain or ``async def`` method without parameters, not bound to an instance."""

    def __call__(self, __self: _SelfIn) -> _ReturnOut | Awaitable[_ReturnOut]: ...


class MethodSyncOrAsyncSingleParam(Protocol[_SelfIn, _ParamIn, _ReturnOut]):
    """A plain or ``async def`` method with one parameter, not bound to an instance."""

    def __call__(self, __self: _SelfIn, __arg: _ParamIn) -> _ReturnOut | Awaitable[_ReturnOut]: ...

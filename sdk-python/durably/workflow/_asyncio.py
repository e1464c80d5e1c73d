"""`asyncio.wait` and `asyncio.as_completed` with lists instead of sets.

asyncio's own are deterministic inside a workflow too; these keep the order in which the awaitables were given.
"""

from __future__ import annotations

import asyncio
from asyncio import ALL_COMPLETED
from collections.abc import Awaitable, Iterable, Iterator
from typing import Any, TypeVar, overload

T = TypeVar("T")
FutureT = TypeVar("FutureT", bound="asyncio.Future[Any]")


@overload
async def wait(
    fs: Iterable[FutureT], *, timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> tuple[list[FutureT], list[FutureT]]: ...


@overload
async def wait(
    fs: Iterable[asyncio.Task[T]], *, timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> tuple[list[asyncio.Task[T]], list[asyncio.Task[T]]]: ...


async def wait(fs: Iterable[Any], *, timeout: float | None = None, return_when: str = ALL_COMPLETED) -> Any:
    """Wait for the futures or tasks; returns those that are done and those that aren't, each in the given order.

    Args:
        fs: Futures or tasks.
        timeout: Seconds, as a durable timer. Passing it raises nothing.
        return_when: `asyncio.FIRST_COMPLETED`, `FIRST_EXCEPTION` or `ALL_COMPLETED`.
    """
    ordered = list(dict.fromkeys(fs))
    done, _ = await asyncio.wait(ordered, timeout=timeout, return_when=return_when)
    return [f for f in ordered if f in done], [f for f in ordered if f not in done]


def as_completed(fs: Iterable[Awaitable[T]], *, timeout: float | None = None) -> Iterator[Awaitable[T]]:
    """Awaitables that give the results in the order of completion.

    Args:
        fs: Coroutines, futures or tasks.
        timeout: Seconds, as a durable timer, after which awaiting raises `asyncio.TimeoutError`.
    """
    return iter(asyncio.as_completed(fs, timeout=timeout))

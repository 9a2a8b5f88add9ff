"""Waiting for something that another thread or process does, and trying again what a busy machine may spoil."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import TypeVar

import pytest

T = TypeVar("T")

TRIES = 5


async def eventually(look: Callable[[], Awaitable[T]], wanted: Callable[[T], bool], seconds: float = 10.0) -> T:
    """Look until what is seen is as wanted; the last look counts."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        seen = await look()
        if wanted(seen) or loop.time() > deadline:
            assert wanted(seen), seen
            return seen
        await asyncio.sleep(0.01)


class Try:
    """One go; what fails in it counts only where it is the last."""

    def __init__(self, *, last: bool) -> None:
        self.held = False
        self._last = last

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.held = error is None
        return not self._last and isinstance(error, (Exception, pytest.fail.Exception))


def tries() -> Iterator[Try]:
    """`for one in tries(): with one: ...`, until one holds.

    For bounds in real time: a busy machine adds to some tries, a fault to all of them.
    """
    for number in range(1, TRIES + 1):
        one = Try(last=number == TRIES)
        yield one
        if one.held:
            return

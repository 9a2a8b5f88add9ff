"""Waiting for what another thread or process does, and trying again what a busy machine may spoil."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Final, TypeVar

import pytest

T = TypeVar("T")
WITHIN: Final = 40.0
"""Seconds that a condition may take on a machine that is busy with other things."""
LOOK: Final = 0.02
TRIES: Final = 5


def until(probe: Callable[[], T | None], what: str, within: float = WITHIN, look: float = LOOK) -> T:
    """What the probe says as soon as that is true; it is asked every `look` seconds."""
    deadline = time.monotonic() + within
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {what}; last seen: {found!r}")
        time.sleep(look)
    return found


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


def quickest(measure: Callable[[], float], within: float, tries: int = 3) -> float:
    """Seconds that something takes: the first measured that is `within`, or the least of all.

    For bounds in real time: a busy machine adds to some tries, a fault to each of them.
    """
    taken = [measure()]
    while min(taken) > within and len(taken) < tries:
        taken.append(measure())
    return min(taken)


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
    """`for one in tries(): with one: ...`, until one holds; for bounds in real time, as `quickest`."""
    for number in range(1, TRIES + 1):
        one = Try(last=number == TRIES)
        yield one
        if one.held:
            return

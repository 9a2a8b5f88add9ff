"""Time: durations and timers by the event loop's clock, timestamps by an injected wall clock.

Runs on a loop with fake time just as well. Nothing polls: every wait is one timer.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVarTuple

NowNs = Callable[[], int]
Args = TypeVarTuple("Args")


class Clock:
    """Timers that all die when the clock is closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, now_ns: NowNs = time.time_ns) -> None:
        self.now_ns = now_ns
        self._loop = loop
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def soon(self, call: Callable[[*Args], object], *args: *Args) -> None:
        self._loop.call_soon(self._fire, call, args)

    def later(self, seconds: float, call: Callable[[*Args], object], *args: *Args) -> asyncio.Handle:
        if seconds <= 0:
            return self._loop.call_soon(self._fire, call, args)
        return self._loop.call_later(seconds, self._fire, call, args)

    def _fire(self, call: Callable[[*Args], object], args: tuple[*Args]) -> None:
        if not self._closed:
            call(*args)


def rfc3339(nanoseconds: int) -> str:
    """The engine's form of a timestamp; 0 is Go's zero time."""
    if nanoseconds == 0:
        return "0001-01-01T00:00:00Z"
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{_to_the_second(seconds)}.{fraction:09d}Z"


@lru_cache(maxsize=4096)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")

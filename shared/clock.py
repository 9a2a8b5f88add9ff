"""Wall time and the machine's uptime: the two clocks that are not the event loop's.

Durations inside one process go by the event loop's time; only what is written down (records, deadlines) goes by
the wall, and only the lease goes by the uptime, because it must not stop while the machine is suspended.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a process reads the time."""

    def now(self) -> datetime:
        """The wall time, in UTC. It may step, forwards and backwards."""

    def uptime(self) -> float:
        """Seconds since some fixed moment; never steps, and runs on while the machine is suspended."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """The wall time, in UTC."""
        return datetime.now(UTC)

    def uptime(self) -> float:
        """CLOCK_BOOTTIME where there is one (Linux, see clock_gettime(2)); CLOCK_MONOTONIC elsewhere."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def rfc3339(moment: datetime) -> str:
    """A moment as records and alerts write it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """The reverse of `rfc3339`. Raises ValueError."""
    return datetime.fromisoformat(text)

"""Deadlines: moments by the event loop's clock, which no step of the wall clock moves."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment when a timeout ends. All of it in seconds."""

    began: float
    """By the event loop's clock."""
    timeout: float

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self.began

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, 0 after it."""
        return max(0.0, self.timeout - self.elapsed)

    @property
    def passed(self) -> bool:
        """Nothing remains."""
        return self.remaining <= 0

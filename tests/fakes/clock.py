"""A clock that goes by the event loop's time, so that fake time moves it."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


class LoopClock:
    """The Clock of shared.clock. Make it inside the loop. `step` moves its wall time, as NTP does."""

    def __init__(self, start: datetime = START) -> None:
        self._loop = asyncio.get_running_loop()
        self._offset = start - timedelta(seconds=self._loop.time())

    def now(self) -> datetime:
        """The wall time."""
        return self._offset + timedelta(seconds=self._loop.time())

    def uptime(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def step(self, by: timedelta) -> None:
        """From now on the wall time is so much later."""
        self._offset += by

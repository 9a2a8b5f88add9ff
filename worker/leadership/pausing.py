"""Whether the cluster is paused: read from the table once a leadership period, and kept there by pauses and resumes.

What a pause stops is left to the flows.
"""

import asyncio
from dataclasses import replace

from shared.clock import Clock
from shared.pause import Pause
from worker.ports.storage import Journal, PauseMemory


class Pausing:
    """The pause of this cluster."""

    def __init__(self, journal: Journal, token: int, clock: Clock) -> None:
        self._journal = journal
        self._token = token
        self._clock = clock
        self._known: PauseMemory | None = None
        self._revision = 0
        self._turn = asyncio.Lock()

    @property
    def known(self) -> bool:
        """Whether it has been read already."""
        return self._known is not None

    async def present(self) -> Pause | None:
        """The pause that holds now. None: there is none, or it has ended by itself. Raises Fenced, Unavailable."""
        async with self._turn:
            pause = (await self._last()).pause
        return pause if pause is not None and pause.holds(self._clock.now()) else None

    async def change(self, order: PauseMemory) -> PauseMemory:
        """Let an order count, unless one that was requested later does. Which one did until then: itself, if it had
        been written before. Raises Fenced, Unavailable.
        """
        async with self._turn:
            last = await self._last()
            if last.request != order.request and not is_later(last, order):
                self._revision = max(self._revision, last.revision) + 1
                written = replace(order, revision=self._revision)
                await self._journal.remember_pause(written, self._token)
                self._known = written
            return last

    async def _last(self) -> PauseMemory:
        if self._known is None:
            self._known = await self._journal.recall_pause(self._token)
        return self._known


def is_later(last: PauseMemory, order: PauseMemory) -> bool:
    """Whether an order was requested later than another; of two of one moment the greater id."""
    if last.requested_at is None or order.requested_at is None:
        return False
    return (last.requested_at, last.request) > (order.requested_at, order.request)

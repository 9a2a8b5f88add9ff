"""Whether the cluster is paused: read from the table once a leadership period, and kept there by pauses and resumes.

What a pause stops is left to the flows.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta

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

    @property
    def left(self) -> timedelta | None:
        """How long the pause will last, as far as it is known. None: there is none, or it has no end."""
        pause = None if self._known is None else self._known.pause
        return None if pause is None or pause.until is None else pause.until - self._clock.now()

    @property
    def over(self) -> tuple[str, Pause] | None:
        """The pause that has ended by itself and still stands in the table, and the request that it is from."""
        known = self._known
        if known is None or known.pause is None or known.pause.holds(self._clock.now()):
            return None
        return known.request, known.pause

    async def counts(self, request: str) -> bool:
        """Whether the order of a request is the one that counts. Raises Fenced, Unavailable."""
        async with self._turn:
            return (await self._last()).request == request

    async def end(self, paused_by: str, request: str) -> PauseMemory:
        """Let the pause of a request count no more, on behalf of another request, unless another order counts by now.

        Which one did until then. Raises Fenced, Unavailable.
        """
        async with self._turn:
            last = await self._last()
            if last.request == paused_by:
                await self._write(replace(last, request=request, pause=None))
            return last

    async def change(self, order: PauseMemory) -> PauseMemory:
        """Let an order count, unless one that was requested later does. Which one did until then: itself, if it had
        been written before. Raises Fenced, Unavailable.
        """
        async with self._turn:
            last = await self._last()
            if last.request != order.request and not is_later(last, order):
                await self._write(replace(order, revision=last.revision))
            return last

    async def _write(self, order: PauseMemory) -> PauseMemory:
        self._revision = max(self._revision, order.revision) + 1
        written = replace(order, revision=self._revision)
        self._known = None  # where the answer is lost, only the table says what counts
        await self._journal.remember_pause(written, self._token)
        self._known = written
        return written

    async def _last(self) -> PauseMemory:
        last = self._known or await self._journal.recall_pause(self._token)
        if self._revision > last.revision:
            last = await self._write(last)  # of what was sent without an answer nothing can arrive after it
        self._known = last
        return last


def is_later(last: PauseMemory, order: PauseMemory) -> bool:
    """Whether an order was requested later than another; of two of one moment the greater id."""
    if last.requested_at is None or order.requested_at is None:
        return False
    return (last.requested_at, last.request) > (order.requested_at, order.request)

"""The overview: the status as it is now, put together once for all who look at the same time."""

import asyncio
from datetime import datetime

from ingest.ports import Counts, Journal
from ingest.situation import situation
from shared.clock import Clock
from shared.errors import ScalerError
from shared.status import Queue, Status, Trouble

FRESH_SECONDS = 1.0
"""Whoever asks within so long sees the same."""


class Overview:
    """Reads the table and asks SQS."""

    def __init__(self, journal: Journal, counts: Counts, clock: Clock, cluster: str) -> None:
        self._journal = journal
        self._counts = counts
        self._clock = clock
        self._cluster = cluster
        self._reading = asyncio.Lock()
        self._newest: Status | None = None
        self._read_at = 0.0
        self._sqs_silent_since: datetime | None = None

    async def status(self) -> Status:
        """What there is. Raises Unavailable, Refused where the table cannot be read; SQS costs its own part."""
        loop = asyncio.get_running_loop()
        async with self._reading:
            if self._newest is None or loop.time() - self._read_at >= FRESH_SECONDS:
                stored, counted = await asyncio.gather(self._journal.status(), self._count())
                self._newest = situation(self._cluster, stored, *counted, self._clock.now())
                self._read_at = loop.time()
            return self._newest

    async def _count(self) -> tuple[Queue | None, tuple[Trouble, ...]]:
        try:
            queue = await self._counts.look()
        except ScalerError as error:
            self._sqs_silent_since = self._sqs_silent_since or self._clock.now()
            return None, (Trouble(what="SQS", since=self._sqs_silent_since, last_error=str(error)),)
        self._sqs_silent_since = None
        return queue, ()

"""The overview: the status as it is now, put together once for all who look at the same time."""

import asyncio
from datetime import datetime

from ingest.ports import Counts, Journal
from ingest.problems import unreadable
from ingest.situation import situation
from ingest.stored import Stored
from ingest.turned_away import Door
from shared.clock import Clock
from shared.errors import ScalerError
from shared.status import Problem, Queue, Status, Trouble

FRESH_SECONDS = 1.0
"""Whoever asks within so long sees the same."""
FRESH_FOR_METRICS_SECONDS = 10.0
"""The same for Prometheus, which asks for ever: each look costs a read of the table."""


class Overview:
    """Reads the table and asks SQS."""

    def __init__(self, journal: Journal, counts: Counts, clock: Clock, cluster: str, door: Door) -> None:
        self._journal = journal
        self._counts = counts
        self._clock = clock
        self._cluster = cluster
        self._door = door
        self._reading = asyncio.Lock()
        self._newest: Status | None = None
        self._read_at = 0.0
        self._sqs_silent_since: datetime | None = None

    async def status(self, fresh: float = FRESH_SECONDS) -> Status:
        """What there is, no older than `fresh` seconds.

        Raises Unavailable, Refused where the table cannot be read, with a sentence for an operator; SQS costs its own
        part.
        """
        loop = asyncio.get_running_loop()
        async with self._reading:
            if self._newest is None or loop.time() - self._read_at >= fresh:
                self._newest = None
                stored, counted = await asyncio.gather(self._stored(), self._count())
                now = self._clock.now()
                self._newest = situation(self._cluster, stored, *counted, now, self._door.lately(now))
                self._read_at = loop.time()
            return self._newest

    async def known(self, fresh: float = FRESH_SECONDS) -> Status:
        """The same; where the table cannot be read, that alone."""
        try:
            return await self.status(fresh)
        except ScalerError as error:
            return Status(cluster=self._cluster, problems=(Problem(code="dynamodb-silent", sentence=str(error)),))

    async def _stored(self) -> Stored:
        try:
            return await self._journal.status()
        except ScalerError as error:
            raise type(error)(unreadable(error)) from error

    async def _count(self) -> tuple[Queue | None, tuple[Trouble, ...]]:
        try:
            queue = await self._counts.look()
        except ScalerError as error:
            self._sqs_silent_since = self._sqs_silent_since or self._clock.now()
            return None, (Trouble(what="SQS", since=self._sqs_silent_since, last_error=str(error)),)
        self._sqs_silent_since = None
        return queue, ()

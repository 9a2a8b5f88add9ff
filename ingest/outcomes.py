"""Waiting for requests to end: one reader of the journal on behalf of everyone who waits.

While nobody waits, nothing is read. Who gives up, or goes away, is forgotten at once.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from ingest.ports import Journal
from shared.errors import ScalerError
from shared.records import Record

INTERVAL = timedelta(seconds=0.2)
MOST = 100
"""Waiting at once, and keys in one BatchGetItem: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NotYet:
    """The request has not ended, as far as is known here."""

    reason: str


Outcome = Record | NotYet


@dataclass(slots=True, eq=False)
class _Waiter:
    """Someone who waits. `own` is the record of a duplicate while the first one's is awaited."""

    request_id: str
    outcome: asyncio.Future[Outcome]
    own: Record | None = None

    def see(self, record: Record | None) -> None:
        """Take note of what the journal says of `request_id`."""
        if self.outcome.done():
            return
        if record is None and self.own is not None:
            self.outcome.set_result(self.own)
        elif record is not None and record.state.ended:
            self._ended(record)

    def _ended(self, record: Record) -> None:
        if self.own is not None:
            self.outcome.set_result(record.but(message=f"Duplicate of request {record.id}: {record.message}"))
        elif record.duplicate_of:
            self.own, self.request_id = record, record.duplicate_of
        else:
            self.outcome.set_result(record)


class Outcomes:
    """Everyone who waits. `run` reads for them and never returns; whoever starts it, cancels it."""

    def __init__(self, journal: Journal, interval: timedelta = INTERVAL, most: int = MOST) -> None:
        self._journal = journal
        self._interval = interval.total_seconds()
        self._most = most
        self._waiters: set[_Waiter] = set()
        self._somebody = asyncio.Event()
        self._stopping = False
        self._reads = True

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    async def outcome(self, request_id: str, timeout: timedelta) -> Outcome:
        """The record of the request once it has ended; of a duplicate that of the first one, which its message says."""
        if self._stopping:
            return NotYet("ingest is stopping")
        if len(self._waiters) >= self._most:
            return NotYet("too many are waiting already")
        waiter = self._enter(request_id)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await waiter.outcome
        except TimeoutError:
            return NotYet(f"not ended within {timeout.total_seconds():g} seconds")
        finally:
            self._leave(waiter)

    async def run(self) -> None:
        """Read the journal for all who wait."""
        while True:
            await self._somebody.wait()
            await self._read()
            await asyncio.sleep(self._interval)

    def stop(self) -> None:
        """Let everyone go, and nobody in."""
        self._stopping = True
        for waiter in self._waiters:
            if not waiter.outcome.done():
                waiter.outcome.set_result(NotYet("ingest is stopping"))

    def _enter(self, request_id: str) -> _Waiter:
        waiter = _Waiter(request_id, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        self._somebody.set()
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        self._waiters.discard(waiter)
        if not self._waiters:
            self._somebody.clear()

    async def _read(self) -> None:
        wanted = {waiter.request_id for waiter in self._waiters}
        try:
            records = await self._journal.records(wanted)
        except ScalerError as error:
            self._failed(error)
        else:
            self._reads = True
            self._show(wanted, records)

    def _show(self, wanted: set[str], records: Mapping[str, Record]) -> None:
        for waiter in self._waiters:
            if waiter.request_id in wanted:
                waiter.see(records.get(waiter.request_id))

    def _failed(self, error: ScalerError) -> None:
        """Said once an outage: whoever waits longer than it lasts does not notice it."""
        if self._reads:
            _log.warning("outcomes_unreadable", error=str(error))
        self._reads = False

"""In-memory stand-ins for what ingest needs from outside. Tests look at the state they end in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.stored import Stored
from shared.alertmanager import Alert
from shared.errors import ScalerError
from shared.messages import parse_body, parse_request
from shared.records import Record, State
from shared.status import Queue

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass
class FakeClock:
    """A clock that stands still."""

    moment: datetime = NOON

    def now(self) -> datetime:
        return self.moment

    def uptime(self) -> float:
        return self.moment.timestamp()


@dataclass
class FakeInbox:
    """A queue that holds what was sent, as text, like the real one."""

    bodies: list[str] = field(default_factory=list)
    failure: ScalerError | None = None
    hangs: bool = False
    on_send: Callable[[dict[str, Any]], None] = lambda _message: None

    async def send(self, message: Mapping[str, Any]) -> None:
        await self._trouble()
        body = json.dumps(message)
        self.bodies.append(body)
        self.on_send(json.loads(body))

    async def check(self) -> None:
        await self._trouble()

    async def _trouble(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What a worker would take, each one readable by it."""
        for body in self.bodies:
            parse_request(parse_body(body))
        return [json.loads(body) for body in self.bodies]


@dataclass
class FakeJournal:
    """The records that a worker would have written."""

    written: dict[str, Record] = field(default_factory=dict)
    failure: ScalerError | None = None
    stored: Stored = field(default_factory=Stored)
    reads: list[frozenset[str]] = field(default_factory=list)
    was_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def records(self, ids: Collection[str]) -> dict[str, Record]:
        self.reads.append(frozenset(ids))
        self.was_read.set()
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return {name: self.written[name] for name in ids if name in self.written}

    async def newest(self, limit: int, state: State | None = None) -> list[Record]:
        if self.failure is not None:
            raise self.failure
        matching = [record for record in self.written.values() if state in {None, record.state}]
        return sorted(matching, key=lambda record: record.requested_at, reverse=True)[:limit]

    async def status(self) -> Stored:
        if self.failure is not None:
            raise self.failure
        return self.stored

    def write(self, record: Record) -> Record:
        self.written[record.id] = record
        return record


@dataclass
class FakeCounts:
    """How full the queues are said to be."""

    queue: Queue = field(default_factory=lambda: Queue(waiting=0, dead_letters=0))
    failure: ScalerError | None = None

    @property
    def newest(self) -> Queue | None:
        return None if self.failure is not None else self.queue

    async def look(self) -> Queue:
        if self.failure is not None:
            raise self.failure
        return self.queue

    async def run(self) -> None:
        await asyncio.Event().wait()


@dataclass
class FakeAlerts:
    """What Alertmanager was told."""

    told: list[Alert] = field(default_factory=list)
    failure: ScalerError | None = None
    longest: list[timedelta] = field(default_factory=list)

    async def post(self, alert: Alert, now: datetime, timeout: timedelta) -> None:
        self.longest.append(timeout)
        if self.failure is not None:
            raise self.failure
        self.told.append(alert)


def record(request_id: str, state: State = State.SUCCEEDED, message: str = "", **more: Any) -> Record:
    """A record as the worker writes it."""
    request = {"action": "scale-nodes", "scale": "up", "type": "worker", "id": request_id}
    given = {"action": "scale-nodes", "requested_at": NOON, "source": "http", "request": request, **more}
    return Record(id=request_id, state=state, message=message, **given)

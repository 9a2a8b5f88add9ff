"""The open requests of one leadership period: what waits, what runs, and what was settled a moment ago.

Intake and the journal's sweep put requests in, the dispatcher begins and finishes them, flows look at their siblings.
What may begin is left to the lanes.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from shared.clock import Clock
from shared.fields import Role
from shared.records import Record, State
from worker.ports.storage import Journal
from worker.requests.dry_run import DryRequest
from worker.requests.events import instances_of
from worker.requests.outbox import Outbox
from worker.requests.request import OpenRequest

RECENTLY_SETTLED = 1000
"""So many settled ids are remembered, to ignore stale index reads: more than can settle while one is on its way."""


class OpenRequests:
    """All of them, by id."""

    def __init__(self, token: int, journal: Journal, outbox: Outbox, clock: Clock) -> None:
        self._token = token
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._requests: dict[str, OpenRequest] = {}
        self._settled: deque[str] = deque(maxlen=RECENTLY_SETTLED)
        self.queued: list[OpenRequest] = []
        """What has not begun in this leadership period, in the order in which it should."""
        self.running: list[OpenRequest] = []
        """What flows work on."""
        self.changed = asyncio.Event()
        """Set whenever something may begin."""
        self.arriving = 0
        """So many messages were received and are no requests yet."""
        self.moved = asyncio.Event()
        """Set whenever those who gather scale-ups may have more, or fewer, to wait for."""
        self.claimed = asyncio.Event()
        """Set once all that was open at the take-over is in hand."""
        self.unclaimed = asyncio.Event()
        """Set when a record with another worker's token was met."""

    def knows(self, request_id: str) -> bool:
        """Whether it is in hand, or was until a moment ago: what is read of it then may be older than its end."""
        return request_id in self._requests or request_id in self._settled

    def take(self, record: Record) -> None:
        """A record that stands in the journal. One with another worker's token has to be claimed first."""
        if record.settled or self.knows(record.id):
            return
        if record.token != self._token:
            self.unclaimed.set()
            return
        kind = DryRequest if record.dry_run else OpenRequest
        request = kind(record, self._journal, self._outbox, self._clock)
        self._requests[request.id] = request
        if not request.ended:  # else only its notices are left, which the outbox has
            self.queued.append(request)
            self.queued.sort(key=_order)
            self.changed.set()

    def note_arriving(self, messages: int) -> None:
        """So many messages are still to be taken, of those that were received together."""
        self.arriving = messages
        self.moved.set()

    def get(self, request_id: str) -> OpenRequest | None:
        """One that is in hand, also one that has ended and is not settled yet."""
        return self._requests.get(request_id)

    def begin(self, request: OpenRequest) -> None:
        """A flow works on it from now on."""
        self.queued.remove(request)
        self.running.append(request)
        request.waits.end()

    def finish(self, request: OpenRequest) -> None:
        """No flow works on it any more."""
        self.running.remove(request)
        self.changed.set()

    def forget_settled(self) -> None:
        """Keep no more of settled requests than their ids."""
        for request_id in [each.id for each in self._requests.values() if each.record.settled]:
            del self._requests[request_id]
            self._settled.append(request_id)

    def scale_ups(self, node_type: Role) -> Sequence[OpenRequest]:
        """The open scale-ups of one type of node, those that run first."""
        return [
            request
            for request in (*self.running, *self.queued)
            if (request.record.action, request.record.scale, request.record.type) == ("scale-nodes", "up", node_type)
            and not request.record.dry_run
        ]

    def about(self, instance_id: str, but: OpenRequest | None = None) -> OpenRequest | None:
        """An open request that names an instance, and is not that one: one that runs rather than one that waits."""
        every = (request for request in (*self.running, *self.queued) if request is not but and not request.ended)
        return next((each for each in every if instance_id in instances_of(each.record)), None)

    def begun(self) -> Sequence[Record]:
        """The records of those that have begun and not ended."""
        open_records = (request.record for request in self._requests.values() if not request.ended)
        return [record for record in open_records if record.started_at is not None and not record.dry_run]

    def oldest_age(self) -> timedelta:
        """The age of the oldest request that has not ended; zero without one."""
        return max((each.age() for each in self._requests.values() if not each.ended), default=timedelta())


def _order(request: OpenRequest) -> tuple[bool, bool, object, str]:
    """What had begun under another worker goes on first, then the oldest.

    Of what had begun, what is only being planned comes last: a scale-up may wait there for others to be raised, and
    wall clocks that differ may show it as older than those.
    """
    queued, planning = request.record.state == State.QUEUED, request.record.step in {None, "plan"}
    return queued, planning, request.record.started_at or request.record.requested_at, request.id

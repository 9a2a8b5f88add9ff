"""The status writer: keeps the status document in the table, and sends a heartbeat each minute.

The document is written when something in it has changed. Nothing here holds anybody up: what fails is logged, and
tried again with the next change.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import structlog

from shared.errors import Refused, Unavailable
from shared.status import MOST_REQUESTS, Active, Heartbeat, PauseStatus, Status, Trouble
from worker.dispatch.sightings import Sightings
from worker.errors import error_boundary
from worker.leadership.lease import HeldLease, Lease
from worker.leadership.period import Leadership
from worker.requests import notices
from worker.requests.open_requests import OpenRequests
from worker.requests.outbox import Outbox
from worker.requests.summary import summary

log = structlog.get_logger()

LOOK_SECONDS = 2.0
"""The document is written at most so often."""
HEARTBEAT_SECONDS = 60.0
FIRST_LOOK_SECONDS = 10.0
"""The first document waits so long for the first look at everything."""
TASK = "status"
"""The name of its tasks."""
_WHO = {notices.DOCKER: "Docker", notices.AWS: "AWS"}


class StatusWriter:
    """Of one leadership period."""

    def __init__(
        self, leadership: Leadership, requests: OpenRequests, outbox: Outbox, lease: Lease, held: HeldLease
    ) -> None:
        self._leadership = leadership
        self._requests = requests
        self._outbox = outbox
        self._lease = lease
        self._held = held
        self._sightings = Sightings(leadership, requests)
        self._since, self._began = leadership.clock.now(), self._now()
        self._written: Status | None = None
        self.newest: Status | None = None
        """As it is known now, whether it could be written or not."""
        self._written_revision = 0
        self._revision = 0
        """Of the newest document that was sent; it may have been written or not."""
        self._beats = 0
        self._next_beat = float("-inf")

    async def run(self) -> None:
        """Look and write, for ever. Raises LeadershipOver."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sightings.run(), name=TASK)
            tasks.create_task(self._write(), name=TASK)

    async def _write(self) -> None:
        await self._beat()
        await self._first_look()
        while True:
            pause = HEARTBEAT_SECONDS
            with error_boundary("status_not_written"):
                await self._beat()
                await self._write_what_changed()
                pause = LOOK_SECONDS
            await asyncio.sleep(pause)

    async def _first_look(self) -> None:
        try:
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await self._sightings.looked.wait()
        except TimeoutError:
            log.warning("status_not_seen", what="everything", error=f"not within {FIRST_LOOK_SECONDS:.0f} seconds")

    async def _write_what_changed(self) -> None:
        status = self.newest = await self._status()
        if status == self._written:
            return
        self._revision += 1
        stamped = status.but(as_of=self._leadership.clock.now(), judged_at=self._sightings.judged_at)
        if await self._publish(stamped, self._revision):
            self._written, self._written_revision = status, self._revision

    async def _beat(self) -> None:
        """Say that this worker is active, and which document holds."""
        if self._now() < self._next_beat:
            return
        self._next_beat = self._now() + HEARTBEAT_SECONDS
        self._beats += 1
        now, seconds = self._leadership.clock.now(), self._leadership.settings.lease_seconds.total_seconds()
        beat = Heartbeat(
            worker=self._held.item.owner or "",
            since=self._since,
            at=now,
            revision=self._written_revision,
            lease_seconds=seconds,
            renewals=self._held.item.renewals,
            renewed_at=now - timedelta(seconds=seconds - self._lease.left(self._held)),
        )
        await self._publish(beat, self._beats)

    async def _publish(self, document: Status | Heartbeat, revision: int) -> bool:
        try:
            await self._leadership.journal.publish(document, self._leadership.token, revision)
        except (Unavailable, Refused) as error:
            log.warning("status_not_written", what=type(document).__name__, error=str(error))
            return False
        return True

    async def _status(self) -> Status:
        settings, everyone = self._leadership.settings, (*self._requests.running, *self._requests.queued)
        return Status(
            cluster=settings.scaler_cluster,
            active=Active(worker=self._held.item.owner or "", since=self._since),
            paused=await self._paused(),
            groups=self._sightings.groups,
            nodes=self._sightings.nodes,
            pending_tasks=self._sightings.pending_tasks,
            requests=tuple(summary(request) for request in everyone[:MOST_REQUESTS]),
            requests_more=max(len(everyone) - MOST_REQUESTS, 0),
            troubles=tuple(_earliest(self._troubles())),
        )

    async def _paused(self) -> PauseStatus | None:
        pausing = self._leadership.pausing
        if not pausing.known and self._now() - self._began < FIRST_LOOK_SECONDS:
            return None  # it is being read
        pause = await pausing.present()
        if pause is None:
            return None
        return PauseStatus(since=pause.since, until=pause.until, by=pause.by, reason=pause.reason)

    def _troubles(self) -> Iterable[Trouble]:
        """Of the looks, of the requests whose steps are tried again and again, and of the notices."""
        yield from self._sightings.troubles.values()
        for request in self._requests.running:
            trouble = request.waits.trouble
            if trouble is not None:
                who = _WHO.get(trouble.what, trouble.what)
                yield Trouble(what=who, since=trouble.since, last_error=trouble.last_error or "")
        if self._outbox.trouble is not None:
            yield self._outbox.trouble

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _earliest(troubles: Iterable[Trouble]) -> Iterable[Trouble]:
    """Each of those who do not answer once, since the first time that somebody noticed."""
    found: dict[str, Trouble] = {}
    for trouble in troubles:
        known = found.get(trouble.what)
        if known is None or (trouble.since is not None and known.since is not None and trouble.since < known.since):
            found[trouble.what] = trouble
    return found.values()

"""The end of a pause whose time is over: a resume that nobody asks for, so that people hear of the end as of the pause.

It is a request with a record like every other, whose id follows from the pause's: so it is one, whichever worker sees
that the time is over, and however late.
"""

import asyncio
import hashlib

import structlog

from shared.errors import Refused, Unavailable
from shared.pause import Pause
from shared.records import Record
from worker.leadership.period import TICK_SECONDS, Leadership
from worker.requests import steering
from worker.requests.open_requests import OpenRequests

log = structlog.get_logger()


class PauseEnd:
    """Of one leadership period."""

    def __init__(self, leadership: Leadership, requests: OpenRequests) -> None:
        self._leadership = leadership
        self._requests = requests
        self._asked: set[str] = set()
        """Ids of the pauses whose end has its record."""

    async def run(self) -> None:
        """Look now and then, and when a time is over, for ever; without a call. Raises LeadershipOver."""
        while True:
            over = self._leadership.pausing.over
            if over is not None and over[0] not in self._asked:
                await self._ask(*over)
            await asyncio.sleep(self._seconds())

    def _seconds(self) -> float:
        """Until the time of a pause is over; and a new pause is met with soon."""
        left = self._leadership.pausing.left
        return TICK_SECONDS if left is None else min(TICK_SECONDS, max(left.total_seconds(), 1.0))

    async def _ask(self, paused_by: str, pause: Pause) -> None:
        record = self._record(paused_by, pause)
        try:
            known = await self._leadership.journal.create(record)
        except (Unavailable, Refused) as error:
            log.warning("end_of_pause_not_recorded_yet", pause=paused_by, error=str(error))
            return
        self._asked.add(paused_by)
        log.info("pause_over", pause=paused_by, request=record.id)
        self._requests.take(known or record)

    def _record(self, paused_by: str, pause: Pause) -> Record:
        now = self._leadership.clock.now()
        digest = hashlib.sha256(paused_by.encode()).hexdigest()[:16]
        return Record(
            id=f"pause-over-{digest}",
            action="resume",
            requested_at=now,
            received_at=now,
            source="worker",
            request={"action": "resume"},
            plan=steering.ending(paused_by, pause),
            reason="its time is over",
            token=self._leadership.token,
        )

"""Upkeep: what people see of open requests while their flows wait, in one write for each change.

Flows say what they wait for, and write when they have something to write. What has changed since then, and lasts, is
written here: what a request waits for, and which of its notices Alertmanager has taken, so that the next worker does
not tell them again. Where AWS or Docker have not answered for a while, people are told here, and when it goes on.
"""

import asyncio

import structlog

from shared.errors import Refused, Unavailable
from worker.dispatch.lanes import ahead
from worker.requests import notices
from worker.requests.open_requests import OpenRequests
from worker.requests.request import OpenRequest

log = structlog.get_logger()

EVERY_SECONDS = 3.0
TOLD_AFTER_SECONDS = 60.0
"""People are told of an outage that lasts so long."""


class Upkeep:
    """Of one leadership period."""

    def __init__(self, requests: OpenRequests) -> None:
        self._requests = requests
        self._told: dict[str, str] = {}
        """Ids of the requests whose trouble people know, and whose trouble it is."""

    async def run(self) -> None:
        """Look at all of them now and then, for ever. Raises LeadershipOver."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            for request, other in ahead(self._requests.queued, self._requests.running):
                request.waits.begin("its turn", behind=other.id, since=request.record.received_at)
            for request in (*self._requests.queued, *self._requests.running):
                self._tell(request)
                await self._write(request)

    def _tell(self, request: OpenRequest) -> None:
        trouble = request.waits.trouble
        if trouble is not None and request.id not in self._told:
            seconds = (request.now() - trouble.since).total_seconds()
            if seconds >= TOLD_AFTER_SECONDS:
                self._told[request.id] = trouble.what
                if trouble is request.waits.inherited_trouble:
                    return  # it was told, and may be over
                request.say(notices.outage(request.record, trouble.what, seconds, trouble.last_error or ""))
        elif trouble is None and request.id in self._told:
            request.say(notices.outage_over(request.record, self._told.pop(request.id)))

    async def _write(self, request: OpenRequest) -> None:
        if not request.unwritten:
            return
        try:
            await request.write()
        except (Unavailable, Refused) as error:
            log.warning("record_not_kept_up", request=request.id, error=str(error))
            return
        waiting = request.waiting
        if waiting is not None:
            log.info(
                "request_waits",
                request=request.id,
                step=request.record.step,
                waiting_for=waiting.what,
                behind=waiting.behind,
                deadline=waiting.until,
                error=waiting.last_error,
            )

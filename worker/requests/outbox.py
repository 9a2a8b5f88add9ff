"""The outbox: hands the jobs' notices to Alertmanager, in order, apart from the work itself.

A dead Alertmanager costs nothing but its alerts: they are tried again with growing pauses, and given up ten minutes
after their request has ended. Several requests take turns; one job's notices keep their order.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from shared.alertmanager import Alert
from shared.clock import Clock
from shared.errors import Refused, Unavailable
from worker.ports.alerts import AlertSink
from worker.requests.request import OFFERED_FOR, OpenRequest

log = structlog.get_logger()

POST_TIMEOUT = timedelta(seconds=2)
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
LOOSE = 100
"""At most so many alerts that belong to no job wait for Alertmanager."""


class Outbox:
    """Notices that are due. Without an Alertmanager they are dropped: nobody is to be told."""

    def __init__(self, sink: AlertSink | None, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._requests: dict[str, OpenRequest] = {}
        self._loose: list[tuple[Alert, float]] = []
        self._failures = 0
        self._due = asyncio.Event()
        self._taken = asyncio.Event()

    def add(self, request: OpenRequest) -> None:
        """The job has notices, or has ended with some left."""
        if self._sink is None:
            request.notices.clear()
        self._requests[request.id] = request
        self._due.set()

    async def flushed(self, request: OpenRequest, seconds: float) -> None:
        """Return when the job's notices are taken, or after some time."""
        try:
            async with asyncio.timeout(seconds):
                while request.notices:
                    await self._taken.wait()
        except TimeoutError:
            log.warning("notices_not_taken_yet", request=request.id, notices=len(request.notices))

    def offer(self, alert: Alert) -> None:
        """Post an alert that stands in no record: for as long as one that does, or this leadership period."""
        if self._sink is not None and len(self._loose) < LOOSE:
            self._loose.append((alert, asyncio.get_running_loop().time() + OFFERED_FOR.total_seconds()))
            self._due.set()

    async def run(self, settled: Callable[[OpenRequest], None]) -> None:
        """Post what is due, for ever. `settled` hears of the jobs for which nothing is left to do."""
        while True:
            self._due.clear()
            await self._serve_loose()
            for request in list(self._requests.values()):
                await self._serve(request)
                if request.record.settled:
                    settled(request)
            if not self._requests and not self._loose:
                await self._due.wait()
            elif self._failures:
                await self._pause()
            else:
                await self._idle()

    async def _serve_loose(self) -> None:
        while self._loose:
            alert, until = self._loose[0]
            try:
                await self._post(alert)
            except Unavailable as error:
                log.warning("alert_not_taken", error=str(error), summary=alert.summary)
                if asyncio.get_running_loop().time() < until:
                    return
            self._loose.pop(0)

    async def _serve(self, request: OpenRequest) -> None:
        try:
            while request.notices:
                await self._post(request.notices[0])
                request.notices.pop(0)
                self._announce()
            await self._finish(request)
        except Unavailable as error:
            log.warning("notice_not_taken", request=request.id, error=str(error))
            await self._finish(request)

    async def _finish(self, request: OpenRequest) -> None:
        """Let go of a request: one that has ended when it is settled, another when it has no more to say for now."""
        if request.record.state.ended:
            try:
                done = request.record.settled or await request.settle()
            except (Unavailable, Refused) as error:
                log.warning("record_not_settled", request=request.id, error=str(error))
                self._failures = max(self._failures, 1)
                return
            if done:
                self._requests.pop(request.id, None)
        elif not request.notices:
            self._requests.pop(request.id, None)

    async def _post(self, alert: Alert) -> None:
        if self._sink is None:
            return
        try:
            await self._sink.post(alert, self._now(), POST_TIMEOUT)
        except Refused as error:
            log.warning("alert_refused", error=str(error), summary=alert.summary)  # repeating it is pointless
        except Unavailable:
            self._failures += 1
            raise
        self._failures = 0

    def _now(self) -> datetime:
        return self._clock.now()

    def _announce(self) -> None:
        self._taken.set()
        self._taken = asyncio.Event()

    async def _pause(self) -> None:
        await asyncio.sleep(PAUSES_SECONDS[min(self._failures, len(PAUSES_SECONDS)) - 1])

    async def _idle(self) -> None:
        """Jobs are left though nothing failed: their flows are about to write something down."""
        try:
            async with asyncio.timeout(PAUSES_SECONDS[0]):
                await self._due.wait()
        except TimeoutError:
            return

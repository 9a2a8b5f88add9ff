"""The outbox: owns the notices that Alertmanager has not taken yet, and hands them over apart from the work itself.

An Alertmanager that is away costs nothing but its alerts: they are tried again with growing pauses, and given up ten
minutes after their request has ended. Requests take turns; the notices of one request keep their order.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from shared.alertmanager import Alert
from shared.clock import Clock
from shared.errors import Refused, Unavailable
from shared.status import Trouble
from worker.ports.alerts import AlertSink

log = structlog.get_logger()

OFFERED_FOR = timedelta(minutes=10)
"""How long an ended request's notices are offered."""
POST_TIMEOUT = timedelta(seconds=2)
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
MOST_UNRECORDED = 100
"""At most so many alerts that stand in no record wait for Alertmanager."""


class Sender(Protocol):
    """Whose notices they are: an open request."""

    @property
    def id(self) -> str:
        """The request's id."""

    @property
    def ended(self) -> bool:
        """It has its outcome; only notices may be left."""

    async def settle(self) -> bool:
        """After the end: write down that nothing is left to do. False: not yet. Raises Unavailable, Refused."""


@dataclass(slots=True)
class _Notices:
    """The notices of one request."""

    sender: Sender
    pending: list[Alert] = field(default_factory=list)
    said: set[Alert] = field(default_factory=set)


class Outbox:
    """Notices that are due. Without an Alertmanager they are dropped: nobody is to be told."""

    def __init__(self, sink: AlertSink | None, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._notices: dict[str, _Notices] = {}
        self._unrecorded: list[tuple[Alert, float]] = []
        self._failures = 0
        self.trouble: Trouble | None = None
        """That Alertmanager does not answer, while it does not."""
        self._due = asyncio.Event()
        self._taken = asyncio.Event()

    def say(self, sender: Sender, *alerts: Alert) -> None:
        """Post these, after what the request has said before. Nothing is said twice.

        A step whose write fails is done again, and comes by here again.
        """
        notices = self._notices.setdefault(sender.id, _Notices(sender))
        if self._sink is not None:
            notices.pending.extend(alert for alert in alerts if alert not in notices.said)
        notices.said.update(alerts)
        self._due.set()

    def pending(self, request_id: str) -> tuple[Alert, ...]:
        """What the request has said, and Alertmanager has not taken yet; oldest first."""
        notices = self._notices.get(request_id)
        return () if notices is None else tuple(notices.pending)

    @property
    def waiting(self) -> int:
        """How many notices Alertmanager has not taken yet."""
        return len(self._unrecorded) + sum(len(each.pending) for each in self._notices.values())

    async def flushed(self, request_id: str, timeout: float) -> None:
        """Return when the request's notices are taken, or after so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.pending(request_id):
                    await self._taken.wait()
        except TimeoutError:
            log.warning("notices_not_taken_yet", request=request_id, notices=len(self.pending(request_id)))

    def offer(self, alert: Alert) -> None:
        """Post an alert that stands in no record: for as long as one that does, or this leadership period."""
        if self._sink is not None and len(self._unrecorded) < MOST_UNRECORDED:
            self._unrecorded.append((alert, asyncio.get_running_loop().time() + OFFERED_FOR.total_seconds()))
            self._due.set()

    async def run(self) -> None:
        """Post what is due, and settle the requests that have nothing left to say; for ever."""
        while True:
            self._due.clear()
            await self._serve_unrecorded()
            for notices in list(self._notices.values()):
                await self._serve(notices)
            await self._wait(bool(self._unrecorded) or any(self._is_busy(each) for each in self._notices.values()))

    @staticmethod
    def _is_busy(notices: _Notices) -> bool:
        return bool(notices.pending) or notices.sender.ended

    async def _wait(self, busy: bool) -> None:
        if busy and self._failures:
            await asyncio.sleep(PAUSES_SECONDS[min(self._failures, len(PAUSES_SECONDS)) - 1])
            return
        with suppress(TimeoutError):
            # Busy, though nothing failed: flows are about to write down what was taken.
            async with asyncio.timeout(PAUSES_SECONDS[0] if busy else None):
                await self._due.wait()

    async def _serve_unrecorded(self) -> None:
        while self._unrecorded:
            alert, until = self._unrecorded[0]
            try:
                await self._post(alert)
            except Unavailable as error:
                log.warning("alert_not_taken", error=str(error), summary=alert.summary)
                if asyncio.get_running_loop().time() < until:
                    return
            self._unrecorded.pop(0)

    async def _serve(self, notices: _Notices) -> None:
        try:
            while notices.pending:
                await self._post(notices.pending[0])
                notices.pending.pop(0)
                self._announce()
        except Unavailable as error:
            log.warning("notice_not_taken", request=notices.sender.id, error=str(error))
        if notices.sender.ended:
            await self._settle(notices)

    async def _settle(self, notices: _Notices) -> None:
        try:
            if await notices.sender.settle():
                self._notices.pop(notices.sender.id, None)
        except (Unavailable, Refused) as error:
            log.warning("record_not_settled", request=notices.sender.id, error=str(error))
            self._failures = max(self._failures, 1)

    async def _post(self, alert: Alert) -> None:
        if self._sink is None:
            return
        try:
            await self._sink.post(alert, self._clock.now(), POST_TIMEOUT)
        except Refused as error:
            log.warning("alert_refused", error=str(error), summary=alert.summary)  # repeating it is pointless
        except Unavailable as error:
            self._failures += 1
            since = self._clock.now() if self.trouble is None else self.trouble.since
            self.trouble = Trouble(what="Alertmanager", since=since, last_error=str(error))
            raise
        self._failures, self.trouble = 0, None

    def _announce(self) -> None:
        self._taken.set()
        self._taken = asyncio.Event()


def parsed(notices: Sequence[object]) -> tuple[Alert, ...]:
    """The notices of a record. One that this version cannot read is passed over, and logged."""
    found = []
    for notice in notices:
        try:
            found.append(Alert.parse(notice))  # type: ignore[arg-type]  # whatever a record holds
        except (TypeError, KeyError, ValueError):
            log.warning("notice_unreadable", notice=notice)
    return tuple(found)

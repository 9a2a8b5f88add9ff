"""An open request in the hands of the active worker, and its record.

A change counts once the journal has taken it, so a step that fails half-way is simply done again from the record.
What is said to people goes to the outbox, and stays in the record until Alertmanager has taken it.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from shared.alertmanager import Alert
from shared.clock import Clock
from shared.records import Record, State, Step
from worker.ports.documents import Document
from worker.ports.storage import Journal, Overtaken
from worker.requests.outbox import OFFERED_FOR, Outbox, parsed

log = structlog.get_logger()

OFFER_SECONDS = 2.0
"""How long the end of a request waits for Alertmanager."""


class OpenRequest:
    """One request and its record. One flow at a time works on it."""

    def __init__(self, record: Record, journal: Journal, outbox: Outbox, clock: Clock) -> None:
        self.record = record
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._saving = asyncio.Lock()
        if record.notices or record.state.ended:
            outbox.say(self, *parsed(record.notices))

    @property
    def id(self) -> str:
        """The request's id."""
        return self.record.id

    @property
    def ended(self) -> bool:
        """It has its outcome; only notices may be left."""
        return self.record.state.ended

    def now(self) -> datetime:
        """The wall time."""
        return self._clock.now()

    def age(self) -> timedelta:
        """How long ago it was made."""
        return self._clock.now() - self.record.requested_at

    def entered(self, step: str) -> datetime:
        """When the present step, or a past one of that name, began (the newest)."""
        began = (each.started_at for each in reversed(self.record.steps) if each.name == step)
        return next(began, self.record.started_at or self.record.requested_at)

    def say(self, *alerts: Alert) -> None:
        """Tell people. The notices reach the journal with the next write, and Alertmanager as soon as it takes them."""
        self._outbox.say(self, *alerts)

    async def save(self, *, plan: Document | None = None, **changes: Any) -> None:
        """Write changes of the record into the journal.

        Raises Overtaken where an earlier write, whose answer was lost, was done after all: the request goes on from
        that.
        """
        if plan is not None:
            changes["plan"] = plan.document()
        async with self._saving:
            notices = tuple(alert.document() for alert in self._outbox.pending(self.id))
            try:
                self.record = await self._journal.save(self.record.but(**changes, notices=notices))
            except Overtaken as earlier:
                self.record = earlier.record
                raise

    async def enter(self, step: str, *, plan: Document | None = None, **changes: Any) -> None:
        """Close the present step and begin another, in one write."""
        now = self._clock.now()
        steps = (*_closed(self.record.steps, now), Step(step, now))
        started = self.record.started_at or now
        await self.save(step=step, steps=steps, state=State.RUNNING, started_at=started, plan=plan, **changes)
        log.debug("step_entered", request=self.id, step=step)

    async def end(self, state: State, message: str, *alerts: Alert) -> None:
        """The outcome: offered to people first, for a short time, then written down."""
        self.say(*alerts)
        await self._outbox.flushed(self.id, OFFER_SECONDS)
        now, told = self._clock.now(), not self._outbox.pending(self.id)
        await self.save(
            state=state,
            message=message,
            steps=_closed(self.record.steps, now),
            started_at=self.record.started_at or now,
            ended_at=now,
            notified=told,
            settled=told,
        )
        self._outbox.say(self)
        log.info("request_ended", request=self.id, action=self.record.action, state=str(state), message=message)

    async def settle(self) -> bool:
        """After the end: leave the open records once the notices are taken, or have been offered for long enough.

        False: not yet. Raises Unavailable, Refused.
        """
        ended, told = self.record.ended_at, not self._outbox.pending(self.id)
        if self.record.settled:
            return True
        if ended is None or (not told and self._clock.now() - ended < OFFERED_FOR):
            return False
        await self.save(notified=told, settled=True)
        return True


def _closed(steps: tuple[Step, ...], now: datetime) -> tuple[Step, ...]:
    if not steps or steps[-1].ended_at is not None:
        return steps
    last = steps[-1]
    return (*steps[:-1], replace(last, ended_at=now))

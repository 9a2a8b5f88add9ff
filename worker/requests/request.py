"""A request: one open request in the hands of the active worker.

It keeps the journal's record and what has been written of it together: a change counts once the journal has taken
it, so a step that fails half-way is simply done again from the record. Notices are handed to the outbox when they
are due, and stay in the record until Alertmanager has taken them.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from shared.alertmanager import Alert
from shared.clock import Clock
from shared.records import Record, State, Step
from worker.ports.storage import Journal, Overtaken

log = structlog.get_logger()

OFFER_SECONDS = 2.0
"""How long the end of a request waits for Alertmanager."""
OFFERED_FOR = timedelta(minutes=10)
"""How long an ended request's notices are offered."""


class Posts(Protocol):
    """Where a job hands its notices: the outbox."""

    def add(self, request: "OpenRequest") -> None:
        """The job has notices that are due."""
        ...

    async def flushed(self, request: "OpenRequest", seconds: float) -> None:
        """Return when the job's notices are taken, or after some time."""
        ...


class OpenRequest:
    """One request, its record, and its unposted notices. One flow at a time works on it."""

    def __init__(self, record: Record, journal: Journal, posts: Posts, clock: Clock) -> None:
        self.record = record
        self.notices: list[Alert] = [Alert.parse(notice) for notice in record.notices]
        self._said = set(self.notices)
        self._journal = journal
        self._posts = posts
        self._clock = clock
        self._saving = asyncio.Lock()

    @property
    def id(self) -> str:
        """The request's id."""
        return self.record.id

    @property
    def plan(self) -> Mapping[str, Any]:
        """What the flow has decided and done."""
        return self.record.plan

    def now(self) -> datetime:
        """The wall time."""
        return self._clock.now()

    def moment(self, name: str) -> datetime:
        """When the present step, or a past one of that name, began (the newest)."""
        return next(step.started_at for step in reversed(self.record.steps) if step.name == name)

    def say(self, *alerts: Alert) -> None:
        """Tell people. The notices reach the journal with the next write, and Alertmanager as soon as it takes them.

        Nothing is said twice: a step whose write fails is done again, and comes by here again.
        """
        self.notices.extend(alert for alert in alerts if alert not in self._said)
        self._said.update(alerts)
        self._posts.add(self)

    async def save(self, **changes: Any) -> None:
        """Write changes of the record into the journal.

        Raises Overtaken where an earlier write, whose answer was lost, was done after all: the job goes on from that.
        """
        async with self._saving:
            notices = tuple(alert.document() for alert in self.notices)
            try:
                self.record = await self._journal.save(self.record.but(**changes, notices=notices))
            except Overtaken as earlier:
                self.record = earlier.record
                self._posts.add(self)
                raise
        if self.notices:
            self._posts.add(self)

    async def note(self, **notes: Any) -> None:
        """Add to the plan."""
        await self.save(plan={**self.plan, **notes})

    async def enter(self, step: str, *, notes: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """Close the present step and begin another, in one write."""
        now = self._clock.now()
        steps = (*_closed(self.record.steps, now), Step(step, now))
        started = self.record.started_at or now
        plan = {**self.plan, **(notes or {})}
        await self.save(step=step, steps=steps, state=State.RUNNING, started_at=started, plan=plan, **changes)
        log.debug("step_entered", request=self.id, step=step)

    async def end(self, state: State, message: str, *alerts: Alert) -> None:
        """The outcome: offered to people first, for a short time, then written down."""
        self.say(*alerts)
        await self._posts.flushed(self, OFFER_SECONDS)
        now = self._clock.now()
        await self.save(
            state=state,
            message=message,
            steps=_closed(self.record.steps, now),
            started_at=self.record.started_at or now,
            ended_at=now,
            notified=not self.notices,
            settled=not self.notices,
        )
        if not self.record.settled:
            self._posts.add(self)
        log.info("request_ended", request=self.id, action=self.record.action, state=str(state), message=message)

    async def settle(self) -> bool:
        """After the end: leave the open records once the notices are taken, or have been offered for long enough."""
        ended = self.record.ended_at
        if ended is None:
            return False
        if self.notices and self._clock.now() - ended < OFFERED_FOR:
            return False
        await self.save(notified=not self.notices, settled=True)
        self.notices.clear()
        return True


def _closed(steps: tuple[Step, ...], now: datetime) -> tuple[Step, ...]:
    if not steps or steps[-1].ended_at is not None:
        return steps
    last = steps[-1]
    return (*steps[:-1], Step(last.name, last.started_at, now))

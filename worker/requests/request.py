"""An open request in the hands of the active worker, and its record.

A change counts once the journal has taken it, so a step that fails half-way is simply done again from the record.
What is said to people goes to the outbox, and stays in the record until Alertmanager has taken it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from shared.alertmanager import Alert
from shared.cancellation import Cancellation, refusal, too_late
from shared.clock import Clock
from shared.documents import Document
from shared.errors import Unavailable
from shared.records import Record, State, Step
from worker.ports.storage import Journal, Overtaken
from worker.requests import notices, steering
from worker.requests.interruption import Interruption
from worker.requests.notices import signed
from worker.requests.outbox import OFFERED_FOR, Outbox, parsed
from worker.requests.waiting import Waiting

log = structlog.get_logger()

SETTLED_SECONDS = 3.0
"""A wait that lasts so long is worth a write of its own."""
QUIET_SECONDS = 20.0
"""After so long without another error what was away is there again: longer than a call and the pause after it."""
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
        self._in_doubt = False
        """Whether a write may have been done whose answer never came: the next one has to be the flow's own."""
        self.giving_up = False
        """Whether its flow brings it to its end already: then a cancellation changes nothing more."""
        self.interruption = Interruption(lambda: self.stop_reason)
        self._waiting = Waiting.parse(record.waiting_for)
        self._trouble: Waiting | None = None
        self._last_trouble = asyncio.get_running_loop().time()
        if self._waiting is not None and self._waiting.last_error is not None:
            self._trouble, self._waiting = self._waiting, None
        self.inherited_trouble = self._trouble
        """The trouble that the worker before us had: it may be over."""
        if record.notices or record.state.ended:
            outbox.say(self, *(signed(alert, record) for alert in parsed(record.notices)))

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
        self._outbox.say(self, *(signed(alert, self.record) for alert in alerts))

    # --- What it waits for --------------------------------------------------------------------------------------

    @property
    def waiting(self) -> Waiting | None:
        """What it waits for; None while it works, and after its end."""
        return None if self.ended else self.trouble or self._waiting

    @property
    def trouble(self) -> Waiting | None:
        """Who does not answer at the moment, so that its step is tried again and again."""
        if self._trouble is not None and asyncio.get_running_loop().time() - self._last_trouble > QUIET_SECONDS:
            self._trouble = None
        return self._trouble

    def waits(
        self, what: str, *, seconds: float | None = None, behind: str | None = None, since: datetime | None = None
    ) -> None:
        """It waits, for at most so many seconds. A wait that it is in already goes on."""
        present, now = self._waiting, self._clock.now()
        if present is None or (present.what, present.behind) != (what, behind):
            until = None if seconds is None else now + timedelta(seconds=max(seconds, 0))
            self._waiting = Waiting(what, since or now, until, behind)

    def works(self) -> None:
        """It waits for nothing."""
        self._waiting = None

    @contextmanager
    def waiting_for(self, what: str, *, seconds: float | None = None, since: datetime | None = None) -> Iterator[None]:
        """It waits in this block, unless it is cancelled; a wait around it goes on behind it. Raises Cancelled."""
        before = self._waiting
        self.waits(what, seconds=seconds, since=since)
        try:
            with self.interruption.possible():
                yield
        finally:
            self._waiting = before

    def stumbles(self, error: Unavailable) -> None:
        """Its step will be tried again."""
        what = notices.DOCKER if str(error).startswith("Docker") else notices.AWS
        present, self._last_trouble = self.trouble, asyncio.get_running_loop().time()
        since = present.since if present is not None and present.what == what else self._clock.now()
        self._trouble = Waiting(what, since, last_error=str(error))

    # --- Its cancellation ---------------------------------------------------------------------------------------

    @property
    def stop_reason(self) -> str | None:
        """Why it goes no further: somebody has cancelled it in time. None: it goes on."""
        if self.record.cancelled is None or self.giving_up or too_late(self.record) is not None:
            return None
        cancellation = Cancellation.parse(self.record.cancelled)
        return steering.cancelled(cancellation, unchanged=self.record.step in {None, "plan"})

    async def cancel(self, cancellation: Cancellation) -> str | None:
        """Let it go no further: its flow writes nothing more, and what waits is interrupted. Why not; None: it is so.

        Between the look at how far it has come and the write no other write comes: whichever is first counts.
        """
        async with self._saving:
            reason = refusal(self.record)
            if reason is not None or self.record.cancelled is not None:
                return reason
            await self._save({"cancelled": cancellation.document(self._clock.now())})
        self.interruption.interrupt()
        return None

    # --- What is written ----------------------------------------------------------------------------------------

    @property
    def unwritten(self) -> bool:
        """Whether the record shows another wait than there is, or notices that Alertmanager has taken."""
        if self.ended or self._in_doubt:
            return False
        waiting, written = self.waiting, Waiting.parse(self.record.waiting_for)
        if waiting is None:
            changed = self.record.waiting_for is not None
        else:
            lasts = (self._clock.now() - waiting.since).total_seconds() >= SETTLED_SECONDS
            changed = lasts and waiting.differs(written)
        return changed or len(self._outbox.pending(self.id)) < len(self.record.notices)

    async def write(self) -> None:
        """Write down what is unwritten. Raises Unavailable, Refused."""
        async with self._saving:
            if self.unwritten:
                await self._save({})

    def note(self, **changes: Any) -> None:
        """Change the record here; its next write takes that along."""
        self.record = self.record.but(**changes)

    async def save(self, *, plan: Document | None = None, **changes: Any) -> None:
        """Write changes of the record into the journal.

        Raises Overtaken where an earlier write, whose answer was lost, was done after all: the request goes on from
        that.
        """
        if plan is not None:
            changes["plan"] = plan.document()
        async with self._saving:
            self.interruption.check()
            await self._save(changes)

    async def _save(self, changes: dict[str, Any]) -> None:
        pending = tuple(alert.document() for alert in self._outbox.pending(self.id))
        record = self.record.but(**changes, notices=pending)
        waiting = None if record.state.ended else self.waiting
        doubt, self._in_doubt = self._in_doubt, True
        try:
            self.record = await self._journal.save(
                record.but(waiting_for=None if waiting is None else waiting.document())
            )
        except Overtaken as earlier:
            self.record = earlier.record
            doubt = False
            raise
        except Unavailable:
            doubt = True
            raise
        else:
            doubt = False
        finally:
            self._in_doubt = doubt

    async def enter(
        self,
        step: str,
        *,
        through: str | None = None,
        plan: Document | None = None,
        waits: str | None = None,
        seconds: float | None = None,
        **changes: Any,
    ) -> None:
        """Close the present step and begin another, in one write. `waits`: what for, and how long, from its start.

        `through`: a step that took no time worth a write of its own lies between them.
        """
        now = self._clock.now()
        self.works()
        if waits is not None:
            self.waits(waits, seconds=seconds)
        between = () if through is None else (Step(through, now, now),)
        steps = (*_closed(self.record.steps, now), *between, Step(step, now))
        started = self.record.started_at or now
        await self.save(step=step, steps=steps, state=State.RUNNING, started_at=started, plan=plan, **changes)
        until = None if self._waiting is None else self._waiting.until
        log.info("step_entered", request=self.id, step=step, waiting_for=waits, deadline=until)

    async def end(self, state: State, message: str, *alerts: Alert, **changes: Any) -> None:
        """The outcome: offered to people first, for a short time, then written down, with changes of the record."""
        self.interruption.check()
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
            **changes,
        )
        self._outbox.say(self)
        tell = log.error if state is State.FAILED else log.info
        tell("request_ended", request=self.id, action=self.record.action, state=str(state), message=message)

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

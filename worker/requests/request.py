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
from worker.requests import steering
from worker.requests.interruption import Interruption
from worker.requests.notices import signed
from worker.requests.outbox import OFFERED_FOR, Outbox, parsed
from worker.requests.waits import Waiting, Waits

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
        self._in_doubt = False
        """Whether a write may have been done whose answer never came: the next one has to be the flow's own."""
        self.giving_up = False
        """Whether its flow brings it to its end already: then a cancellation changes nothing more."""
        self.interruption = Interruption(lambda: self.stop_reason)
        self.waits = Waits(record.waiting_for, clock)
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
        return None if self.ended else self.waits.present

    @contextmanager
    def waiting_for(self, what: str, *, seconds: float | None = None, since: datetime | None = None) -> Iterator[None]:
        """It waits in this block, unless it is cancelled; a wait around it goes on behind it. Raises Cancelled."""
        with self.waits.within(what, seconds=seconds, since=since), self.interruption.possible():
            yield

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
        changed = self.waits.differ_from(self.record.waiting_for)
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
        self.waits.end()
        if waits is not None:
            self.waits.begin(waits, seconds=seconds)
        between = () if through is None else (Step(through, now, now),)
        steps = (*_closed(self.record.steps, now), *between, Step(step, now))
        started = self.record.started_at or now
        await self.save(step=step, steps=steps, state=State.RUNNING, started_at=started, plan=plan, **changes)
        log.info("step_entered", request=self.id, step=step, waiting_for=waits, deadline=self.waits.until)

    async def end(self, state: State, message: str, *alerts: Alert, **changes: Any) -> None:
        """The outcome: offered to people first, for a short time, then written down, with changes of the record."""
        self.interruption.check()
        self.say(*alerts)
        await self._outbox.flushed(self.id, OFFER_SECONDS)
        now, told = self._clock.now(), not self._outbox.pending(self.id)
        try:
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
        except Overtaken:
            if not self.ended:
                raise  # otherwise an end was written before, and its answer was lost
        self._outbox.say(self)
        ended = self.record
        tell = log.error if ended.state is State.FAILED else log.info
        tell("request_ended", request=self.id, action=ended.action, state=str(ended.state), message=ended.message)

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

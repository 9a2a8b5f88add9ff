"""Passes: one rescheduling serves all scale-ups whose nodes were Ready before it began.

A burst of scale-ups makes its nodes Ready within moments of each other. Each request joins the pass that has not
begun yet; the first to join leads it, and waits a moment for the others. A pass that has begun is closed: who comes
later needs another, for its nodes were not there when Swarm placed the tasks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from worker.job import Job
from worker.reschedule import DRAGS_SECONDS, Outcome, Pass, Rescheduler
from worker.term import Term

GATHER_SECONDS = 0.6
"""How long a pass waits for the next of the scale-ups that are still waiting for their nodes."""
GATHER_MOST_SECONDS = 2.0
"""How long it waits for all of them: on a slow machine the nodes of a burst come with gaps between them."""


@dataclass(slots=True, eq=False)
class _Party:
    """The requests that one pass serves."""

    done: asyncio.Future[Outcome]
    work: Pass | None = None
    jobs: list[Job] = field(default_factory=list)


class Passes:
    """The passes of a term, one after the other."""

    def __init__(self, term: Term, rescheduler: Rescheduler, still_waiting: Callable[[], bool]) -> None:
        self._term = term
        self._rescheduler = rescheduler
        self._still_waiting = still_waiting
        self._open: list[_Party] = []
        self._joined = asyncio.Event()
        self._running = asyncio.Lock()

    async def serve(self, job: Job) -> Outcome:
        """Take part in a pass to its end. Safe to repeat: a pass that the record names is taken up again."""
        party = self._join(job)
        if party.jobs[0] is job:
            await self._lead(party)
        with self._term.pulse.resting(job.id):
            return await asyncio.shield(party.done)

    def _join(self, job: Job) -> _Party:
        journaled = job.plan.get("reschedule")
        work = Pass.parse(journaled) if journaled else None
        party = next((party for party in self._open if party.work == work), None)
        if party is None:
            party = _Party(asyncio.get_running_loop().create_future(), work)
            self._open.append(party)
        party.jobs.append(job)
        self._joined.set()
        return party

    async def _lead(self, party: _Party) -> None:
        try:
            with self._term.pulse.resting(party.jobs[0].id):
                async with self._turn():
                    await self._gather(party)
                    self._open.remove(party)
                    party.done.set_result(await self._run(party))
        except BaseException as error:
            self._close(party, error)
            raise

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """After the pass that runs, unless it drags on: its stuck services must not hold up all others."""
        mine = True
        try:
            async with asyncio.timeout(DRAGS_SECONDS):
                await self._running.acquire()
        except TimeoutError:
            mine = False
        try:
            yield
        finally:
            if mine:
                self._running.release()

    async def _gather(self, party: _Party) -> None:
        if party.work is not None:
            return
        try:
            async with asyncio.timeout(GATHER_MOST_SECONDS):
                while self._still_waiting():
                    self._joined.clear()
                    async with asyncio.timeout(GATHER_SECONDS):
                        await self._joined.wait()
        except TimeoutError:
            return

    async def _run(self, party: _Party) -> Outcome:
        services = await self._rescheduler.labelled()
        work = party.work or self._rescheduler.new_pass(party.jobs[0].id, services)
        for job in party.jobs:
            await job.note(reschedule=work.document())
        return await self._rescheduler.run(work, services)

    def _close(self, party: _Party, error: BaseException) -> None:
        """The others of the party fail like its leader, and come again."""
        if party in self._open:
            self._open.remove(party)
        if isinstance(error, Exception):
            party.done.set_exception(error)
            party.done.exception()  # its leader raises it; nobody else may have come
        else:
            party.done.cancel()

"""The executor: all open requests of this cluster, each worked on by its flow, in the order that the lanes allow.

Node scales share a lane. What stands at its head begins when nothing runs, or when it is a scale-up that may join the
scale-ups of its type that are waiting for their nodes already. Requests about services have no lane to wait in: they
only take turns at one and the same service. Here is also the one place where the errors of a flow become a verdict.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from shared.alertmanager import Alert
from shared.errors import Refused, Unavailable
from shared.records import Record, State
from worker.contain import contained
from worker.errors import GaveUp
from worker.job import Job
from worker.metrics import Metrics
from worker.outbox import Outbox
from worker.passes import Passes
from worker.planning import Planning
from worker.reschedule import Rescheduler
from worker.scale_down import ScaleDown
from worker.scale_up import ScaleUp
from worker.service_reschedule import Reschedule
from worker.service_scale import ScaleService
from worker.term import TICK_SECONDS, Term

log = structlog.get_logger()

SWEEP_SECONDS = 60.0
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0)
REMEMBERED = 1000
"""So many settled requests are still known: more than can settle while one answer of the journal is on its way."""
_EXPECTED = (GaveUp, Refused, Unavailable)
_GATHERED = {"wait", "reschedule"}
"""Steps of a scale-up in which others of its type may join."""


class Flow(Protocol):
    """How one kind of request is done."""

    async def step(self, job: Job) -> None:
        """Do the present step. Raises Unavailable (come again), Refused or GaveUp (end it)."""
        ...

    async def give_up(self, job: Job, reason: str) -> None:
        """Bring a job that cannot go on nearer to its end."""
        ...

    def patience(self, job: Job) -> timedelta:
        """How long the present step may go on being Unavailable."""
        ...


class Executor:
    """Works on records for one term."""

    def __init__(self, term: Term, outbox: Outbox, metrics: Metrics) -> None:
        self._term = term
        self._outbox = outbox
        self._metrics = metrics
        self._jobs: dict[str, Job] = {}
        self._lane: list[Job] = []
        self._running: list[Job] = []
        self._forgotten: deque[str] = deque(maxlen=REMEMBERED)
        self._changed = asyncio.Event()
        self._stray = asyncio.Event()
        self._claimed = asyncio.Event()
        planning, rescheduler = Planning(term), Rescheduler(term)
        passes = Passes(term, rescheduler, self._some_wait)
        self._up = ScaleUp(term, planning, passes, lambda: self._running)
        self._down = ScaleDown(term, planning)
        self._services = ScaleService(term)
        self._reschedules = Reschedule(term, rescheduler)

    async def run(self) -> None:
        """Work until cancelled. Raises TermOver."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            tasks.create_task(self._lead(tasks))

    # --- records come in ----------------------------------------------------------------------------------------

    def take(self, record: Record, *, known: bool) -> None:
        """A record from the intake. One with another token, a stale worker's, is claimed by the next sweep."""
        if record.state.ended and not known:
            self._metrics.ended(record)
        if record.settled or self._knows(record.id):
            return
        if record.token != self._term.token:
            self._stray.set()
            return
        self._add(record)

    def reject(self, alert: Alert) -> None:
        """A message was dead-lettered."""
        self._metrics.dead_letters.inc()
        self._outbox.offer(alert)

    def forget(self, job: Job) -> None:
        """A job is settled: nothing is left to do for it."""
        if self._jobs.pop(job.id, None) is not None:
            self._forgotten.append(job.id)

    def oldest_age(self) -> timedelta:
        """How long ago the oldest of the requests in hand was made that have not ended; zero without one."""
        now = self._term.clock.now()
        ages = [now - job.record.requested_at for job in self._jobs.values() if not job.record.state.ended]
        return max([timedelta(), *ages])

    def _knows(self, request_id: str) -> bool:
        """It is in hand, or was until just now: an answer about it may be older than its end."""
        return request_id in self._jobs or request_id in self._forgotten

    def _add(self, record: Record) -> None:
        job = Job(record, self._term.journal, self._outbox, self._term.clock)
        self._jobs[job.id] = job
        if record.state.ended:
            self._outbox.add(job)  # only its notices are left
            return
        if job.notices:
            self._outbox.add(job)
        self._lane.append(job)
        self._lane.sort(key=_order)
        self._changed.set()

    async def _sweep(self) -> None:
        """Claim what is open: at once, then now and then, for a stale worker may put a record down late."""
        while True:
            try:
                for record in await self._term.journal.open():
                    if not self._knows(record.id):
                        await self._claim(record)
            except (Unavailable, Refused) as error:
                log.warning("open_records_unavailable", error=str(error))
                await asyncio.sleep(PAUSES_SECONDS[1])
                continue
            self._claimed.set()
            await self._until(self._stray, SWEEP_SECONDS)

    async def _claim(self, record: Record) -> None:
        claimed = await self._term.journal.claim(record.id, self._term.token)
        if claimed is not None and not claimed.settled and not self._knows(claimed.id):
            log.info("request_claimed", request=claimed.id, state=str(claimed.state), step=claimed.step)
            self._add(claimed)

    # --- lanes --------------------------------------------------------------------------------------------------

    async def _lead(self, tasks: asyncio.TaskGroup) -> None:
        """Start what may start, whenever something has changed; nothing new before all that had begun is in hand."""
        await self._claimed.wait()
        with self._term.pulse.watched("executor"):
            while True:
                self._changed.clear()
                for job in self._startable():
                    self._lane.remove(job)
                    self._running.append(job)
                    tasks.create_task(self._work(job), name=f"request {job.id}")
                await self._until(self._changed, TICK_SECONDS)
                self._term.pulse.beat("executor")

    def _startable(self) -> Sequence[Job]:
        services = self._whose_turn_it_is()
        head = next((job for job in self._lane if _is_node_scale(job)), None)
        running = [job for job in self._running if _is_node_scale(job)]
        return [*services, head] if head is not None and _may_begin(head, running) else services

    def _whose_turn_it_is(self) -> list[Job]:
        """Requests about services: all but those about a service that an older one is about."""
        busy = {job.record.service for job in self._running if not _is_node_scale(job)}
        found = []
        for job in self._lane:
            if not _is_node_scale(job) and (job.record.service is None or job.record.service not in busy):
                found.append(job)
                busy.add(job.record.service)
        return found

    def _some_wait(self) -> bool:
        """Scale-ups are still on their way to the nodes that others have got already."""
        ups = [job for job in (*self._running, *self._lane) if job.record.scale == "up" and _is_node_scale(job)]
        return any(job.record.step in {None, "plan", "apply", "wait"} for job in ups)

    # --- one job ------------------------------------------------------------------------------------------------

    async def _work(self, job: Job) -> None:
        try:
            with self._term.pulse.watched(job.id), structlog.contextvars.bound_contextvars(request=job.id):
                await self._to_its_end(job)
        finally:
            self._running.remove(job)
            self._changed.set()
        self._metrics.ended(job.record)
        if job.record.settled:
            self.forget(job)

    async def _to_its_end(self, job: Job) -> None:
        """Step by step; the error of a step is a verdict, which is brought about like a step."""
        flow, verdict, failures = self._flow(job), _Verdict(), 0
        while not job.record.state.ended:
            self._term.pulse.beat(job.id)
            self._changed.set()
            failures += 1  # until it has succeeded
            try:
                with contained("request_failed_unexpectedly", verdict.unexpected, expected=_EXPECTED):
                    await (flow.step(job) if verdict.reason is None else self._execute(flow, job, verdict))
                    failures = 0
            except (GaveUp, Refused) as error:
                failures = failures if verdict.reason else 0
                verdict.reason = str(error)
            except Unavailable as error:
                self._judge_patience(flow, job, verdict, error)
            if failures:
                await asyncio.sleep(PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS)) - 1])

    async def _execute(self, flow: Flow, job: Job, verdict: "_Verdict") -> None:
        await flow.give_up(job, str(verdict.reason))
        verdict.reason = None

    def _judge_patience(self, flow: Flow, job: Job, verdict: "_Verdict", error: Unavailable) -> None:
        log.warning("step_unavailable", step=job.record.step, error=str(error))
        self._term.watch.suspect()
        if not job.record.steps or verdict.reason is not None:
            return
        began = job.record.steps[-1].started_at
        if self._term.countdown(began, flow.patience(job)).over:
            verdict.reason = f"{error}. It was tried for {flow.patience(job).total_seconds():.0f} seconds"

    def _flow(self, job: Job) -> Flow:
        match job.record.action, job.record.scale:
            case "scale-nodes", "up":
                return self._up
            case "scale-nodes", _:
                return self._down
            case "scale-service", _:
                return self._services
            case _:
                return self._reschedules

    @staticmethod
    async def _until(event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()


class _Verdict:
    """Why a job must not go on, once that is known."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def unexpected(self, error: Exception) -> None:
        """A fault of ours: the request ends, and says where to look."""
        self.reason = f"An unexpected error ended it ({type(error).__name__}: {error}); see the worker's log"


def _is_node_scale(job: Job) -> bool:
    return job.record.action == "scale-nodes"


def _may_begin(head: Job, running: Iterable[Job]) -> bool:
    """Alone, or as a scale-up beside those of its type that wait for their nodes."""
    return all(
        (head.record.scale, head.record.type) == ("up", other.record.type)
        and other.record.scale == "up"
        and other.record.step in _GATHERED
        for other in running
    )


def _order(job: Job) -> tuple[bool, object, str]:
    """What had begun already goes on first; then the oldest."""
    queued = job.record.state == State.QUEUED
    return queued, job.record.started_at or job.record.requested_at, job.id

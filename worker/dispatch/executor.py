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
from worker.errors import GaveUp, error_boundary
from worker.flows.batch import Batches
from worker.flows.down import ScaleDown
from worker.flows.planning import Planning
from worker.flows.replicas import ScaleService
from worker.flows.reschedule import Reschedule
from worker.flows.rollout import Rescheduler
from worker.flows.up import ScaleUp
from worker.leadership.period import TICK_SECONDS, Leadership
from worker.metrics import Metrics
from worker.requests.outbox import Outbox
from worker.requests.request import OpenRequest

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

    async def step(self, request: OpenRequest) -> None:
        """Do the present step. Raises Unavailable (come again), Refused or GaveUp (end it)."""
        ...

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """Bring a job that cannot go on nearer to its end."""
        ...

    def retry_budget(self, request: OpenRequest) -> timedelta:
        """How long the present step may go on being Unavailable."""
        ...


class Executor:
    """Works on records for one leadership."""

    def __init__(self, leadership: Leadership, outbox: Outbox, metrics: Metrics) -> None:
        self._leadership = leadership
        self._outbox = outbox
        self._metrics = metrics
        self._requests: dict[str, OpenRequest] = {}
        self._lane: list[OpenRequest] = []
        self._running: list[OpenRequest] = []
        self._forgotten: deque[str] = deque(maxlen=REMEMBERED)
        self._changed = asyncio.Event()
        self._stray = asyncio.Event()
        self._claimed = asyncio.Event()
        planning, rescheduler = Planning(leadership), Rescheduler(leadership)
        batches = Batches(leadership, rescheduler, self._ups_underway)
        self._up = ScaleUp(leadership, planning, batches, lambda: self._running)
        self._down = ScaleDown(leadership, planning)
        self._services = ScaleService(leadership)
        self._reschedules = Reschedule(leadership, rescheduler)

    async def run(self) -> None:
        """Work until cancelled. Raises LeadershipOver."""
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
        if record.token != self._leadership.token:
            self._stray.set()
            return
        self._add(record)

    def reject(self, alert: Alert) -> None:
        """A message was dead-lettered."""
        self._metrics.dead_letters.inc()
        self._outbox.offer(alert)

    def forget(self, request: OpenRequest) -> None:
        """A request is settled: nothing is left to do for it."""
        if self._requests.pop(request.id, None) is not None:
            self._forgotten.append(request.id)

    def oldest_age(self) -> timedelta:
        """How long ago the oldest of the requests in hand was made that have not ended; zero without one."""
        now = self._leadership.clock.now()
        ages = [
            now - request.record.requested_at for request in self._requests.values() if not request.record.state.ended
        ]
        return max([timedelta(), *ages])

    def _knows(self, request_id: str) -> bool:
        """It is in hand, or was until just now: an answer about it may be older than its end."""
        return request_id in self._requests or request_id in self._forgotten

    def _add(self, record: Record) -> None:
        request = OpenRequest(record, self._leadership.journal, self._outbox, self._leadership.clock)
        self._requests[request.id] = request
        if record.state.ended:
            self._outbox.add(request)  # only its notices are left
            return
        if request.notices:
            self._outbox.add(request)
        self._lane.append(request)
        self._lane.sort(key=_order)
        self._changed.set()

    async def _sweep(self) -> None:
        """Claim what is open: at once, then now and then, for a stale worker may put a record down late."""
        while True:
            try:
                for record in await self._leadership.journal.open():
                    if not self._knows(record.id):
                        await self._claim(record)
            except (Unavailable, Refused) as error:
                log.warning("open_records_unavailable", error=str(error))
                await asyncio.sleep(PAUSES_SECONDS[1])
                continue
            self._claimed.set()
            await self._until(self._stray, SWEEP_SECONDS)

    async def _claim(self, record: Record) -> None:
        claimed = await self._leadership.journal.claim(record.id, self._leadership.token)
        if claimed is not None and not claimed.settled and not self._knows(claimed.id):
            log.info("request_claimed", request=claimed.id, state=str(claimed.state), step=claimed.step)
            self._add(claimed)

    # --- lanes --------------------------------------------------------------------------------------------------

    async def _lead(self, tasks: asyncio.TaskGroup) -> None:
        """Start what may start, whenever something has changed; nothing new before all that had begun is in hand."""
        await self._claimed.wait()
        with self._leadership.watchdog.watching("executor"):
            while True:
                self._changed.clear()
                for request in self._startable():
                    self._lane.remove(request)
                    self._running.append(request)
                    tasks.create_task(self._work(request), name=f"request {request.id}")
                await self._until(self._changed, TICK_SECONDS)
                self._leadership.watchdog.heartbeat("executor")

    def _startable(self) -> Sequence[OpenRequest]:
        services = self._whose_turn_it_is()
        head = next((request for request in self._lane if _is_node_scale(request)), None)
        running = [request for request in self._running if _is_node_scale(request)]
        return [*services, head] if head is not None and _may_begin(head, running) else services

    def _whose_turn_it_is(self) -> list[OpenRequest]:
        """Requests about services: all but those about a service that an older one is about."""
        busy = {request.record.service for request in self._running if not _is_node_scale(request)}
        found = []
        for request in self._lane:
            if not _is_node_scale(request) and (request.record.service is None or request.record.service not in busy):
                found.append(request)
                busy.add(request.record.service)
        return found

    def _ups_underway(self) -> bool:
        """Scale-ups are still on their way to the nodes that others have got already."""
        ups = [
            request
            for request in (*self._running, *self._lane)
            if request.record.scale == "up" and _is_node_scale(request)
        ]
        return any(request.record.step in {None, "plan", "apply", "wait"} for request in ups)

    # --- one job ------------------------------------------------------------------------------------------------

    async def _work(self, request: OpenRequest) -> None:
        try:
            with (
                self._leadership.watchdog.watching(request.id),
                structlog.contextvars.bound_contextvars(request=request.id),
            ):
                await self._to_its_end(request)
        finally:
            self._running.remove(request)
            self._changed.set()
        self._metrics.ended(request.record)
        if request.record.settled:
            self.forget(request)

    async def _to_its_end(self, request: OpenRequest) -> None:
        """Step by step; the error of a step is a verdict, which is brought about like a step."""
        flow, verdict, failures = self._flow(request), _Verdict(), 0
        while not request.record.state.ended:
            self._leadership.watchdog.heartbeat(request.id)
            self._changed.set()
            failures += 1  # until it has succeeded
            try:
                with error_boundary("request_failed_unexpectedly", verdict.unexpected, expected=_EXPECTED):
                    await (flow.step(request) if verdict.reason is None else self._execute(flow, request, verdict))
                    failures = 0
            except (GaveUp, Refused) as error:
                failures = failures if verdict.reason else 0
                verdict.reason = str(error)
            except Unavailable as error:
                self._judge_patience(flow, request, verdict, error)
            if failures:
                await asyncio.sleep(PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS)) - 1])

    async def _execute(self, flow: Flow, request: OpenRequest, verdict: "_Verdict") -> None:
        await flow.give_up(request, str(verdict.reason))
        verdict.reason = None

    def _judge_patience(self, flow: Flow, request: OpenRequest, verdict: "_Verdict", error: Unavailable) -> None:
        log.warning("step_unavailable", step=request.record.step, error=str(error))
        self._leadership.events.check_now()
        if not request.record.steps or verdict.reason is not None:
            return
        began = request.record.steps[-1].started_at
        if self._leadership.deadline(began, flow.retry_budget(request)).passed:
            verdict.reason = f"{error}. It was tried for {flow.retry_budget(request).total_seconds():.0f} seconds"

    def _flow(self, request: OpenRequest) -> Flow:
        match request.record.action, request.record.scale:
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


def _is_node_scale(request: OpenRequest) -> bool:
    return request.record.action == "scale-nodes"


def _may_begin(head: OpenRequest, running: Iterable[OpenRequest]) -> bool:
    """Alone, or as a scale-up beside those of its type that wait for their nodes."""
    return all(
        (head.record.scale, head.record.type) == ("up", other.record.type)
        and other.record.scale == "up"
        and other.record.step in _GATHERED
        for other in running
    )


def _order(request: OpenRequest) -> tuple[bool, object, str]:
    """What had begun already goes on first; then the oldest."""
    queued = request.record.state == State.QUEUED
    return queued, request.record.started_at or request.record.requested_at, request.id

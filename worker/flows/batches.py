"""Batches: one rollout serves all scale-ups whose nodes were Ready before it began.

A burst of scale-ups makes its nodes Ready within moments of each other. Each request joins the batch whose rollout has
not begun yet; the first to join leads it, and waits a moment for the others. A batch whose rollout has begun is closed:
who comes later needs another, for its nodes did not exist when Swarm placed the tasks.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

from worker.flows.rollout import SLOW_SECONDS, Rescheduler, RolloutResult
from worker.leadership.period import Leadership
from worker.requests import wording
from worker.requests.open_requests import OpenRequests
from worker.requests.plans import Rollout, UpPlan
from worker.requests.request import OpenRequest

GATHER_SECONDS = 0.6
"""How long a batch waits for the next of the scale-ups that are still waiting for their nodes."""
GATHER_MOST_SECONDS = 2.0
"""How long it waits for all of them."""
CLOSE_MOST = timedelta(seconds=15)
"""The longest that it waits for siblings that were raised with it: on a slow machine their nodes come with gaps between
them, and a second rescheduling costs more than the wait."""
_UNDERWAY = frozenset({None, "plan", "apply", "wait"})
"""Steps of a scale-up whose nodes are not Ready yet."""


@dataclass(slots=True, eq=False)
class _Batch:
    """The requests that one rollout serves."""

    done: asyncio.Future[RolloutResult]
    rollout: Rollout | None = None
    requests: list[OpenRequest] = field(default_factory=list)


class Batches:
    """The batches of a leadership period, one after the other."""

    def __init__(self, leadership: Leadership, rescheduler: Rescheduler, requests: OpenRequests) -> None:
        self._leadership = leadership
        self._rescheduler = rescheduler
        self._requests = requests
        self._open: list[_Batch] = []
        self._joined = asyncio.Event()
        self._running = asyncio.Lock()

    async def serve(self, request: OpenRequest) -> RolloutResult:
        """Take part in a rollout to its end. Safe to repeat: a rollout that the record names is taken up again."""
        batch = self._join(request)
        if batch.requests[0] is request:
            await self._lead(batch)
        with self._leadership.watchdog.suspended(request.id):
            return await asyncio.shield(batch.done)

    def _join(self, request: OpenRequest) -> _Batch:
        rollout = UpPlan.parse(request.record.plan).rollout
        batch = next((batch for batch in self._open if batch.rollout == rollout), None)
        if batch is None:
            batch = _Batch(asyncio.get_running_loop().create_future(), rollout)
            self._open.append(batch)
        batch.requests.append(request)
        self._joined.set()
        return batch

    async def _lead(self, batch: _Batch) -> None:
        try:
            with self._leadership.watchdog.suspended(batch.requests[0].id):
                async with self._turn():
                    await self._gather(batch)
                    self._open.remove(batch)
                    batch.done.set_result(await self._run(batch))
        except BaseException as error:
            self._close(batch, error)
            raise

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """After the rollout that runs, unless it is slow: its stuck services must not hold up all others."""
        mine = True
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                await self._running.acquire()
        except TimeoutError:
            mine = False
        try:
            yield
        finally:
            if mine:
                self._running.release()

    async def _gather(self, batch: _Batch) -> None:
        """Wait for siblings: those that boot and are close for the whole of their time, others a moment each."""
        if batch.rollout is not None:
            return
        loop, first = asyncio.get_running_loop(), batch.requests[0]
        began, patience = loop.time(), self._patience(first)
        while others := self._underway():
            close = [each for each in others if self._is_close(each, first, patience)]
            left = (patience.total_seconds() if close else GATHER_MOST_SECONDS) - (loop.time() - began)
            if left <= 0 or not await self._next_joins(first, len(close), left):
                return

    async def _next_joins(self, first: OpenRequest, close: int, left: float) -> bool:
        """Whether another scale-up joins in time."""
        self._joined.clear()
        what = f"the nodes of {wording.count(close, 'scale-up')} that boot beside it, to be rescheduled together"
        with first.waiting_for(what, seconds=left) if close else nullcontext():
            try:
                async with asyncio.timeout(left if close else min(left, GATHER_SECONDS)):
                    await self._joined.wait()
            except TimeoutError:
                return False
        return True

    def _underway(self) -> list[OpenRequest]:
        """The scale-ups that still wait for their nodes."""
        ups = (*self._requests.scale_ups("worker"), *self._requests.scale_ups("manager"))
        return [request for request in ups if request.record.step in _UNDERWAY]

    @staticmethod
    def _patience(first: OpenRequest) -> timedelta:
        """How long nodes may come later than those of the first: half of what these took, within bounds."""
        raised = UpPlan.parse(first.record.plan).applied_at
        took = timedelta(0) if raised is None else first.entered("reschedule") - raised
        return min(max(took / 2, timedelta(seconds=GATHER_MOST_SECONDS)), CLOSE_MOST)

    @staticmethod
    def _is_close(sibling: OpenRequest, first: OpenRequest, patience: timedelta) -> bool:
        """Whether its instances are known to boot, and were asked for about when the first's were."""
        own, other = UpPlan.parse(first.record.plan).applied_at, UpPlan.parse(sibling.record.plan)
        if sibling.record.step != "wait" or other.launch_failure or own is None or other.applied_at is None:
            return False
        return other.applied_at - own <= patience

    async def _run(self, batch: _Batch) -> RolloutResult:
        selection = await self._rescheduler.labelled()
        rollout = batch.rollout or self._rescheduler.plan_rollout(batch.requests[0].id, selection.services)
        for request in batch.requests:
            await request.save(plan=UpPlan.parse(request.record.plan).but(rollout=rollout))
        return await self._rescheduler.run(rollout, selection, batch.requests)

    def _close(self, batch: _Batch, error: BaseException) -> None:
        """The others of the batch fail like its leader, and come again."""
        if batch in self._open:
            self._open.remove(batch)
        if isinstance(error, Exception):
            batch.done.set_exception(error)
            batch.done.exception()  # its leader raises it; no other request may have joined
        else:
            batch.done.cancel()

"""Batches: one rollout serves all scale-ups whose nodes were Ready before it began.

A burst of scale-ups makes its nodes Ready within moments of each other. Each request joins the batch whose rollout has
not begun yet; the first to join leads it, and waits a moment for the others. A batch whose rollout has begun is closed:
who comes later needs another, for its nodes did not exist when Swarm placed the tasks.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from worker.flows.rollout import SLOW_SECONDS, Rescheduler, RolloutResult
from worker.leadership.period import Leadership
from worker.requests.open_requests import OpenRequests
from worker.requests.plans import Rollout, UpPlan
from worker.requests.request import OpenRequest

GATHER_SECONDS = 0.6
"""How long a batch waits for the next of the scale-ups that are still waiting for their nodes."""
GATHER_MOST_SECONDS = 2.0
"""How long it waits for all of them: on a slow machine the nodes of a burst come with gaps between them."""
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
        if batch.rollout is not None:
            return
        try:
            async with asyncio.timeout(GATHER_MOST_SECONDS):
                while self._scale_ups_underway():
                    self._joined.clear()
                    async with asyncio.timeout(GATHER_SECONDS):
                        await self._joined.wait()
        except TimeoutError:
            return

    def _scale_ups_underway(self) -> bool:
        """Whether some scale-ups still wait for their nodes."""
        ups = (*self._requests.scale_ups("worker"), *self._requests.scale_ups("manager"))
        return any(request.record.step in _UNDERWAY for request in ups)

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

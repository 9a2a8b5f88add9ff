"""The executor: claims the open requests of this cluster, and begins what the lanes allow.

What may begin is `lanes`' business, what becomes of an error `outcomes`', what is done that of the flows.
"""

import asyncio
from contextlib import suppress

import structlog

from shared.errors import Refused, Unavailable
from shared.records import Record
from worker.dispatch.lanes import startable
from worker.dispatch.outcomes import Attempt
from worker.dispatch.upkeep import Upkeep
from worker.flows import Flows
from worker.leadership.period import TICK_SECONDS, Leadership
from worker.metrics import Metrics
from worker.requests.open_requests import OpenRequests
from worker.requests.request import OpenRequest

log = structlog.get_logger()

SWEEP_SECONDS = 60.0
"""How often the journal is read for open records: a stale worker may put one down late."""
RETRY_SECONDS = 1.0


class Executor:
    """Works on open requests for one leadership period."""

    def __init__(self, leadership: Leadership, requests: OpenRequests, metrics: Metrics) -> None:
        self._leadership = leadership
        self._requests = requests
        self._metrics = metrics
        self._flows = Flows(leadership, requests)

    async def run(self) -> None:
        """Work until cancelled. Raises LeadershipOver."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._recall())
            tasks.create_task(self._sweep())
            tasks.create_task(self._dispatch(tasks))
            tasks.create_task(Upkeep(self._requests).run())

    async def _recall(self) -> None:
        """Read early what the first node scale would wait for. Where that fails, it reads it itself."""
        try:
            await self._leadership.pausing.present()
            for kind, pool in self._leadership.pools.items():
                if pool.group:
                    await self._leadership.memory.of(kind)
        except (Unavailable, Refused) as error:
            log.info("memory_not_recalled_yet", error=str(error))

    async def _sweep(self) -> None:
        """Claim what is open: at once, then now and then."""
        while True:
            try:
                for record in await self._leadership.journal.open():
                    if not self._requests.knows(record.id):
                        await self._claim(record)
            except (Unavailable, Refused) as error:
                log.warning("open_records_unavailable", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._requests.claimed.set()
            await _until(self._requests.unclaimed, SWEEP_SECONDS)

    async def _claim(self, record: Record) -> None:
        claimed = await self._leadership.journal.claim(record.id, self._leadership.token)
        if claimed is not None and not claimed.settled and not self._requests.knows(claimed.id):
            log.info("request_claimed", request=claimed.id, state=str(claimed.state), step=claimed.step)
            self._requests.take(claimed)

    async def _dispatch(self, tasks: asyncio.TaskGroup) -> None:
        """Begin what may begin, whenever something has changed. Begin nothing until open requests are claimed."""
        await self._requests.claimed.wait()
        with self._leadership.watchdog.watching("executor"):
            while True:
                self._requests.changed.clear()
                self._requests.forget_settled()
                for request in startable(self._requests.queued, self._requests.running):
                    self._requests.begin(request)
                    tasks.create_task(self._work(request), name=f"request {request.id}")
                await _until(self._requests.changed, TICK_SECONDS)
                self._leadership.watchdog.heartbeat("executor")

    async def _work(self, request: OpenRequest) -> None:
        attempt = Attempt(self._leadership, self._requests, self._flows.of(request.record), request)
        try:
            with (
                self._leadership.watchdog.watching(request.id),
                structlog.contextvars.bound_contextvars(request=request.id),
            ):
                await attempt.run()
        finally:
            self._requests.finish(request)
        self._metrics.ended(request.record)


async def _until(event: asyncio.Event, timeout: float) -> None:
    """Return when the event is set, and clear it; or after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await event.wait()
    event.clear()

"""The watch over the Swarm: one event subscription for all who wait, and the knowledge whether the Swarm is there.

Who waits takes a mark, looks (lists), and then waits for a change since the mark: so nothing falls between the look
and the wait. Events say only that something changed; after a break of the subscription everybody looks again.
"""

import asyncio

import structlog

from shared.errors import Unavailable
from worker.errors import SwarmLost
from worker.ports import Swarm

log = structlog.get_logger()

RETRY_SECONDS = 2.0
SHORTEST_SECONDS = 0.001
"""A wait for a moment that has all but come: a time that is shorter than the clock can tell would be no wait."""


class Watch:
    """Run it for as long as anybody waits."""

    def __init__(self, swarm: Swarm, *, check_seconds: float, patience_seconds: float = 30.0) -> None:
        self._swarm = swarm
        self._check = check_seconds
        self._patience = patience_seconds
        self._count = 0
        self._changed = asyncio.Event()
        self._suspected = asyncio.Event()

    async def run(self) -> None:
        """Keep the subscription up. Raises SwarmLost when the Swarm has been away for too long; never returns."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._subscribe())
            tasks.create_task(self._attend())

    def mark(self) -> int:
        """Take it before looking."""
        return self._count

    async def changed(self, mark: int, seconds: float) -> None:
        """Return when something has changed since the mark, or after some time."""
        if self._count != mark:
            return
        try:
            async with asyncio.timeout(max(seconds, SHORTEST_SECONDS)):
                await self._changed.wait()
        except TimeoutError:
            return

    def suspect(self) -> None:
        """A call to the Swarm has failed: see now whether it is still there."""
        self._suspected.set()

    async def _subscribe(self) -> None:
        while True:
            try:
                async with self._swarm.changes() as changes:
                    self._tell()
                    async for _ in changes:
                        self._tell()
            except Unavailable as error:
                log.warning("swarm_events_unavailable", error=str(error))
            self._tell()
            self.suspect()
            await asyncio.sleep(RETRY_SECONDS)

    async def _attend(self) -> None:
        """Ask the Swarm who it is, now and then, and more often from the first failure on."""
        loop = asyncio.get_running_loop()
        away_since: float | None = None
        while True:
            began = loop.time()
            try:
                await self._swarm.identity()
            except Unavailable as error:
                away_since = began if away_since is None else away_since
                if loop.time() - away_since >= self._patience:
                    raise SwarmLost(str(error)) from error
                log.warning("swarm_unavailable", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                away_since = None
                await self._quiet()

    async def _quiet(self) -> None:
        self._suspected.clear()
        try:
            async with asyncio.timeout(self._check):
                await self._suspected.wait()
        except TimeoutError:
            return

    def _tell(self) -> None:
        self._count += 1
        self._changed.set()
        self._changed = asyncio.Event()

"""Swarm events: one subscription for all who wait, and whether the Swarm still answers.

A flow reads the generation, then lists, then waits for a later generation: no change falls between the list and the
wait. Events say only that something changed; after a break of the subscription everybody lists again.
"""

import asyncio
from contextlib import suppress

import structlog

from shared.errors import Unavailable
from worker.errors import SwarmLost
from worker.ports.swarm import Swarm

log = structlog.get_logger()

LOST_AFTER_SECONDS = 30.0
"""A Swarm that has been away for so long is given up: another worker's socket may answer."""
RETRY_SECONDS = 2.0
SHORTEST_SECONDS = 0.001
"""A wait for a moment that has all but come: a time that is shorter than the clock can tell would be no wait."""


class SwarmEvents:
    """Run it for as long as anybody waits."""

    def __init__(self, swarm: Swarm, *, check_seconds: float, lost_after_seconds: float = LOST_AFTER_SECONDS) -> None:
        self._swarm = swarm
        self._check_seconds = check_seconds
        self._lost_after = lost_after_seconds
        self._generation = 0
        self._changed = asyncio.Event()
        self._check_wanted = asyncio.Event()

    async def run(self) -> None:
        """Keep the subscription up. Raises SwarmLost when the Swarm has been away for too long; never returns."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._subscribe())
            tasks.create_task(self._check())

    @property
    def generation(self) -> int:
        """Rises with every change. Read it before listing."""
        return self._generation

    async def changed(self, generation: int, timeout: float) -> None:
        """Return when the Swarm has changed since that generation, or after so many seconds."""
        if self._generation != generation:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(timeout, SHORTEST_SECONDS)):
                await self._changed.wait()

    def check_now(self) -> None:
        """A call to the Swarm has failed: see now whether it is still there."""
        self._check_wanted.set()

    async def _subscribe(self) -> None:
        while True:
            try:
                async with self._swarm.changes() as changes:
                    self._announce()
                    async for _ in changes:
                        self._announce()
            except Unavailable as error:
                log.warning("swarm_events_unavailable", error=str(error))
            self._announce()
            self.check_now()
            await asyncio.sleep(RETRY_SECONDS)

    async def _check(self) -> None:
        """Ask the Swarm who it is, now and then, and more often from the first failure on."""
        loop = asyncio.get_running_loop()
        away_since: float | None = None
        while True:
            began = loop.time()
            try:
                await self._swarm.identity()
            except Unavailable as error:
                away_since = began if away_since is None else away_since
                if loop.time() - away_since >= self._lost_after:
                    raise SwarmLost(str(error)) from error
                log.warning("swarm_unavailable", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                away_since = None
                await self._until_next_check()

    async def _until_next_check(self) -> None:
        self._check_wanted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._check_seconds):
                await self._check_wanted.wait()

    def _announce(self) -> None:
        self._generation += 1
        self._changed.set()
        self._changed = asyncio.Event()

"""A term: one time of being the active worker, and all that a flow may use while it lasts.

Also the two small things that only make sense within a term: what is remembered of each node type, and countdowns
that go by the wall clock across take-overs but by the event loop's time within one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared.clock import Clock
from shared.messages import Role
from worker.job import Job
from worker.ports import GroupChanges, GroupMemory, Groups, Journal, Swarm, SwarmChanges, SwarmIdentity
from worker.pulse import Pulse
from worker.settings import WorkerSettings
from worker.watch import Watch

TICK_SECONDS = 10.0
"""The longest that a flow waits without looking around and beating its pulse."""


@dataclass(frozen=True, slots=True)
class Term:
    """What flows use. Changes of the outside world go through the fence."""

    token: int
    settings: WorkerSettings
    clock: Clock
    journal: Journal
    groups: Groups
    change_groups: GroupChanges
    swarm: Swarm
    change_swarm: SwarmChanges
    identity: SwarmIdentity
    watch: Watch
    pulse: Pulse
    memory: "Memory"
    service_locks: "ServiceLocks"
    lags: "dict[str, Countdown]" = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    """Instances that were terminated in this term, though a description may still show them."""

    def countdown(self, since: datetime, length: timedelta) -> "Countdown":
        """What is left of a length of time that began at a wall time, perhaps under another worker."""
        gone = self.clock.now() - since
        # A wall clock that stepped back must not lengthen the time, one that stepped ahead cannot be told.
        gone = min(max(gone, timedelta(0)), length)
        now = asyncio.get_running_loop().time()
        return Countdown(began=now - gone.total_seconds(), length=length.total_seconds())

    def lag_of(self, what: str, length: timedelta, *, anew: bool = False) -> "Countdown":
        """How long something may not show yet: counted from the first time in this term that somebody asks."""
        if anew or what not in self.lags:
            self.lags[what] = self.countdown(self.clock.now(), length)
        return self.lags[what]

    @asynccontextmanager
    async def turn(self, name: str, service_id: str) -> AsyncIterator[None]:
        """Alone with a service: one change per service at a time, in the order of asking."""
        lock = self.service_locks.of(service_id)
        with self.pulse.resting(name):
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    async def pause(self, job: Job, mark: int, *seconds: float) -> None:
        """Wait until something has changed since the mark, or the shortest of the times is over; then beat."""
        await self.watch.changed(mark, max(0.0, min(TICK_SECONDS, *seconds)))
        self.pulse.beat(job.id)

    async def rest(self, job: Job, *seconds: float) -> None:
        """Wait for the shortest of the times, whatever happens in the Swarm: its events say nothing about AWS."""
        await asyncio.sleep(max(0.0, min(TICK_SECONDS, *seconds)))
        self.pulse.beat(job.id)


@dataclass(frozen=True, slots=True)
class Countdown:
    """A length of time that runs, by the event loop's clock."""

    began: float
    length: float

    @property
    def gone(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self.began

    @property
    def left(self) -> float:
        """Seconds left, 0 at the end."""
        return max(0.0, self.length - self.gone)

    @property
    def over(self) -> bool:
        """Nothing is left."""
        return self.left <= 0


class Memory:
    """What the journal remembers of each node type, read once a term."""

    def __init__(self, journal: Journal, token: int) -> None:
        self._journal = journal
        self._token = token
        self._known: dict[Role, GroupMemory] = {}
        self._revisions: dict[Role, int] = {}
        self._writing = asyncio.Lock()

    async def of(self, node_type: Role) -> GroupMemory:
        """What is remembered."""
        if node_type not in self._known:
            recalled = await self._journal.recall(node_type, self._token)
            self._known.setdefault(node_type, recalled)  # somebody may have been quicker, and have written since
        return self._known[node_type]

    async def update(self, node_type: Role, **changes: Any) -> None:
        """Change some of it."""
        async with self._writing:
            known = await self.of(node_type)
            self._revisions[node_type] = revision = self._revisions.get(node_type, known.revision) + 1
            memory = replace(known, revision=revision, **changes)
            await self._journal.remember(node_type, memory, self._token)
            self._known[node_type] = memory


@dataclass(slots=True)
class ServiceLocks:
    """One change per service at a time, in the order of asking."""

    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    def of(self, service_id: str) -> asyncio.Lock:
        """The lock of one service."""
        return self._locks.setdefault(service_id, asyncio.Lock())

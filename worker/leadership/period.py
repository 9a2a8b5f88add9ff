"""One leadership period: the time for which this worker is the active one, and all that a flow may use meanwhile.

Changes of the outside world go through the fence. What ends a period, and who begins the next, is left to `lifecycle`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from shared.clock import Clock
from shared.fields import Role
from worker.decisions.pools import NodePool
from worker.leadership.deadline import Deadline
from worker.leadership.memory import Memory
from worker.leadership.pausing import Pausing
from worker.leadership.swarm_events import SHORTEST_SECONDS, SwarmEvents
from worker.leadership.watchdog import Watchdog
from worker.ports.scaling import GroupChanges, Groups
from worker.ports.storage import Journal
from worker.ports.swarm import Swarm, SwarmIdentity
from worker.ports.swarm_changes import SwarmChanges
from worker.settings import WorkerSettings

T = TypeVar("T")

TICK_SECONDS = 10.0
"""The longest time between two looks of a wait, and so between two heartbeats."""


@dataclass(frozen=True, slots=True)
class Leadership:
    """What flows use."""

    token: int
    settings: WorkerSettings
    pools: Mapping[Role, NodePool]
    clock: Clock
    journal: Journal
    groups: Groups
    change_groups: GroupChanges
    swarm: Swarm
    change_swarm: SwarmChanges
    identity: SwarmIdentity
    events: SwarmEvents
    watchdog: Watchdog
    memory: Memory
    pausing: Pausing
    service_locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    """One change per service at a time, in the order of asking."""
    graces: dict[str, Deadline] = field(default_factory=dict)
    terminated: dict[str, int | None] = field(default_factory=dict)
    """Instances that were terminated in this period, though a description may still show them: to which desired
    capacity, by AWS's own word, if it has one."""

    let_go: set[tuple[str, str, str]] = field(default_factory=set)
    """Holds of lifecycle hooks that are over, by group, hook and instance."""
    expected: set[str] = field(default_factory=set)
    """Instances whose joining a request has waited for, and so reschedules onto."""
    overdue: set[str] = field(default_factory=set)
    """Instances that a scale-up has waited for in vain: they go first, however late they came into service."""
    yields: bool = True
    """Whether it is given up where this worker's own node leaves: another worker may be there to go on."""

    def deadline(self, since: datetime, timeout: timedelta) -> Deadline:
        """The moment when a timeout ends that began at a wall time, perhaps under another worker."""
        elapsed = self.clock.now() - since
        # A wall clock that stepped back must not lengthen the time. Undetectable: one that stepped forward.
        elapsed = min(max(elapsed, timedelta(0)), timeout)
        now = asyncio.get_running_loop().time()
        return Deadline(began=now - elapsed.total_seconds(), timeout=timeout.total_seconds())

    def grace(self, what: str, timeout: timedelta, *, anew: bool = False) -> Deadline:
        """How long something may not show yet: counted from the first time in this period that somebody asks."""
        if anew or what not in self.graces:
            self.graces[what] = self.deadline(self.clock.now(), timeout)
        return self.graces[what]

    @asynccontextmanager
    async def turn(self, name: str, service_id: str, within: Deadline | None = None) -> AsyncIterator[None]:
        """Alone with a service: one change per service at a time, in the order of asking.

        Raises TimeoutError where it does not come by the deadline.
        """
        lock = self.service_locks.setdefault(service_id, asyncio.Lock())
        with self.watchdog.suspended(name):
            async with asyncio.timeout(None if within is None else within.remaining):
                await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    async def poll(
        self,
        name: str,
        look: Callable[[], Awaitable[T | None]],
        *,
        every: float | Callable[[], float],
        deadline: Deadline | None = None,
        on_events: bool = True,
    ) -> T | None:
        """Look again and again, until a look answers. None: a look after the deadline had no answer either.

        The next look comes when the Swarm changes, after `every` seconds, or at the deadline, whichever is first, and
        within TICK_SECONDS in any case. `on_events` is False where Swarm events say nothing about what is looked for.
        `name` sends the watchdog a heartbeat before each look.
        """
        while True:
            generation = self.events.generation
            answer = await look()
            if answer is not None:
                return answer
            if deadline is not None and deadline.passed:
                return None
            seconds = every() if callable(every) else every
            left = TICK_SECONDS if deadline is None else deadline.remaining
            seconds = max(SHORTEST_SECONDS, min(TICK_SECONDS, seconds, left))
            await (self.events.changed(generation, seconds) if on_events else asyncio.sleep(seconds))
            self.watchdog.heartbeat(name)

"""Worker processes: the real worker on a loop of its own, which can be killed, stopped and restarted.

A crash is the end of its loop's being run: nothing of it is ever executed again, no `finally` either.
"""

import asyncio
import contextvars
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.simulation.loops import SimulatedLoop
from worker.lifecycle import Worker
from worker.metrics import Metrics

if TYPE_CHECKING:
    from tests.simulation.world import World

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
STOP_SECONDS = 8.0
"""As in worker.process: after so long a stop becomes a hard one."""


class WorldClock:
    """The clock of a machine, of AWS or of a worker. Its wall time may be stepped; its uptime runs on."""

    def __init__(self, time: Callable[[], float], booted: float = 0.0) -> None:
        self._time = time
        self._booted = booted
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """The wall time."""
        return START + timedelta(seconds=self._time()) + self.offset

    def uptime(self) -> float:
        """Seconds since the machine booted."""
        return self._time() + self._booted


class Process:
    """One worker process, from its start to its end."""

    def __init__(self, world: "World", name: str, node_id: str, booted: float) -> None:
        self.world = world
        self.name = name
        self.owner = f"owner-{name}"
        self.node_id = node_id
        self.loop: SimulatedLoop = world.clockwork.loop(name)
        self.clock = WorldClock(lambda: world.clockwork.now, booted)
        self.alive = True
        self.stopping = False
        self.proved_until = float("-inf")
        """So long it has the lease for certain: from before its last renewal was sent."""
        self.over = False
        """The world is over: whatever still runs is being unwound."""
        self.failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run the worker."""
        ports = self.world.ports_of(self)
        context = contextvars.Context()
        worker = context.run(Worker, ports, self.world.settings, self.clock, Metrics(), self.owner)
        self._task = self.loop.create_task(worker.run(), context=context)
        self._task.add_done_callback(self._ended)

    def crash(self) -> None:
        """Never run it again."""
        self.alive = False
        self.loop.asleep = True
        self.world.clockwork.forget(self.loop)

    def pause(self, seconds: float, *, suspended: bool) -> None:
        """Do not run it for a while. Suspended: its loop's time stands still meanwhile, its uptime does not."""
        self.loop.asleep = True
        self.world.loop.call_later(seconds, self._wake, seconds if suspended else 0.0)

    def stop(self) -> None:
        """SIGTERM: as worker.process does it, softly first."""
        assert self._task is not None
        self.stopping = True
        self.loop.call_soon(self._task.cancel)
        self.world.loop.call_later(STOP_SECONDS, self.crash)

    def dispose(self) -> None:
        """After the end of the world."""
        self.over = True
        self.loop.dispose()

    def _wake(self, behind: float) -> None:
        if self.alive:
            self.loop.behind += behind
            self.loop.asleep = False
            self.world.trace.add(self.name, "* wakes up")

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if self.over:
            return
        self.alive = False
        if not task.cancelled():
            self.failure = task.exception() or RuntimeError("the worker returned")
            self.world.trace.add(self.name, "! ended", error=repr(self.failure))

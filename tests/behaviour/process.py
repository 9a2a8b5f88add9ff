"""One worker process and its own view of the ports, which can be held, cut off, or killed with the process."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from shared.errors import Unavailable
from tests.fakes import LoopClock, Scripted
from worker.dispatch.status_writer import TASK
from worker.lifecycle import Worker
from worker.metrics import Metrics


class Killed(BaseException):
    """The process is no more: nothing of it reaches any port."""


class InterceptedPorts(Scripted):
    """What comes between one process and its ports."""

    def __init__(self) -> None:
        super().__init__()
        self.away: set[str] = set()
        """Ports (`journal`) or calls (`journal.save`) that do not answer."""
        self._held: dict[str, asyncio.Event] = {}
        self._dead = asyncio.Event()
        self.waiting: list[str] = []
        """Calls that are being held."""
        self.looks: list[str] = []
        """Calls for the status document alone."""
        self.watchers: list[Callable[[str], None]] = []
        self.latency = 0.0
        """Seconds that each call is on its way."""

    def hold(self, call: str, *, after: bool = False) -> asyncio.Event:
        """These calls wait until the event is set; `after`: once they have taken effect."""
        self._held[f"{call} done" if after else call] = event = asyncio.Event()
        return event

    def kill(self) -> None:
        """kill -9."""
        self._dead.set()

    async def before(self, call: str) -> None:
        """Wait, raise, or let it through. What only looks on for the status document is not what tests intercept."""
        self._live()
        if _looks_on():
            if self.away & {call, call.partition(".")[0]}:
                raise Unavailable(f"{call}: no answer")
            self.looks.append(call)
            return
        if self.latency:
            await asyncio.sleep(self.latency)
        await self._wait(call)
        if self.away & {call, call.partition(".")[0]}:
            self.calls.append(call)
            raise Unavailable(f"{'Docker: ' if call.startswith('swarm') else ''}{call}: no answer")
        for watcher in self.watchers:
            watcher(call)
        self._live()
        await super().before(call)

    async def after(self, call: str) -> None:
        """The same with what has taken effect."""
        self._live()
        if _looks_on():
            return
        await self._wait(f"{call} done")
        for watcher in self.watchers:
            watcher(f"{call} done")
        self._live()
        await super().after(call)

    def _live(self) -> None:
        if self._dead.is_set():
            raise Killed

    async def _wait(self, call: str) -> None:
        event = self._held.get(call)
        if event is None or event.is_set():
            return
        self.waiting.append(call)
        try:
            waits = {asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._dead.wait())}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        finally:
            self.waiting.remove(call)
        self._live()


def _looks_on() -> bool:
    task = asyncio.current_task()
    return task is not None and task.get_name() == TASK


class Clock(LoopClock):
    """One machine's clocks. Its event loop stands still while the machine is suspended, its uptime does not."""

    def __init__(self) -> None:
        super().__init__()
        self._slept = 0.0

    def uptime(self) -> float:
        """Seconds since some moment, suspended ones included."""
        return super().uptime() + self._slept

    def suspended(self, seconds: float) -> None:
        """The machine was suspended for so long."""
        self._slept += seconds
        self.step(timedelta(seconds=seconds))


@dataclass(slots=True)
class Process:
    """One running worker."""

    name: str
    ports: InterceptedPorts
    clock: Clock
    metrics: Metrics
    worker: Worker
    task: "asyncio.Task[None]" = field(init=False)

    def start(self) -> None:
        """Run it."""
        self.task = asyncio.ensure_future(self.worker.run())

    async def stop(self) -> None:
        """As SIGTERM does."""
        self.task.cancel()
        await asyncio.wait([self.task])

    def kill(self) -> None:
        """As SIGKILL does."""
        self.ports.kill()
        self.task.cancel()

    async def close(self) -> None:
        """Leave nothing running."""
        self.kill()
        while not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task], timeout=1)
        if not self.task.cancelled():
            self.task.exception()

    @property
    def active(self) -> bool:
        """It says of itself that it is the active one."""
        return self.metrics.registry.get_sample_value("scaler_active") == 1

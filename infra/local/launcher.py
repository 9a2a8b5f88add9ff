"""The instance launcher: makes a Swarm follow the Auto Scaling groups.

It watches EC2 through the AWS API, which stays the source of truth: an instance of one of the groups becomes
a node after a boot delay, one that shuts down is killed hard. Which machines those are (the simulated Swarm's,
or real Docker engines) is behind `Machines`. It never talks to Auto Scaling, and decides nothing about capacity.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Final

from localstack_client.session import Session

from infra.local.boot_knobs import BootKnobs
from infra.local.living import Changes, Living
from infra.local.machines import BootedInstance, Machines, Role

_log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2


class Launcher:
    """Watches EC2 and boots and kills machines accordingly, until `run` is cancelled."""

    def __init__(
        self,
        session: Session,
        groups: Mapping[str, Role],
        machines: Machines,
        knobs: BootKnobs | None = None,
        changes: Changes | None = None,
    ) -> None:
        """Without `changes` EC2 is asked about all instances all the time."""
        self._living = Living(session, groups, changes)
        self._machines = machines
        self.knobs = knobs or BootKnobs()
        self._known: dict[str, asyncio.Task[None]] = {}

    async def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Follow the groups. What is there at the start boots at once, managers first; then `on_ready` is called."""
        async with asyncio.TaskGroup() as tasks:
            await self._first_round(tasks)
            if on_ready is not None:
                on_ready()
            while True:
                await asyncio.sleep(POLL_SECONDS)
                if await asyncio.to_thread(self._living.look):
                    await self._follow(tasks)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """`run` beside what the caller does, for as long as the context lasts."""
        task = asyncio.create_task(self.run(), name="instance launcher")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _first_round(self, tasks: asyncio.TaskGroup) -> None:
        while not await asyncio.to_thread(self._living.look):  # noqa: ASYNC110 - EC2 calls nobody
            await asyncio.sleep(POLL_SECONDS)
        for instance, role in self._living.instances.values():
            self._known[instance.instance_id] = tasks.create_task(self._boot(instance, role, 0.0))
            await asyncio.wait([self._known[instance.instance_id]])

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        for gone in self._known.keys() - self._living.instances.keys():
            await self._kill(gone)
        for instance, role in self._living.instances.values():
            if instance.instance_id not in self._known:
                delay = self.knobs.for_launch()
                self._known[instance.instance_id] = tasks.create_task(self._boot(instance, role, delay))

    async def _boot(self, instance: BootedInstance, role: Role, delay: float | None) -> None:
        if delay is None:
            return
        await asyncio.sleep(delay)
        if self.knobs.may_join(instance.instance_id):
            with _told("boot", instance.instance_id):
                await self._machines.boot(instance, role)

    async def _kill(self, instance_id: str) -> None:
        boot = self._known.pop(instance_id)
        boot.cancel()
        await asyncio.wait([boot])
        with _told("kill", instance_id):
            await self._machines.kill(instance_id)


@contextlib.contextmanager
def _told(what: str, instance_id: str) -> Iterator[None]:
    """One machine's trouble is its own: it is logged, and the others go on."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever a machine's driver raises
        _log.exception("machine-%s-failed: %s", what, instance_id)

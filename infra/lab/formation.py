"""The machines as the instance launcher drives them: what boots joins the Swarm in the role of its group.

The first manager begins the Swarm; all others join by any manager that lives. What a machine's loss means to the Swarm
is for the Swarm to find out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from infra.lab import network
from infra.lab.engine import EngineClient, EngineError
from infra.lab.image import IMAGE
from infra.lab.machine import Machine
from infra.lab.places import DOCKER_SOCKET
from infra.local.machines import BootedInstance, Role

_log = logging.getLogger(__name__)

_JOIN_SECONDS: Final = 90.0
_AGAIN_SECONDS: Final = 0.3


class RealMachines:
    """See `launcher.Machines`. `on_change` hears that there is one more, or one less."""

    def __init__(
        self, block: IPv4Network, rootfs: bytes, logs: Path, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self.by_name: dict[str, Machine] = {}
        self._block = block
        self._rootfs = rootfs
        self._logs = logs
        self._on_change = on_change
        self._begun = False
        self._beginning = asyncio.Lock()

    @property
    def managers(self) -> list[Machine]:
        """The managers' group's machines that have power, the oldest first."""
        return [machine for machine in self.by_name.values() if machine.role == "manager" and machine.alive]

    async def boot(self, instance: BootedInstance, role: Role) -> None:
        """Returns when it has joined. Raises EngineError, SetUpFailed."""
        machine = Machine(instance, role, self._block, self._logs)
        began = time.monotonic()
        self.by_name[machine.name] = machine
        await machine.power_on()
        async with EngineClient(machine.socket) as engine:
            await engine.load(IMAGE, self._rootfs)
            await self._enter(engine, machine)
        _log.info("machine-booted: %s as %s in %.2f s", machine.name, role, time.monotonic() - began)
        self._changed()

    async def kill(self, instance_id: str) -> None:
        """One that never booted is nobody's loss."""
        for machine in [one for one in self.by_name.values() if one.instance.instance_id == instance_id]:
            await machine.power_off()
            await machine.discard()
            del self.by_name[machine.name]
        self._changed()

    async def lose(self, name: str) -> None:
        """Loss of power, while AWS takes it for running. Raises KeyError."""
        await self.by_name[name].power_off()
        self._changed()

    async def bring_back(self, name: str) -> None:
        """Power again: it boots from its disk, and is the node it was. Raises KeyError, EngineError."""
        if not self.by_name[name].alive:
            await self.by_name[name].power_on()
        self._changed()

    async def cut(self, name: str) -> None:
        """Its link goes down. Raises KeyError."""
        await network.cut(self.by_name[name].address)

    async def mend(self, name: str) -> None:
        """Its link comes up. Raises KeyError."""
        await network.mend(self.by_name[name].address)

    async def close(self) -> None:
        """All of them lose power for good."""
        machines = list(self.by_name.values())
        self.by_name.clear()
        await asyncio.gather(*(machine.power_off() for machine in machines))
        await asyncio.gather(*(machine.discard() for machine in machines))

    async def _enter(self, engine: EngineClient, machine: Machine) -> None:
        async with self._beginning:
            if not self._begun and machine.role == "manager":
                await engine.begin(machine.address)
                self._begun = True
                return
        await self._join(engine, machine)

    async def _join(self, engine: EngineClient, machine: Machine) -> None:
        deadline = time.monotonic() + _JOIN_SECONDS
        while True:
            try:
                await self._try_to_join(engine, machine)
            except EngineError as error:
                if "already part of a swarm" in str(error):
                    return
                if time.monotonic() > deadline:
                    raise
                _log.info("machine-joins-again: %s: %s", machine.name, error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    async def _try_to_join(self, engine: EngineClient, machine: Machine) -> None:
        others = [other for other in self.managers if other is not machine]
        await engine.join(machine.address, [one.address for one in others], await _token(others, machine.role))

    def _changed(self) -> None:
        self._lead_to_a_manager()
        self._on_change()

    def _lead_to_a_manager(self) -> None:
        """`DOCKER_HOST` of `.local/env` stays good whichever manager goes."""
        for manager in self.managers[:1]:
            if DOCKER_SOCKET.is_symlink() and DOCKER_SOCKET.readlink() == manager.socket:
                return
            new = DOCKER_SOCKET.with_suffix(".new")
            new.unlink(missing_ok=True)
            new.symlink_to(manager.socket)
            new.replace(DOCKER_SOCKET)


async def _token(managers: list[Machine], role: Role) -> str:
    """From any manager that gives it. Raises EngineError where none does."""
    for manager in managers:
        async with EngineClient(manager.socket) as engine:
            with suppress(EngineError):
                return await engine.join_token(role)
    raise EngineError("no manager of the Swarm answers")

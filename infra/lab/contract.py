"""`make lab-contract`: the contract tests of a Swarm engine, and of the worker's adapter to it, on real engines.

All of them on the lab's Swarm; those that need a single manager, which skip there, on an engine that is a Swarm alone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from infra.lab import image, packages
from infra.lab.engine import EngineClient
from infra.lab.image import IMAGE
from infra.lab.machine import Machine
from infra.lab.places import DOCKER_SOCKET
from infra.lab.sweep import recalled
from infra.local.machines import BootedInstance

_TESTS: Final = ("tests/scaffolding/contract", "tests/adapters/test_swarm.py")
_ALONE: Final = ("-k", "last_manager")
_LASTING: Final = "sh -c \"trap 'exit 0' TERM; sleep 100000 & wait\""
"""What a task runs that goes on until it is told to stop, and stops at once then."""


async def _run(socket: Path, *more: str) -> int:
    real = {"CONTRACT_DOCKER_HOST": f"unix://{socket}", "CONTRACT_IMAGE": IMAGE, "CONTRACT_COMMAND": _LASTING}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "engine", *_TESTS, *more]
    tests = await asyncio.create_subprocess_exec(*command, env={**os.environ, **real})
    return await tests.wait()


@asynccontextmanager
async def _alone() -> AsyncIterator[Path]:
    """The socket of an engine that is a Swarm of one node, on the lab's bridge."""
    facts = recalled()
    block = IPv4Network(facts["block"])
    address = str(block[-3])  # far from those that AWS gives out, and not the bridge's
    name = f"ip-{address.replace('.', '-')}"
    machine = Machine(
        BootedInstance("i-alone", name, address, "nowhere", "none"), "manager", block, Path(facts["logs"])
    )
    try:
        await machine.power_on()
        async with EngineClient(machine.socket) as engine:
            await engine.load(IMAGE, await image.rootfs(packages.busybox()))
            await engine.begin(address)
        yield machine.socket
    finally:
        await machine.power_off()
        await machine.discard()


async def _contract() -> int:
    among_others = await _run(DOCKER_SOCKET)
    async with _alone() as socket:
        alone = await _run(socket, *_ALONE)
    return among_others or alone


if __name__ == "__main__":
    sys.exit(asyncio.run(_contract()))

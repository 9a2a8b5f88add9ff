"""One machine: an EC2 instance as Linux namespaces of its own (network, host name, mounts, processes) with an engine.

Whatever runs on it, the tasks' containers included, is below its first process: ending that one is a loss of power.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from infra.lab import cgroups, network
from infra.lab.commands import start
from infra.lab.engine import EngineClient
from infra.lab.places import CGROUP, EXPORTER_PORT, MACHINES
from infra.local.children import Child
from infra.local.machines import BootedInstance, Role

_FIRST_PROCESS: Final = Path(__file__).with_name("machine.sh")
# A returning manager first waits for the Swarm to have a leader: 20 s at the most, and an election may take as long.
_READY_SECONDS: Final = 60.0


class Machine:
    """Its disk outlives a loss of power, until `discard`."""

    def __init__(self, instance: BootedInstance, role: Role, block: IPv4Network, logs: Path) -> None:
        self.instance = instance
        self.role = role
        self.folder = MACHINES / instance.hostname
        self._block = block
        self._logs = logs
        self._process: Child | None = None

    @property
    def name(self) -> str:
        """Its host name."""
        return self.instance.hostname

    @property
    def address(self) -> str:
        """Where the others reach it."""
        return self.instance.private_address

    @property
    def socket(self) -> Path:
        """Its engine's."""
        return self.folder / "docker.sock"

    @property
    def alive(self) -> bool:
        """Whether it has power."""
        return self._process is not None and self._process.alive

    async def power_on(self) -> None:
        """Start it, and return when its engine answers. Raises EngineError, SetUpFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "daemon.json").write_text("{}")
        await network.attach(self.name, self.address, self._block)
        self._process = await start(self.name, self._command(), self._logs / f"machine-{self.name}.log", last="KILL")
        async with EngineClient(self.socket) as engine:
            await engine.wait_until_ready(_READY_SECONDS)

    async def power_off(self) -> None:
        """Everything on it ends at once, and nobody reaches it. Returns when that is so."""
        if self._process is not None:
            for pid in await asyncio.to_thread(_first_processes, self._process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not await _ends(self._process):
                self._process.kill()
            await self._process.process.wait()
        await network.detach(self.name, self.address)
        await asyncio.to_thread(cgroups.remove, f"{CGROUP}/{self.name}")

    async def discard(self) -> None:
        """Its disk, too."""
        await asyncio.to_thread(shutil.rmtree, self.folder, True)

    def _command(self) -> list[str]:
        labels = [f"--label={key}={value}" for key, value in self.instance.engine_labels.items()]
        places = [
            str(self.folder),
            str(self._logs),
            self.name,
            self.address,
            str(EXPORTER_PORT),
            f"/{CGROUP}/{self.name}",
        ]
        return [
            *("nsenter", f"--net={network.namespace_path(self.name)}"),
            *("unshare", "--uts", "--ipc", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", str(_FIRST_PROCESS), *places, *labels),
        ]


def _first_processes(parent: int) -> list[int]:
    """Killing it ends its namespace, and `unshare`, its parent, ends when all in there has."""
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except OSError:
        return []


async def _ends(process: Child) -> bool:
    try:
        async with asyncio.timeout(5):
            await process.process.wait()
    except TimeoutError:
        return False
    return True

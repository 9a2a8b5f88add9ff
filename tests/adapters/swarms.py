"""Swarms to test against, and what other people do to them: in memory, simulated behind the API, or real."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from docker import APIClient

from infra.local.engine import SimulatedSwarm, SwarmConfig, serve
from infra.local.engine.identity import Identities
from tests.adapters.conftest import CALL, unique
from tests.fakes import InMemorySwarm
from tests.fakes.specs import as_spec
from worker.adapters.swarm import DockerSwarm

REAL = os.environ.get("CONTRACT_DOCKER_HOST")

QUICK = 0.04


HOSTS: Mapping[str, str] = {"ip-10-0-3-12": "i-12", "ip-10-0-3-129": "i-129"}
MANAGER = "ip-10-0-1-1"


def quick() -> SwarmConfig:
    """Everything takes a moment."""
    return SwarmConfig(
        start_seconds=QUICK,
        stop_seconds=QUICK,
        down_detection_seconds=QUICK,
        election_seconds=QUICK,
        role_change_seconds=QUICK,
        update_monitor_seconds=QUICK,
    )


class InMemorySetup:
    """The Swarm in memory."""

    mortal = True
    """Whether machines can be lost."""

    def __init__(self) -> None:
        self.swarm = InMemorySwarm(times=quick(), ids=Identities())
        self._nodes = {MANAGER: self.swarm.join(MANAGER, "manager")}
        for hostname, instance in HOSTS.items():
            self._nodes[hostname] = self.swarm.join(hostname, engine_labels={"instance_id": instance})

    async def create(self, replicas: int = 1, **wishes: Any) -> str:
        """A service with a name of its own; `wishes` are fields of Service. Its id."""
        return self.swarm.create(wishes.pop("name", None) or unique("contract"), replicas, **wishes)

    async def remove(self, service_id: str) -> None:
        """Remove a service."""
        self.swarm.remove(service_id)

    async def label_node(self, node_id: str, key: str, value: str) -> None:
        """Set a label of a node."""
        self.swarm.label(node_id, **{key: value})

    async def lose(self, hostname: str) -> None:
        """A machine dies."""
        self.swarm.lose(self._nodes[hostname])

    async def go_away(self) -> None:
        """The engine goes away for a moment."""
        self.swarm.hang_up()


class ApiSetup:
    """A Swarm behind the Docker API, the simulated one or a real one, and the same that others may do to it."""

    def __init__(self, host: str, simulated: SimulatedSwarm | None) -> None:
        self.swarm = DockerSwarm(host, CALL)
        self.simulated = simulated
        self.mortal = simulated is not None
        self._host = host
        self._services: list[str] = []

    async def create(self, replicas: int = 1, **wishes: Any) -> str:
        spec = as_spec(wishes.pop("name", None) or unique("contract"), replicas, **wishes)
        identity = str((await self.call("POST", "/services/create", spec))["ID"])
        self._services.append(identity)
        return identity

    async def remove(self, service_id: str) -> None:
        await self.call("DELETE", f"/services/{service_id}")

    async def label_node(self, node_id: str, key: str, value: str) -> None:
        found = await self.call("GET", f"/nodes/{node_id}")
        spec = {**found["Spec"], "Labels": {**(found["Spec"].get("Labels") or {}), key: value}}
        await self.call("POST", f"/nodes/{node_id}/update?version={found['Version']['Index']}", spec)

    async def lose(self, hostname: str) -> None:
        assert self.simulated is not None
        for node in self.simulated.nodes:
            if node.machine.hostname == hostname:
                self.simulated.lose_node(node.id)

    async def go_away(self) -> None:
        await self.lose(MANAGER)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """What any client may ask the API."""
        return await asyncio.to_thread(self._call, method, path, body)

    async def clean(self) -> None:
        """Leave nothing behind."""
        for identity in self._services:
            await asyncio.to_thread(self._call, "DELETE", f"/services/{identity}", None)
        await self.swarm.aclose()

    def _call(self, method: str, path: str, body: Any) -> Any:
        client = APIClient(base_url=self._host, version="1.41")
        try:
            answer = client.request(method, f"{client.base_url}/v1.41{path}", json=body, timeout=30)
            return answer.json() if answer.content.strip() else None
        finally:
            client.close()


SwarmSetup = InMemorySetup | ApiSetup
"""A Swarm seen through the ports, with one manager or more, and what others may do to it."""


@asynccontextmanager
async def api_setup(folder: Path) -> AsyncIterator[ApiSetup]:
    """The real one that CONTRACT_DOCKER_HOST names, else a simulated one with a manager and two workers."""
    if REAL:
        setup = ApiSetup(REAL, None)
        yield setup
        await setup.clean()
        return
    async with simulated() as swarm:
        (manager, *_) = swarm.nodes
        async with serve(swarm, folder / "docker.sock", manager.id):
            setup = ApiSetup(f"unix://{folder / 'docker.sock'}", swarm)
            yield setup
            await setup.clean()


@asynccontextmanager
async def simulated() -> AsyncIterator[SimulatedSwarm]:
    """A manager and two workers."""
    async with SimulatedSwarm(quick()) as swarm:
        swarm.add_node(MANAGER, role="manager")
        for hostname, instance in HOSTS.items():
            swarm.add_node(hostname, engine_labels={"instance_id": instance})
        yield swarm

"""A Swarm for contract tests: the simulated one, or a real one named by CONTRACT_DOCKER_HOST.

For a real one: CONTRACT_DOCKER_HOST is a manager's address (unix:// or tcp://), CONTRACT_IMAGE an image that every
node has and that contains `sh`, CONTRACT_COMMAND what a task runs so that it does not end by itself.
"""

import os
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.local.engine import SimulatedSwarm, SwarmConfig, serve
from tests.background import Background
from tests.scaffolding.contract.client import SwarmClient


@pytest.fixture(scope="session")
def swarm_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    real = os.environ.get("CONTRACT_DOCKER_HOST")
    if real:
        yield real
        return
    socket = tmp_path_factory.mktemp("engine") / "docker.sock"
    with Background(simulated_swarm(socket)):
        yield f"unix://{socket}"


@pytest.fixture
def swarm(swarm_host: str) -> Iterator[SwarmClient]:
    """A client that removes the services of the test, and gives the nodes their availability and labels back."""
    image = os.environ.get("CONTRACT_IMAGE", "busybox")
    command = shlex.split(os.environ.get("CONTRACT_COMMAND", "sleep 100000"))
    with SwarmClient.connected(swarm_host, image, command) as client, client.restored():
        yield client


@asynccontextmanager
async def simulated_swarm(socket: Path) -> AsyncIterator[None]:
    """One manager and two workers."""
    config = SwarmConfig(start_seconds=0.04, stop_seconds=0.04, job_seconds=0.05)
    async with SimulatedSwarm(config) as swarm:
        swarm.add_node("ip-10-0-1-1", role="manager", address="10.0.1.1")
        swarm.add_node("ip-10-0-3-12", address="10.0.3.12", engine_labels={"instance_id": "i-12"})
        swarm.add_node("ip-10-0-3-129", address="10.0.3.129", engine_labels={"instance_id": "i-129"})
        async with serve(swarm, socket):
            yield

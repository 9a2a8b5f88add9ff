"""The real `docker` command line against the simulated Swarm: every command that people are told to try."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from infra.local.engine import SimulatedSwarm, SwarmConfig, serve
from tests.scaffolding.engine.lab import Lab, until

Run = Callable[..., Awaitable[str]]

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command line on this machine")

CONFIG = SwarmConfig(
    start_seconds=0.02,
    stop_seconds=0.02,
    job_seconds=0.02,
    down_detection_seconds=0.02,
    election_seconds=0.02,
    role_change_seconds=0.02,
    update_monitor_seconds=0.1,
)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with SimulatedSwarm(CONFIG) as swarm:
        yield Lab.with_nodes(swarm, managers=3, workers=2, engine_labels={"instance_id": "i-1"})


@pytest.fixture
async def docker(lab: Lab, tmp_path: Path) -> AsyncIterator[Run]:
    """Runs one command; its output when it succeeds, with `fails=True` when it does not."""
    socket = tmp_path / "docker.sock"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{socket}"}

    async def run(*arguments: str, fails: bool = False) -> str:
        process = await asyncio.create_subprocess_exec(
            "docker", *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(20):
            output, _ = await process.communicate()
        assert (process.returncode != 0) is fails, output.decode()
        return output.decode()

    async with serve(lab.swarm, socket):
        yield run


async def create(docker: Run, name: str, *options: str, command: str = "") -> None:
    words = [command] if command else []
    await docker("service", "create", "--detach", "--no-resolve-image", "--name", name, *options, "nginx", *words)


async def settled(docker: Run, name: str, replicas: str) -> None:
    async with asyncio.timeout(10):
        while replicas not in await docker("service", "ls", "--filter", f"name={name}"):
            pass


async def test_the_engine_introduces_itself(docker: Run) -> None:
    assert "API version:      1.52 (minimum version 1.24)" in await docker("version")
    info = await docker("info")
    for line in ("Swarm: active", "Is Manager: true", "Managers: 3", "Nodes: 5", "10.0.1.0:2377"):
        assert line in info
    for empty in ("ps", "images", "secret ls", "config ls"):
        assert len((await docker(*empty.split())).splitlines()) == 1
    assert "ingress" in await docker("network", "ls")


async def test_nodes_are_listed_inspected_and_changed(docker: Run, lab: Lab) -> None:
    listing = await docker("node", "ls")
    assert listing.count("Ready") == 5
    assert listing.count("Leader") == 1
    assert listing.count("Reachable") == 2
    await docker("node", "update", "--availability", "drain", "--label-add", "zone=a", "worker-0")
    pretty = await docker("node", "inspect", "--pretty", "worker-0")
    assert "instance_id=i-1" in pretty
    assert "Drain" in pretty
    assert "zone=a" in pretty
    assert "Leader:\t\tYes" in await docker("node", "inspect", "--pretty", "self")
    assert "worker-0" not in await docker("node", "ls", "--filter", "role=manager")
    await docker("node", "promote", "worker-0")
    await docker("node", "demote", "manager-2")
    await until(lambda: lab.swarm.raft.members == (*lab.managers[:2], lab.workers[0]))


async def test_nodes_are_removed_when_they_may(docker: Run, lab: Lab) -> None:
    refused = await docker("node", "rm", "worker-0", fails=True)
    assert refused.startswith("Error response from daemon: rpc error: code = FailedPrecondition desc = node ")
    assert "is not down and can't be removed" in refused
    assert "must be demoted" in await docker("node", "rm", "--force", "manager-0", fails=True)
    await docker("node", "rm", "--force", "worker-0")
    lab.swarm.lose_node(lab.workers[1])
    async with asyncio.timeout(5):
        while "Down" not in await docker("node", "ls"):
            pass
    await docker("node", "rm", "worker-1")
    assert "node worker-1 not found" in await docker("node", "inspect", "worker-1", fails=True)


async def test_a_service_lives_its_life(docker: Run) -> None:
    await create(docker, "web", "--replicas", "3", "--label", "com.df.reschedule=true")
    await settled(docker, "web", "3/3")
    assert "web.3" in await docker("service", "ps", "web")
    assert "com.df.reschedule=true" in await docker("service", "inspect", "--pretty", "web")
    assert "web scaled to 5" in await docker("service", "scale", "--detach", "web=5")
    await settled(docker, "web", "5/5")
    assert "web." in await docker("node", "ps", "worker-0")
    changes = ("--env-add", "A=1", "--label-add", "a=b", "--image", "nginx:2", "--replicas", "2")
    await docker("service", "update", "--detach", "--no-resolve-image", *changes, "web")
    await settled(docker, "web", "2/2")
    pretty = await docker("service", "inspect", "--pretty", "web")
    assert "nginx:2" in pretty
    assert "A=1" in pretty
    await docker("service", "update", "--detach", "--force", "web")
    await docker("service", "rollback", "--detach", "web")
    await docker("service", "rm", "web")
    assert "no such service: web" in await docker("service", "ps", "web", fails=True)


async def test_the_command_line_sees_an_update_through(docker: Run) -> None:
    """Without --detach it follows the tasks until they are stable."""
    await create(docker, "web", "--replicas", "2", "--update-monitor", "1s")
    output = await docker("service", "update", "--force", "web")
    assert "verify: Service web converged" in output


async def test_global_services_networks_and_jobs(docker: Run) -> None:
    await docker("network", "create", "--driver", "overlay", "backend")
    await create(docker, "agent", "--mode", "global", "--network", "backend", "--constraint", "node.role==worker")
    await settled(docker, "agent", "2/2")
    await create(docker, "job", "--mode", "replicated-job", "--replicas", "3", command="true")
    await settled(docker, "job", "3/3 completed")
    await create(docker, "huge", "--reserve-cpu", "64")
    async with asyncio.timeout(10):
        while "insufficient resources on 5 nodes" not in await docker("service", "ps", "--no-trunc", "huge"):
            pass
    await docker("service", "rm", "agent", "job", "huge")
    await docker("network", "rm", "backend")


async def test_unknown_images_are_created_with_a_warning(docker: Run) -> None:
    output = await docker("service", "create", "--detach", "--name", "web", "nginx")
    assert "could not be accessed on a registry to record" in output


async def test_logs_are_said_to_be_missing(docker: Run) -> None:
    await create(docker, "web")
    assert "the simulated engine has no logs" in await docker("service", "logs", "web", fails=True)


async def test_events_of_the_past_are_shown(docker: Run, lab: Lab) -> None:
    await create(docker, "web")
    await docker("service", "scale", "--detach", "web=2")
    until = str(lab.swarm.clock.now_ns() / 1e9)
    shown = await docker("events", "--since", "1", "--until", until, "--filter", "type=service")
    assert "service create" in shown
    assert "replicas.new=2, replicas.old=1" in shown
    assert "node" not in shown

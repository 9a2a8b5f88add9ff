"""How much the simulated Swarm carries. Times are generous: the machine may be busy."""

import asyncio
import resource
import time
from collections import Counter
from http import HTTPStatus
from pathlib import Path

import aiohttp
import psutil
import pytest

from infra.local.engine import SimulatedSwarm, SwarmConfig, serve
from tests.scaffolding.engine.lab import Lab, until

INSTANT = SwarmConfig(start_seconds=0, stop_seconds=0, seed=1)


async def settle(lab: Lab, replicas: int) -> float:
    """Create a service and wait until all of it runs; seconds that took."""
    lab.create(replicas=replicas)
    return await until(lambda: len(lab.running()) == replicas, step=0.01)


async def test_two_thousand_tasks_on_a_hundred_nodes_settle_in_a_second_or_two() -> None:
    async with SimulatedSwarm(INSTANT) as swarm:
        lab = Lab.with_nodes(swarm, managers=3, workers=97)
        assert await settle(lab, 2000) < 5
        counts = Counter(task.node_id for task in lab.running())
        assert max(counts.values()) - min(counts.values()) <= 1


async def test_idle_costs_nothing() -> None:
    async with SimulatedSwarm(INSTANT) as swarm:
        lab = Lab.with_nodes(swarm, managers=3, workers=97)
        await settle(lab, 500)
        start = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - start < 0.1


@pytest.mark.slow
async def test_twenty_thousand_tasks_on_a_thousand_nodes(tmp_path: Path) -> None:
    before = psutil.Process().memory_info().rss
    async with SimulatedSwarm(INSTANT) as swarm, serve(swarm, tmp_path / "docker.sock"):
        lab = Lab.with_nodes(swarm, managers=3, workers=997)
        assert await settle(lab, 20_000) < 20
        connector = aiohttp.UnixConnector(str(tmp_path / "docker.sock"))
        async with aiohttp.ClientSession("http://docker", connector=connector) as api:
            assert await fetch(api, "/v1.41/tasks") < 3
            assert await fetch(api, "/v1.41/nodes") < 1
            assert await fetch(api, "/v1.41/services?status=true") < 1
            assert await fetch(api, f'/v1.41/tasks?filters={{"node":["{lab.workers[500]}"]}}') < 0.2
        assert await drain(lab, 50) < 10
        lab.force()
        await until(lambda: lab.update_state() == "completed", within=60)
        # Of the process's peak, what earlier tests and their imports had taken is not the engine's.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < 500 * 1024**2


async def fetch(api: aiohttp.ClientSession, path: str) -> float:
    start = time.perf_counter()
    async with api.get(path) as answer:
        assert answer.status == HTTPStatus.OK
        await answer.read()
    return time.perf_counter() - start


async def drain(lab: Lab, count: int) -> float:
    drained = lab.workers[:count]
    for node_id in drained:
        lab.set_node(node_id, Availability="drain")
    await until(lambda: not any(lab.swarm.running_on(node_id) for node_id in drained))
    return await until(lambda: len(lab.running()) == 20_000)

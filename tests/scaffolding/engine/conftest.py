"""Swarms for the tests of the engine itself: in process, without a socket, on a loop whose time is fake.

An hour of Swarm passes in milliseconds, and every delay is exact.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.local.engine import SimulatedSwarm, SwarmConfig
from tests.real import mark
from tests.scaffolding.engine.lab import Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These type the real `docker` command."""
    mark(items, Path(__file__).parent, modules={"test_command_line"})


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """Three managers and three workers; tasks take a second to start and a second to stop."""
    config = SwarmConfig(
        start_seconds=1.0,
        stop_seconds=1.0,
        job_seconds=1.0,
        down_detection_seconds=15.0,
        election_seconds=5.0,
        role_change_seconds=2.0,
        seed=7,
    )
    async with SimulatedSwarm(config) as swarm:
        yield Lab.with_nodes(swarm, managers=3, workers=3)

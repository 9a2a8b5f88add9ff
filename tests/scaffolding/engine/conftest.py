"""Swarms for the tests of the engine itself: in process, without a socket, on a loop whose time is fake.

An hour of Swarm passes in milliseconds, and every delay is exact.
"""

from collections.abc import AsyncIterator

import pytest

from infra.local.engine import SimulatedSwarm, SwarmConfig
from tests.scaffolding.engine.lab import Lab


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

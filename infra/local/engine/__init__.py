"""A Docker Swarm in memory that speaks the Docker Engine API on unix sockets.

See `swarm` for how to use it, `faults` for what can go wrong, `config` for its times.
"""

from infra.local.engine.config import SwarmConfig
from infra.local.engine.faults import ApiFault, Faults
from infra.local.engine.server import serve
from infra.local.engine.swarm import SimulatedSwarm

__all__ = ["ApiFault", "Faults", "SimulatedSwarm", "SwarmConfig", "serve"]

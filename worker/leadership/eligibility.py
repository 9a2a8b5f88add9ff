"""Who may compete for the lease: a worker whose Docker socket answers as a manager of a Swarm that has a leader."""

import structlog

from shared.errors import Unavailable
from worker.ports.swarm import Swarm, SwarmIdentity

log = structlog.get_logger()


class SwarmEligibility:
    """Asks the Swarm; logs once when it stops answering."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._answered = True

    async def identity(self) -> SwarmIdentity | None:
        """The Swarm that this worker could serve now; None while it could serve none."""
        try:
            identity = await self._swarm.identity()
        except Unavailable as error:
            if self._answered:
                log.warning("standing_by_without_swarm", error=str(error))
            self._answered = False
            return None
        self._answered = True
        return identity

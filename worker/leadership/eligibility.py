"""Who may compete for the lease: a worker whose Docker socket answers as a manager of a Swarm that has a leader.

One whose own node leaves gives way: others may take the lease first. Which nodes leave, the journal's open records say.
"""

from collections.abc import Awaitable, Callable, Collection

import structlog

from shared.errors import Refused, Unavailable
from worker.ports.swarm import Swarm, SwarmIdentity

log = structlog.get_logger()


class SwarmEligibility:
    """Asks the Swarm; logs once when it stops answering."""

    def __init__(self, swarm: Swarm, leaving: Callable[[], Awaitable[Collection[str]]]) -> None:
        """`leaving`: the ids of the nodes that leave."""
        self._swarm = swarm
        self._leaving = leaving
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

    async def gives_way(self, identity: SwarmIdentity) -> bool:
        """Whether others may go first. Where the journal cannot be read, nobody knows of anything to give way for."""
        try:
            return identity.node_id in await self._leaving()
        except (Unavailable, Refused) as error:
            log.warning("departures_not_known", error=str(error))
            return False

"""Standing by because Docker does not answer: people are told of the requests that nobody serves meanwhile.

Where another worker has taken over, there is nothing to tell: it serves them.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from shared.clock import Clock
from shared.errors import Refused, Unavailable
from shared.records import Record
from worker.dispatch.upkeep import TOLD_AFTER_SECONDS
from worker.leadership.swarm_events import LOST_AFTER_SECONDS
from worker.ports.alerts import AlertSink
from worker.ports.storage import LeaseStore
from worker.requests import notices

log = structlog.get_logger()

POST_TIMEOUT = timedelta(seconds=2)


class Standby:
    """What this worker had to leave when its Docker socket stopped answering."""

    def __init__(self, alerts: AlertSink | None, leases: LeaseStore, clock: Clock) -> None:
        self._alerts = alerts
        self._leases = leases
        self._clock = clock
        self._left: Sequence[Record] = ()

    def leave(self, records: Sequence[Record]) -> None:
        """These were in hand when Docker was given up."""
        self._left = records

    async def tell(self) -> None:
        """Tell people once Docker has been away for long enough, unless another worker has taken over."""
        left, self._left = self._left, ()
        if not left or self._alerts is None:
            return
        await asyncio.sleep(TOLD_AFTER_SECONDS - LOST_AFTER_SECONDS)
        try:
            lease = await self._leases.read()
            for record in left if lease is None or lease.owner is None else ():
                error = "no worker has a Docker socket that answers as a manager's"
                alert = notices.outage(record, notices.DOCKER, TOLD_AFTER_SECONDS, error)
                await self._alerts.post(alert, self._clock.now(), POST_TIMEOUT)
        except (Unavailable, Refused) as error:
            log.warning("outage_not_told", error=str(error))

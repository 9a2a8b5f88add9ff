"""Ours: whether the instance that an event is about is one of our groups', or a node's, or in an open request's hands.

EventBridge sends what happens to every instance of the account. What is somebody else's must cost nothing: instances
that nobody here knows are looked up together, and what was found is remembered for a while, in bounds.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import structlog

from shared.errors import Refused, Unavailable
from worker.decisions.matching import INSTANCE_LABEL
from worker.leadership.period import Leadership
from worker.requests.open_requests import OpenRequests

log = structlog.get_logger()

REMEMBERED = 5000
"""So many instances are remembered of each kind, the newest."""
FOREIGN_SECONDS = 60.0
"""For so long an instance of somebody else's is taken for one: it may be attached to a group of ours."""
SHOWN_AFTER = timedelta(seconds=5)
"""A look so long after an event was sent shows the instance that it is about, or never will."""


class Ours:
    """What is known of instances within one leadership period."""

    def __init__(self, leadership: Leadership, requests: OpenRequests) -> None:
        self._leadership = leadership
        self._requests = requests
        self._ours: dict[str, float] = {}
        self._foreign: dict[str, float] = {}
        """Ids, and when that was found out, by the loop's time."""
        self._looked_at: datetime | None = None
        self._groups = frozenset(pool.group for pool in leadership.pools.values() if pool.group)

    async def recognise(self, sent: Mapping[str, datetime]) -> None:
        """Find out about instances; `sent`: when the event about each was sent. One look for all that are unknown."""
        unknown = {each: moment for each, moment in sent.items() if not self._known(each)}
        if not unknown or not (self._shows(max(unknown.values())) or await self._look()):
            return
        self._remember(self._foreign, (each for each in unknown if each not in self._ours))

    def has(self, instance_id: str) -> bool:
        """Whether it is ours. So is one of which nothing could be found out: its request will see."""
        return instance_id not in self._foreign or self._requests.about(instance_id) is not None

    def owns(self, group: str) -> bool:
        """Whether a group is one of ours."""
        return group in self._groups

    def _known(self, instance_id: str) -> bool:
        found = self._foreign.get(instance_id)
        if found is not None and asyncio.get_running_loop().time() - found >= FOREIGN_SECONDS:
            del self._foreign[instance_id]
        return instance_id in self._ours or instance_id in self._foreign

    def _shows(self, sent: datetime) -> bool:
        """Whether the last look shows an instance whose event was sent then."""
        return self._looked_at is not None and sent + SHOWN_AFTER <= self._looked_at

    async def _look(self) -> bool:
        """Look at the groups, and at the nodes' labels. False: they could not be seen."""
        leadership, moment = self._leadership, self._leadership.clock.now()
        try:
            members = [each.id for each in await leadership.groups.members(self._groups)]
            labels = [node.engine_labels.get(INSTANCE_LABEL) for node in await leadership.swarm.nodes()]
            past = [each for kind in leadership.pools for each in (await leadership.memory.of(kind)).members]
        except (Unavailable, Refused) as error:
            log.warning("instances_not_seen", error=str(error))
            return False
        self._remember(self._ours, [*past, *members, *(label for label in labels if label)])
        self._looked_at = moment
        return True

    @staticmethod
    def _remember(known: dict[str, float], instance_ids: Iterable[str]) -> None:
        now = asyncio.get_running_loop().time()
        for each in instance_ids:
            known.pop(each, None)
            known[each] = now
        for oldest in list(known)[: max(len(known) - REMEMBERED, 0)]:
            del known[oldest]

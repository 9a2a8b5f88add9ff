"""Arrivals: nodes that join though no request asked for them; the labelled services are rescheduled onto them.

AWS replaces what it ends, and Swarm never rebalances: a replacement stays empty until somebody acts. All that joined
since the last look get one rescheduling together. What a request of ours waits for, that request reschedules.
"""

import asyncio
import hashlib
from collections.abc import Sequence

import structlog

from shared.errors import Refused, Unavailable
from shared.records import Record
from worker.decisions.matching import INSTANCE_LABEL, matched, members
from worker.leadership.period import Leadership
from worker.ports.swarm import Node
from worker.requests.open_requests import OpenRequests

log = structlog.get_logger()

AT_MOST_EVERY_SECONDS = 600.0
_WAITS_FOR_NODES = frozenset({"scale-nodes", "replace-node"})


class Arrivals:
    """What has joined within one leadership period. Nodes that were there at its beginning have not."""

    def __init__(self, leadership: Leadership, requests: OpenRequests) -> None:
        self._leadership = leadership
        self._requests = requests
        self._nodes: set[str] | None = None
        """Ids of the nodes that were seen. None: no look yet."""
        self._instances: set[str] = set()
        """The instances that they were: an engine that joins again is a new node on an old machine."""
        self._owed: dict[str, str] = {}
        """Instances that have joined, and the names of their nodes, for which nothing was rescheduled yet."""
        self._last = float("-inf")

    @property
    def owed(self) -> bool:
        """Whether a rescheduling is due, now or later."""
        return bool(self._owed)

    async def look(self, nodes: Sequence[Node]) -> None:
        """See who has joined, and have the labelled services rescheduled. Raises Unavailable, Refused."""
        if not self._leadership.settings.reschedule_on_join:
            return
        serving = [node for node in nodes if node.ready and node.availability == "active"]
        first = self._nodes is None
        known = self._nodes or set()
        if first or any(node.id not in known for node in serving):
            node_of = {} if first else await self._members(serving)
            self._note(nodes, node_of, {instance for instance, node in node_of.items() if node.id not in known})
            self._nodes = {node.id for node in nodes if node.id in known or first or node in serving}
        now = asyncio.get_running_loop().time()
        if self._owed and now - self._last >= AT_MOST_EVERY_SECONDS:
            await self._reschedule(now)

    async def _members(self, serving: Sequence[Node]) -> dict[str, Node]:
        """Members of our groups that no open request waits for, and their nodes."""
        found: dict[str, Node] = {}
        for pool in self._leadership.pools.values():
            if pool.group:
                group = await self._leadership.groups.describe(pool.group)
                found.update(matched(serving, members(group)))
        return found

    def _note(self, nodes: Sequence[Node], node_of: dict[str, Node], joined: set[str]) -> None:
        asked = any(each.record.action in _WAITS_FOR_NODES for each in self._requests.running if not each.ended)
        if not asked:
            self._owed |= {
                each: node_of[each].hostname for each in joined - self._instances - self._leadership.expected
            }
        labels = (node.engine_labels.get(INSTANCE_LABEL) for node in nodes)
        self._instances |= {*node_of, *(label for label in labels if label)}

    async def _reschedule(self, now: float) -> None:
        moment, names = self._leadership.clock.now(), ", ".join(sorted(self._owed.values()))
        digest = hashlib.sha256(",".join(sorted(self._owed)).encode()).hexdigest()[:16]
        record = Record(
            id=f"joined-{digest}",
            action="reschedule-services",
            requested_at=moment,
            received_at=moment,
            source="swarm",
            request={"action": "reschedule-services"},
            reason=f"{names} joined, and no request had asked for it",
            token=self._leadership.token,
        )
        try:
            known = await self._leadership.journal.create(record)
        except (Unavailable, Refused) as error:
            log.warning("arrivals_not_served_yet", nodes=names, error=str(error))
            return
        log.info("nodes_joined", nodes=names, request=record.id)
        self._requests.take(known or record)
        self._owed, self._last = {}, now

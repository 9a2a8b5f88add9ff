"""Sightings: what the active worker sees of the Swarm and of the groups, for the status document.

Looked at again when the Swarm's events or a request's step say that something has changed, and else once in ten
minutes: an idle worker asks for nothing. What takes long is looked at less often. Who does not answer is noted.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from shared.errors import Refused, Unavailable
from shared.fields import Role
from shared.status import GroupStatus, NodeStatus, Trouble
from worker.decisions.bounds import node_limits
from worker.decisions.inventory import Judged, group_status, node_statuses
from worker.decisions.reasons import Obstacle
from worker.decisions.verdicts import Verdict, pool_obstacles, verdicts
from worker.errors import error_boundary
from worker.flows.survey import snapshot, without_ended
from worker.leadership.period import Leadership
from worker.ports.scaling import Activities, Group
from worker.ports.swarm import Node, Service, Task
from worker.requests.open_requests import OpenRequests

log = structlog.get_logger()

TICK_SECONDS = 2.0
"""Nothing is looked at more often."""
GROUPS_SECONDS = 5.0
WORKING_SECONDS = 5.0
"""How often the groups are looked at while a node scale is under way: people look on, and AWS may refuse it."""
JUDGED_SECONDS = 60.0
"""Tasks are counted, and nodes are judged, no more often than this."""
IDLE_SECONDS = 600.0
BROKEN_SECONDS = 60.0
"""After an error that nobody expected."""
RETRY_SECONDS = 10.0
"""After a look that failed."""
SHARE, WORKING_SHARE = 50, 5
"""A look that took a second is not repeated within so many seconds; at the groups while a node scale is under way."""


@dataclass(slots=True)
class _Look:
    """When something was looked at last, how long that took, and what was known of changes then."""

    marker: object = None
    at: float = float("-inf")
    took: float = 0.0
    failed: bool = False

    def due(self, marker: object, pace: "_Pace") -> bool:
        """Whether to look again: something has changed, or it is long ago."""
        age = asyncio.get_running_loop().time() - self.at
        if self.failed:
            return age >= max(pace.least, RETRY_SECONDS)
        return age >= max(pace.least, pace.share * self.took) and (marker != self.marker or age >= pace.most)


@dataclass(frozen=True, slots=True)
class _Pace:
    """How often something is looked at, in seconds: when it changes, and when it does not."""

    least: float
    most: float = IDLE_SECONDS
    share: float = SHARE


@dataclass(slots=True)
class Sightings:
    """Of one leadership period."""

    leadership: Leadership
    requests: OpenRequests
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once everything has been looked at, or has not answered."""
    groups: tuple[GroupStatus, ...] = ()
    """The groups as they were seen last."""
    nodes: tuple[NodeStatus, ...] = ()
    """The nodes as they were seen last."""
    judged_at: datetime | None = None
    pending_tasks: int = 0
    """Tasks that no node has taken yet."""
    troubles: dict[str, Trouble] = field(default_factory=dict)
    """Who does not answer: Docker, AWS."""
    _nodes: Sequence[Node] = ()
    _groups: dict[Role, Group] = field(default_factory=dict)
    _activities: dict[Role, Activities] = field(default_factory=dict)
    _tasks: Mapping[str, int] = field(default_factory=dict)
    _judged: Judged = field(default_factory=dict)
    _looks: dict[str, _Look] = field(default_factory=dict)

    async def run(self) -> None:
        """Look, for ever. Raises LeadershipOver."""
        await self.leadership.events.changed(0, TICK_SECONDS)  # the subscription stands: what comes later is a change
        while True:
            pause = BROKEN_SECONDS
            with error_boundary("status_not_seen"):
                await self._look()
                pause = TICK_SECONDS
            self.looked.set()
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        generation = self.leadership.events.generation
        looked = await self._if_due("Docker", self._look_at_nodes, generation, _Pace(TICK_SECONDS))
        changes = (self._steps(), frozenset((node.id, node.state) for node in self._nodes))
        working = any(request.record.type for request in self.requests.running)
        pace = _Pace(GROUPS_SECONDS, WORKING_SECONDS, WORKING_SHARE) if working else _Pace(GROUPS_SECONDS)
        looked |= await self._if_due("AWS", self._look_at_groups, changes, pace)
        if not self.troubles:
            looked |= await self._if_due("tasks", self._judge, generation, _Pace(JUDGED_SECONDS))
        if looked:
            self._show()

    def _show(self) -> None:
        """What there is, in the words of the document: made anew after a look only, for it takes time."""
        pools = self.leadership.pools
        self.groups = tuple(
            group_status(pools[role], group, self._activities.get(role, Activities()), self._nodes)
            for role, group in self._groups.items()
        )
        self.nodes = node_statuses(self._groups, self._nodes, self._tasks, self._judged)

    def _steps(self) -> tuple[tuple[str, str | None], ...]:
        """At which step each running request is: one that has changed something is at another step then."""
        return tuple((request.id, request.record.step) for request in self.requests.running)

    async def _if_due(self, what: str, look: Callable[[], Awaitable[None]], marker: object, pace: _Pace) -> bool:
        """Look, if it is time to. Whether it was."""
        last = self._looks.setdefault(what, _Look())
        if not last.due(marker, pace):
            return False
        began = asyncio.get_running_loop().time()
        try:
            await look()
        except (Unavailable, Refused) as error:
            self._not_answered(what, error)
            last.failed = True
        else:
            self.troubles.pop(what, None)
            last.failed = False
        last.marker, last.at = marker, asyncio.get_running_loop().time()
        last.took = last.at - began
        return True

    def _not_answered(self, what: str, error: Unavailable | Refused) -> None:
        log.warning("status_not_seen", what=what, error=str(error))
        if what in {"Docker", "AWS"}:
            since = self.troubles[what].since if what in self.troubles else self.leadership.clock.now()
            self.troubles[what] = Trouble(what=what, since=since, last_error=str(error))

    async def _look_at_nodes(self) -> None:
        self._nodes = await self.leadership.swarm.nodes()

    async def _look_at_groups(self) -> None:
        groups: dict[Role, Group] = {}
        for role, pool in self.leadership.pools.items():
            if not pool.group:
                continue
            group = await self.leadership.groups.describe(pool.group)
            self._activities[role] = await self.leadership.groups.activities(pool.group)
            groups[role] = without_ended(group, self._activities[role], self.leadership.terminated)
        self._groups = groups

    async def _judge(self) -> None:
        tasks, services = await self.leadership.swarm.tasks(), await self.leadership.swarm.services()
        self._tasks = Counter(task.node_id for task in tasks if task.node_id and task.alive)
        self.pending_tasks = sum(1 for task in tasks if task.alive and not task.node_id)
        judged: dict[str, tuple[Obstacle, ...]] = {}
        for role, group in self._groups.items():
            refreshing = await self.leadership.groups.refreshing(group.name)
            for verdict in self._verdicts(role, group, tasks, services, refreshing):
                judged[verdict.node_id or verdict.instance_id or ""] = verdict.obstacles
            await asyncio.sleep(0)  # what waits for its turn comes first
        self._judged, self.judged_at = judged, self.leadership.clock.now()

    def _verdicts(
        self, role: Role, group: Group, tasks: Sequence[Task], services: Sequence[Service], refreshing: bool
    ) -> Sequence[Verdict]:
        leadership = self.leadership
        limits = node_limits(leadership.pools[role], {}, "down", None, group)
        of_pool = pool_obstacles(group, limits, group.desired, self._activities[role], refreshing)
        return verdicts(snapshot(leadership, role, group, self._nodes, tasks, services), of_pool)

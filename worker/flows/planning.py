"""What ups and downs plan alike: whether a request still counts, and what the group and the Swarm look like now."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

import structlog

from shared.errors import NotFound, Refused, Unavailable
from shared.messages import Direction, Role
from shared.records import State
from worker.decisions import bounds
from worker.decisions.pools import node_pools
from worker.decisions.preflight import EVER, unit_refusal
from worker.errors import GaveUp
from worker.leadership.deadline import Deadline
from worker.leadership.period import Leadership
from worker.ports.scaling import Activities, Group
from worker.ports.storage import GroupMemory
from worker.ports.swarm import Node
from worker.requests import wording
from worker.requests.request import OpenRequest

log = structlog.get_logger()

LAG = timedelta(seconds=30)
"""Describe may lag behind our own last change for so long; until it shows it, our own result is the truth."""
CLOCKS_APART = timedelta(seconds=60)
"""A change that another worker made so much longer ago than LAG, by the wall clock, is certainly shown by now."""
STALE_SECONDS = 0.5
"""How soon a description is asked for again that is older than what is known already."""


def node_type(request: OpenRequest) -> Role:
    """The type of nodes that a request is about."""
    return cast("Role", request.record.type)


def direction(request: OpenRequest) -> Direction:
    """Up or down."""
    return cast("Direction", request.record.scale)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a plan is made from."""

    group: Group
    """Without the instances that the group's activities name as ended, be the description as old as it may."""
    activities: Activities
    nodes: Sequence[Node]
    memory: GroupMemory
    present: int
    """The desired capacity that counts."""
    limits: bounds.Limits

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know, though the scale goes on."""
        if self.group.protects_new:
            return self.limits.warnings
        unprotected = (
            f"Auto Scaling group {self.group.name} does not protect new instances from scale-in: a late change of "
            "its desired capacity could end instances that run tasks. Set NewInstancesProtectedFromScaleIn"
        )
        return (*self.limits.warnings, unprotected)


class Planning:
    """Begins node scales."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._pools = node_pools(leadership.settings)
        self._unconfirmed: set[Role] = set()
        self._lag: dict[Role, Deadline] = {}

    def group_name(self, request: OpenRequest) -> str:
        """The group of a request's node type. Raises Refused where none is configured."""
        name = self._pools[node_type(request)].group
        if not name:
            raise Refused(
                "Node scaling is off (NODE_SCALER_BACKEND is none). Set it to aws, with AWS_MANAGER_ASG and "
                "AWS_WORKER_ASG, to scale nodes"
            )
        return name

    async def admit(self, request: OpenRequest) -> None:
        """Begin a request, unless it is stale or in a cool-down: judged once, here."""
        await begin(request, stale(request, self._leadership.settings.request_max_age) or await self._cooling(request))

    async def target(self, request: OpenRequest) -> tuple[Survey, bounds.Target] | None:
        """What there is, and where the request leads. None: nowhere, and it has ended so."""
        survey = await self._survey(request)
        if (reason := unit_refusal(survey.group)) is not None:
            raise GaveUp(reason)
        found = bounds.target(direction(request), survey.present, survey.limits)
        if isinstance(found, bounds.AtBound):
            await self._skip_at_bound(request, found)
            return None
        return survey, found

    async def _survey(self, request: OpenRequest) -> Survey:
        """Tidy up, then look at the group, the Swarm, and the bounds."""
        name = self.group_name(request)
        await self._sweep_gone_nodes(request)
        group, present = await self.look(request, fresh=direction(request) == "down")
        activities = await self._leadership.groups.activities(name)
        labels = await self._labels(request.record.service)
        limits = bounds.node_limits(
            self._pools[node_type(request)], labels, direction(request), request.record.by, group
        )
        if request.record.by is None:
            await request.save(by=limits.by)  # whatever becomes of it, people are told the step that a label set
        memory, nodes = await self._leadership.memory.of(node_type(request)), await self._leadership.swarm.nodes()
        return Survey(
            without_ended(group, activities, self._leadership.ended), activities, nodes, memory, present, limits
        )

    async def look(self, request: OpenRequest, *, fresh: bool = False) -> tuple[Group, int]:
        """The group, and the desired capacity that counts: our own last result until Describe shows it, then Describe.

        Descriptions come from several places, and may go back behind one that was read before. So for LAG after our
        own change one that does not show it, though an earlier one did, is asked for again. So is one that does not
        show the last result of the worker before us: that worker may have seen what came after it. And whoever needs
        the instances of after the change (`fresh`) waits for the first that shows it. After LAG Describe is right.
        """
        kind, name = node_type(request), self.group_name(request)
        while True:
            group = await self._leadership.groups.describe(name)
            shows = await self.seen(kind, group)
            if shows or not await self._lags(kind):
                return group, group.desired
            if not fresh and kind in self._unconfirmed:
                return group, int((await self._leadership.memory.of(kind)).desired or 0)
            await self._leadership.rest(request.id, STALE_SECONDS)

    async def seen(self, kind: Role, group: Group) -> bool:
        """Describe was read: does it show our own last result?"""
        await self._lags(kind)
        shows = group.desired == (await self._leadership.memory.of(kind)).desired
        if shows:
            self._unconfirmed.discard(kind)
        return shows

    async def observe(self, request: OpenRequest) -> None:
        """See whether Describe shows our own last result yet. That it cannot be read now is no matter."""
        try:
            await self.seen(node_type(request), await self._leadership.groups.describe(self.group_name(request)))
        except Unavailable as error:
            log.info("group_not_seen", group=self.group_name(request), error=str(error))

    async def changed(self, kind: Role, desired: int, *, just_now: bool = True) -> datetime:
        """The desired capacity is our doing: remember it. When that was.

        Where it was not done just now, but found done, somebody else may have changed it since: then a description
        that disagrees does not count as old at once, but is asked for again.
        """
        now = self._leadership.clock.now()
        await self._leadership.memory.update(kind, desired=desired, desired_at=now)
        if just_now:
            self._unconfirmed.add(kind)
        else:
            self._unconfirmed.discard(kind)
        self._lag[kind] = self._leadership.deadline(now, LAG)
        return now

    async def _lags(self, kind: Role) -> bool:
        """Whether Describe may still be older than our own last result.

        By the loop's time, for a wall clock may step. A change by the worker before us counts from our first look.
        """
        memory = await self._leadership.memory.of(kind)
        if memory.desired is None or memory.desired_at is None:
            return False
        if kind not in self._lag:
            now = self._leadership.clock.now()
            long_ago = abs(now - memory.desired_at) >= LAG + CLOCKS_APART
            self._lag[kind] = self._leadership.deadline(EVER if long_ago else now, LAG)
        return not self._lag[kind].passed

    def request(self, request: OpenRequest) -> str:
        """The `request` annotation of this job's alerts."""
        by = request.record.by
        if by is None:
            by = self._pools[node_type(request)].tunables.steps[direction(request)].default
        return wording.nodes_request(direction(request), by, node_type(request))

    async def permit(self, survey: Survey, refusal: Callable[..., str | None]) -> None:
        """Ask whether the group can be scaled at all now. Raises GaveUp with the reason where it cannot."""
        name = survey.group.name
        reason = refusal(
            survey.group,
            activities=survey.activities,
            refreshing=await self._leadership.groups.refreshing(name),
            since=survey.memory.desired_at or EVER,
        )
        if reason is not None:
            raise GaveUp(reason)

    def retry_budget(self, request: OpenRequest) -> timedelta:
        """How long a step of a node scale may go on failing."""
        settings = self._leadership.settings
        return settings.request_max_age if request.record.step == "plan" else settings.reschedule_timeout

    async def _skip_at_bound(self, request: OpenRequest, found: bounds.AtBound) -> None:
        """Nothing to do. It starts no cool-down."""
        summary = wording.at_bound(node_type(request), found.bound, found.number)
        settings = self._leadership.settings
        wanted = settings.alert_node_max if found.bound == "maximum" else settings.alert_node_min
        alerts = [wording.nodes("success", self.request(request), summary)] if wanted else []
        await request.save(nodes_before=found.number, nodes_after=found.number)
        await request.end(State.SKIPPED, summary, *alerts)

    async def fail(self, request: OpenRequest, message: str) -> None:
        """A node scale that failed or was refused."""
        await request.end(State.FAILED, message, wording.nodes("error", self.request(request), message))

    async def _cooling(self, request: OpenRequest) -> str | None:
        length = self._pools[node_type(request)].cooldowns[direction(request)]
        memory = await self._leadership.memory.of(node_type(request))
        ended = memory.up_ended_at if direction(request) == "up" else memory.down_ended_at
        if ended is None or not timedelta(0) <= (gone := self._leadership.clock.now() - ended) < length:
            return None
        return (
            f"Cool-down: the last scale {request.record.scale} of {request.record.type} nodes ended "
            f"{wording.duration(gone.total_seconds())} seconds ago, the next may begin "
            f"{wording.duration(length.total_seconds())} seconds after it"
        )

    async def _labels(self, service: str | None) -> dict[str, str]:
        """The labels of the service that the alert names; one that is not there has none."""
        if service is None:
            return {}
        try:
            return dict((await self._leadership.swarm.service(service)).labels)
        except NotFound:
            return {}

    async def _sweep_gone_nodes(self, request: OpenRequest) -> None:
        """Down nodes whose instance EC2 calls terminated are demoted and removed."""
        down = {
            node.engine_labels["instance_id"]: node
            for node in await self._leadership.swarm.nodes()
            if node.state == "down" and node.engine_labels.get("instance_id")
        }
        for instance_id in sorted(await self._leadership.groups.gone(sorted(down))) if down else ():
            node = down[instance_id]
            self._leadership.watchdog.heartbeat(request.id)
            try:
                if node.manager is not None or node.role == "manager":
                    await self._leadership.change_swarm.update_node(node.id, role="worker")
                await self._leadership.change_swarm.remove_node(node.id, force=True)
                log.info("gone_node_removed", node=node.hostname, instance=instance_id)
            except Refused as error:
                log.warning("gone_node_not_removed", node=node.hostname, instance=instance_id, error=str(error))


def without_ended(group: Group, activities: Activities, by_us: Collection[str]) -> Group:
    """The group without the instances that we have ended, or whose end is among its activities.

    An old description still has them, and activities may come late, too.
    """
    recorded = activities.applied_to(group)
    return replace(recorded, instances=tuple(each for each in recorded.instances if each.id not in by_us))


async def begin(request: OpenRequest, reason: str | None) -> None:
    """Begin a request, unless there is a reason against it."""
    if reason is None:
        await request.enter("plan")
    else:
        await request.end(State.SKIPPED, reason)


def stale(request: OpenRequest, max_age: timedelta) -> str | None:
    """Why a request is too old to begin. None: it is not."""
    age = request.now() - request.record.requested_at
    if request.record.started_at is not None or age <= max_age:
        return None
    return (
        f"Stale: the request is {wording.duration(age.total_seconds())} seconds old, and "
        f"{wording.duration(max_age.total_seconds())} are allowed (REQUEST_MAX_AGE)"
    )

"""The survey: what a node scale is planned from. Reads only, and all that it can at once."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.at_once import AtOnce
from shared.errors import NotFound
from shared.fields import Role
from worker.decisions.bounds import Limits, node_limits
from worker.decisions.preflight import EVER
from worker.decisions.victims import Snapshot
from worker.errors import GaveUp
from worker.flows.capacity import CapacityView
from worker.flows.nodes import direction, group_name, node_type
from worker.leadership.period import Leadership
from worker.ports.scaling import Activities, Group
from worker.ports.storage import GroupMemory
from worker.ports.swarm import Node, Service, Task
from worker.requests.request import OpenRequest

OLD_SECONDS = 2.0
"""What was read so long before the group was described is read again beside it."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The group, the Swarm, and the bounds."""

    kind: Role
    group: Group
    """Without the instances that the group's activities name as ended, be the description as old as it may."""
    activities: Activities
    refreshing: bool
    """An instance refresh runs."""
    nodes: Sequence[Node]
    memory: GroupMemory
    desired: int
    """The desired capacity that counts."""
    labels: Mapping[str, str]
    """Of the service that the request names."""
    service: str | None
    """Its name."""
    limits: Limits

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


_Around = tuple[Activities, bool, Mapping[str, str], Sequence[Node]]
"""What is read beside the description of the group: also whether a refresh runs, and labels."""


async def survey(leadership: Leadership, capacity: CapacityView, request: OpenRequest) -> Survey:
    """Look at everything. Raises Unavailable, Refused."""
    began = asyncio.get_running_loop().time()
    async with AtOnce() as at_once:
        described = at_once.ask(capacity.look(request, fresh=direction(request) == "down"))
        beside = at_once.ask(_around(leadership, request))
    (group, desired), around = described.result(), beside.result()
    if asyncio.get_running_loop().time() - began > OLD_SECONDS:  # AWS had to be asked more than once
        around = await _around(leadership, request)
    kind, (activities, refreshing, labels, nodes) = node_type(request), around
    return Survey(
        kind=kind,
        group=_overdue(without_ended(group, activities, leadership.terminated), leadership.overdue),
        activities=activities,
        refreshing=refreshing,
        nodes=nodes,
        memory=await leadership.memory.of(kind),
        desired=desired,
        labels=labels,
        service=request.record.service,
        limits=_limits(leadership, request, group, labels),
    )


def _overdue(group: Group, ids: Collection[str]) -> Group:
    """With those that were waited for in vain as old as can be: their time to join is over."""
    since = [replace(each, launched_at=EVER) if each.id in ids else each for each in group.instances]
    return replace(group, instances=tuple(since))


def snapshot(
    leadership: Leadership,
    kind: Role,
    group: Group,
    nodes: Sequence[Node],
    tasks: Sequence[Task],
    services: Sequence[Service],
) -> Snapshot:
    """What is known of a pool at this moment, for those who judge or choose its instances."""
    return Snapshot(
        group=group,
        nodes=nodes,
        tasks=tasks,
        services=services,
        node_type=kind,
        own_node_id=leadership.identity.node_id,
        now=leadership.clock.now(),
        join_timeout=leadership.settings.reschedule_timeout,
    )


async def for_another(leadership: Leadership, survey: Survey, request: OpenRequest) -> Survey:
    """What was seen for one request a moment ago, for another one of its type and direction."""
    service = request.record.service
    labels = survey.labels if service == survey.service else await _labels(leadership, service)
    limits = _limits(leadership, request, survey.group, labels)
    return replace(survey, labels=labels, service=service, limits=limits)


def _limits(leadership: Leadership, request: OpenRequest, group: Group, labels: Mapping[str, str]) -> Limits:
    pool = leadership.pools[node_type(request)]
    return node_limits(pool, labels, direction(request), request.record.by, group)


def permit(survey: Survey, refusal: Callable[..., str | None]) -> None:
    """Ask whether the group can be scaled at all now. Raises GaveUp with the reason where it cannot."""
    reason = refusal(
        survey.group,
        activities=survey.activities,
        refreshing=survey.refreshing,
        since=survey.memory.desired_at or EVER,
    )
    if reason is not None:
        raise GaveUp(reason)


def without_ended(group: Group, activities: Activities, by_us: Collection[str]) -> Group:
    """The group without the instances that we have ended, or whose end is among its activities.

    An old description still has them, and activities may come late, too.
    """
    recorded = activities.applied_to(group)
    return replace(recorded, instances=tuple(each for each in recorded.instances if each.id not in by_us))


async def _around(leadership: Leadership, request: OpenRequest) -> _Around:
    name = group_name(leadership, request)
    async with AtOnce() as at_once:
        activities = at_once.ask(leadership.groups.activities(name))
        refreshing = at_once.ask(leadership.groups.refreshing(name))
        labels = at_once.ask(_labels(leadership, request.record.service))
        nodes = at_once.ask(leadership.swarm.nodes())
    return activities.result(), refreshing.result(), labels.result(), nodes.result()


async def _labels(leadership: Leadership, service: str | None) -> Mapping[str, str]:
    """The labels of the service that the alert names; one that does not exist has none."""
    if service is None:
        return {}
    try:
        return (await leadership.swarm.service(service)).labels
    except NotFound:
        return {}

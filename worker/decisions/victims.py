"""Which instances a scale-down takes: those that cost least to remove, and never one that somebody protects.

The order: what never joined the Swarm, then nodes that are not Ready, then the nodes with the fewest tasks to move,
then one of the fullest zone, then the newest. A node on which something runs that cannot move comes after those that
are free, and the worker's own node last of all. Whether their tasks fit elsewhere, and whether the managers keep
their quorum, is asked elsewhere.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice

from shared.messages import Role
from worker.decisions.displacement import holders, movable
from worker.decisions.matching import Strangers, claimants, dispute, disputed, matched, members
from worker.ports.scaling import Group, Instance, Phase
from worker.ports.swarm import Node, Service, Task

PROTECT_LABEL = "com.df.scaler.protect"
"""The swarm node label that, being `true`, keeps a node."""

_NAMED = 8
"""At most so many instances are named in a refusal."""


@dataclass(frozen=True, slots=True)
class Victim:
    """An instance that goes, and its node if it has one."""

    instance_id: str
    node_id: str | None
    name: str
    """The node's hostname, or the instance id."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is removed: what, why, what to do."""

    reason: str


def choose(
    count: int,
    *,
    group: Group,
    nodes: Sequence[Node],
    tasks: Sequence[Task],
    services: Sequence[Service],
    node_type: Role,
    own_node_id: str,
    now: datetime,
    join_timeout: timedelta,
) -> tuple[Victim, ...] | Refusal:
    """`count` victims of the group, in the order in which they should go, or why there are none."""
    node_of, claims = matched(nodes, group.instances), claimants(nodes, group.instances)
    if not claims:
        return _nothing_matches(count, group)
    strangers = Strangers([node for node in nodes if node_type in _roles(node)], group.instances)
    unsure = {
        instance.id: strangers.like(instance)
        for instance in members(group)
        if instance.id not in claims and not _kept(instance, group) and _is_older(instance, now - join_timeout)
    }
    obstacle = {
        instance.id: _obstacle(instance, claims.get(instance.id, ()), group, unsure) for instance in members(group)
    }
    eligible = [instance for instance in members(group) if obstacle[instance.id] is None]
    if len(eligible) < count:
        return _too_few(count, len(eligible), group, node_of, obstacle)
    costs = _Costs(node_of, movable(tasks, services), holders(tasks, services), own_node_id)
    zones = Counter(instance.zone for instance in members(group))
    cheapest = tuple(islice(_cheapest(eligible, costs, zones), count))
    if any(unsure.values()) and any(node_of[each.id].ready for each in cheapest if each.id in node_of):
        return _nobody_knows(unsure)
    return tuple(_victim(instance, node_of) for instance in cheapest)


# --- Who may be taken -------------------------------------------------------------------------------------------


def _roles(node: Node) -> set[Role]:
    """The role that is wanted, and the one it has."""
    return {node.role, "worker" if node.manager is None else "manager"}


def _kept(instance: Instance, group: Group) -> bool:
    """Somebody has protected just this one: a group that protects all new ones says nothing by it."""
    return instance.protected and not group.protects_new


def _is_older(instance: Instance, moment: datetime) -> bool:
    return instance.launched_at is not None and instance.launched_at < moment


def _obstacle(
    instance: Instance, claiming: Sequence[Node], group: Group, unsure: Mapping[str, Sequence[Node]]
) -> str | None:
    """Why an instance must not be taken. None: it may. `unsure`: those that should have joined, and who they could be.

    One of the nodes that claim it being protected is enough: it may be that one.
    """
    if _kept(instance, group):
        return "protected from scale-in"
    if any(node.labels.get(PROTECT_LABEL, "").strip().lower() == "true" for node in claiming):
        return f"node label {PROTECT_LABEL}=true"
    if disputed(claiming):
        return f"{dispute(claiming)}: give each Docker engine its own label instance_id=INSTANCE_ID"
    if claiming:
        return None if instance.phase is Phase.IN_SERVICE else instance.phase.value
    if instance.id not in unsure:
        return "has not joined the Swarm yet"
    return _could_be(unsure[instance.id]) if unsure[instance.id] else None


# --- Who goes first ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Costs:
    """What it costs to remove an instance, zones and age aside."""

    node_of: Mapping[str, Node]
    tasks: Mapping[str, int]
    holders: frozenset[str]
    own_node_id: str

    def of(self, instance: Instance) -> tuple[bool, int, bool, int]:
        """The smaller, the sooner it goes."""
        node = self.node_of.get(instance.id)
        if node is None:
            return False, 0, False, 0
        return node.id == self.own_node_id, 1 + node.ready, node.id in self.holders, self.tasks.get(node.id, 0)


def _cheapest(eligible: Sequence[Instance], costs: _Costs, zones: Counter[str]) -> Iterator[Instance]:
    """The instances by cost; among equals always one of the zone that is the fullest by then, its newest."""
    for _, equals in groupby(sorted(eligible, key=costs.of), key=costs.of):
        yield from _by_zone(list(equals), zones)


def _by_zone(equals: Sequence[Instance], zones: Counter[str]) -> Iterator[Instance]:
    queues: dict[str, deque[Instance]] = {}
    for instance in sorted(equals, key=_age, reverse=True):
        queues.setdefault(instance.zone, deque()).append(instance)
    while queues:
        zone = max(queues, key=lambda zone: (zones[zone], _age(queues[zone][0])))
        yield queues[zone].popleft()
        zones[zone] -= 1
        queues = {name: queue for name, queue in queues.items() if queue}


def _age(instance: Instance) -> tuple[datetime, str]:
    return instance.launched_at or datetime.min.replace(tzinfo=UTC), instance.id


def _victim(instance: Instance, node_of: Mapping[str, Node]) -> Victim:
    node = node_of.get(instance.id)
    return (
        Victim(instance.id, None, instance.id) if node is None else Victim(instance.id, node.id, _name(instance, node))
    )


def _name(instance: Instance, node: Node | None) -> str:
    return (node.hostname if node is not None else "") or instance.id


# --- Why nobody goes --------------------------------------------------------------------------------------------


def _nothing_matches(count: int, group: Group) -> Refusal:
    present = [instance.id for instance in members(group)]
    if not present:
        return Refusal(f"Auto Scaling group {group.name} has no instance that could be removed")
    return Refusal(
        f"Cannot choose {count} of the instances of Auto Scaling group {group.name} ({_listed(present)}): no node of "
        "the Swarm can be matched to any of them, so nobody knows what runs there. Give the Docker engines the "
        "label instance_id=INSTANCE_ID, or hostnames equal to the private DNS names; instances that never joined "
        "can be ended with `aws autoscaling terminate-instance-in-auto-scaling-group "
        "--should-decrement-desired-capacity --instance-id INSTANCE_ID`"
    )


def _could_be(strangers: Sequence[Node]) -> str:
    names = _listed([f"{node.hostname} ({node.id})" for node in strangers])
    return f"no node of the Swarm can be matched to it, but it could be {names}"


def _nobody_knows(unsure: Mapping[str, Sequence[Node]]) -> Refusal:
    """An instance that has perhaps never joined would go first; a healthy one must not go in its place."""
    doubts = [f"{instance_id}: {_could_be(strangers)}" for instance_id, strangers in unsure.items() if strangers]
    return Refusal(
        f"Nobody can tell whether these instances have joined the Swarm, and no healthy one goes in their place: "
        f"{'; '.join(doubts[:_NAMED])}. Give the Docker engines the label instance_id=INSTANCE_ID, or end what has "
        "not joined (`aws autoscaling terminate-instance-in-auto-scaling-group --should-decrement-desired-capacity "
        "--instance-id INSTANCE_ID`), then repeat the request"
    )


def _too_few(
    count: int, eligible: int, group: Group, node_of: Mapping[str, Node], obstacle: Mapping[str, str | None]
) -> Refusal:
    kept = [
        f"{_name(instance, node_of.get(instance.id))} ({obstacle[instance.id]})"
        for instance in members(group)
        if obstacle[instance.id] is not None
    ]
    why = f": {_listed(kept)}" if kept else ""
    return Refusal(
        f"Only {eligible} of the {len(members(group))} instances of Auto Scaling group {group.name} can be removed, "
        f"{count} should be{why}. Remove fewer, wait until all are InService and in the Swarm, or lift the "
        f"protection (`docker node update --label-rm {PROTECT_LABEL} NODE`, "
        "`aws autoscaling set-instance-protection --no-protected-from-scale-in`)"
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")

"""The inventory: groups and nodes as the status document shows them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from shared.fields import Role
from shared.status import LONGEST_SENTENCE, MOST_REASONS, GroupStatus, NodeStatus, Obstacle
from worker.decisions.bounds import node_limits
from worker.decisions.matching import claimants, members
from worker.decisions.pools import NodePool
from worker.decisions.preflight import EVER
from worker.decisions.readiness import up_count
from worker.decisions.reasons import Obstacle as Reasoned
from worker.decisions.victims import is_labelled, is_protected
from worker.ports.scaling import Activities, Group, Instance, Phase
from worker.ports.swarm import Node

NOT_JOINED = "not joined"
"""The state of an instance that is in service and no node of the Swarm."""

Judged = Mapping[str, tuple[Reasoned, ...]]
"""Node id, of an instance without a node its own id, to what keeps it."""


def group_status(pool: NodePool, group: Group, activities: Activities, nodes: Sequence[Node]) -> GroupStatus:
    """A group, with the bounds that count where no service's labels say otherwise."""
    limits = node_limits(pool, {}, "up", None, group)
    debt = max(group.desired - len(members(group)), 0)
    suspended = {"Launch": group.launches_suspended, "Terminate": group.terminations_suspended}
    return GroupStatus(
        type=pool.name,
        name=group.name,
        desired=group.desired,
        instances=len(members(group)),
        ready=up_count(group, nodes, pool.role),
        min=limits.minimum,
        max=limits.maximum,
        min_from=limits.minimum_from,
        max_from=limits.maximum_from,
        protected=group.protects_new,
        suspended=tuple(name for name, is_suspended in suspended.items() if is_suspended),
        debt=debt,
        debt_reason=activities.why_not(EVER) if debt else None,
    )


def node_statuses(
    groups: Mapping[Role, Group], nodes: Sequence[Node], tasks: Mapping[str, int], judged: Judged
) -> tuple[NodeStatus, ...]:
    """All nodes of the Swarm, and the instances of the groups that are none; by type and name.

    `tasks`: node id to how many tasks run there.
    """
    found: list[NodeStatus] = []
    owned: dict[str, tuple[Instance, Group]] = {}
    for role, group in groups.items():
        claims = claimants(nodes, group.instances)
        for instance in group.instances:
            for node in claims.get(instance.id, ()):
                owned[node.id] = (instance, group)
            if instance.id not in claims and not instance.leaving:
                found.append(_absent(role, instance, group, judged))
    found += [_node(node, owned.get(node.id), tasks.get(node.id, 0), judged) for node in nodes]
    return tuple(sorted(found, key=lambda each: (each.type, each.hostname or "~", each.id, each.instance or "")))


def _node(node: Node, owned: tuple[Instance, Group] | None, tasks: int, judged: Judged) -> NodeStatus:
    instance, group = owned or (None, None)
    return NodeStatus(
        hostname=node.hostname,
        id=node.id,
        instance=None if instance is None else instance.id,
        type=node.role,
        zone="" if instance is None else instance.zone,
        state=node.state,
        availability=node.availability,
        launched_at=None if instance is None else instance.launched_at,
        leader=node.manager is not None and node.manager.leader,
        tasks=tasks,
        protected=is_labelled(node) or (instance is not None and group is not None and is_protected(instance, group)),
        removable=_removable(judged.get(node.id)),
    )


def _absent(role: Role, instance: Instance, group: Group, judged: Judged) -> NodeStatus:
    state = NOT_JOINED if instance.phase is Phase.IN_SERVICE else instance.phase.value
    return NodeStatus(
        instance=instance.id,
        type=role,
        zone=instance.zone,
        state=state,
        launched_at=instance.launched_at,
        protected=is_protected(instance, group),
        removable=_removable(judged.get(instance.id)),
    )


def _removable(obstacles: Sequence[Reasoned] | None) -> Literal["yes"] | tuple[Obstacle, ...] | None:
    if obstacles is None:
        return None
    if not obstacles:
        return "yes"
    return tuple(Obstacle(code=str(each.reason), sentence=_cut(each.text)) for each in obstacles[:MOST_REASONS])


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SENTENCE else f"{text[: LONGEST_SENTENCE - 3]}..."

"""Whether each node of a pool could be removed now, by itself, and why not; and where its tasks would go.

Judged by what a scale-down asks of its victims (`victims`, `preflight`), so the two cannot disagree: who is chosen
could be removed. What is asked of several nodes together is left to the choice. Costs a look at every node for each
node with tasks: about a second for 1,000 nodes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from worker.decisions.bounds import Limits
from worker.decisions.costs import Costs
from worker.decisions.displacement import Departures, movable
from worker.decisions.matching import claimants, matched, members
from worker.decisions.preflight import EVER, down_obstacles, unit_refusal
from worker.decisions.reasons import Obstacle, Reason
from worker.decisions.refusals import name_of, nobody_knows
from worker.decisions.victims import Snapshot, code_of, hindrances, obstacle_of
from worker.ports.scaling import Activities, Group, Instance
from worker.ports.swarm import Node


@dataclass(frozen=True, slots=True)
class Verdict:
    """One node, or an instance that is none."""

    name: str
    """The node's hostname, or the instance's id."""
    instance_id: str | None
    """None: it is no instance of the group, as far as can be told."""
    node_id: str | None
    """None: the instance has not joined the Swarm."""
    cost: str
    """What it would cost to remove it, in words."""
    obstacles: tuple[Obstacle, ...] = ()
    """Why it could not be removed. Empty: it could."""

    @property
    def removable(self) -> bool:
        """Whether a scale-down could take it now."""
        return not self.obstacles


def verdicts(snapshot: Snapshot, of_pool: Sequence[Obstacle] = ()) -> tuple[Verdict, ...]:
    """Of each member of the group, and of each node of the type that is none; by name.

    `of_pool`: what keeps all of them (`pool_obstacles`).
    """
    group, nodes, own = snapshot.group, snapshot.nodes, snapshot.own_node_id
    node_of, claims = matched(nodes, group.instances), claimants(nodes, group.instances)
    costs = Costs(node_of, movable(snapshot.tasks, snapshot.services), own)
    obstacles_of = _judge(snapshot, claims)
    found = []
    for instance in members(group):
        claiming = claims.get(instance.id, ())
        node = node_of.get(instance.id) or next(iter(claiming), None)
        obstacles = (*of_pool, *obstacles_of(instance, claiming))
        name, node_id = name_of(instance, node), None if node is None else node.id
        found.append(Verdict(name, instance.id, node_id, costs.why(instance.id), obstacles))
    found += _strangers(snapshot, claims)
    return tuple(
        sorted(_own_last(found, own), key=lambda each: (each.name, each.instance_id or "", each.node_id or ""))
    )


def pool_obstacles(
    group: Group, limits: Limits, desired: int, activities: Activities, refreshing: bool, since: datetime = EVER
) -> tuple[Obstacle, ...]:
    """What keeps every node of a pool: bounds, and the state of its group. `since`: see `preflight.up_refusal`."""
    unit = unit_refusal(group)
    if unit is not None:
        return (Obstacle(Reason.WEIGHTED, unit),)
    found = down_obstacles(group, 1, activities, refreshing, since)
    if desired - 1 >= limits.minimum or any(each.reason is Reason.AT_MINIMUM for each in found):
        return found
    return (*found, Obstacle(Reason.AT_MINIMUM, f"{desired} nodes are wanted, and {limits.named('minimum')} counts"))


def destinations(snapshot: Snapshot, leaving: Sequence[str]) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    """Where the tasks of nodes that go together would go: node id to service name to hostname to how many.

    A forecast, node by node: Swarm places by the same rules, and looks again when it does.
    """
    departures = Departures(snapshot.nodes, snapshot.services, snapshot.tasks)
    return {node_id: departures.destinations(leaving, only=node_id) for node_id in leaving}


def _judge(
    snapshot: Snapshot, claims: Mapping[str, Sequence[Node]]
) -> Callable[[Instance, Sequence[Node]], tuple[Obstacle, ...]]:
    """What keeps one instance, by itself or by what runs there."""
    group, nodes = snapshot.group, snapshot.nodes
    unsure = snapshot.unsure(claims)
    departures = Departures(nodes, snapshot.services, snapshot.tasks)

    doubts = (Obstacle(Reason.UNMATCHED, nobody_knows(unsure).reason),) if any(unsure.values()) else ()
    nothing = (Obstacle(Reason.UNMATCHED, "no node of the Swarm can be matched to any instance of the group"),)

    def obstacles(instance: Instance, claiming: Sequence[Node]) -> tuple[Obstacle, ...]:
        if not claims:
            return nothing
        kept = obstacle_of(instance, claiming, group, unsure)
        if kept is not None:
            return (Obstacle(code_of(instance, claiming, group), kept),)
        doubtful = doubts if any(node.ready for node in claiming[:1]) else ()
        return (*hindrances([node.id for node in claiming], nodes, departures), *doubtful)

    return obstacles


def _strangers(snapshot: Snapshot, claims: Mapping[str, Sequence[Node]]) -> list[Verdict]:
    """The nodes of the type of which nobody knows which instance they are."""
    known = {node.id for claiming in claims.values() for node in claiming}
    text = "no instance of the group has its label or its hostname"
    return [
        Verdict(node.hostname or node.id, None, node.id, "", (Obstacle(Reason.UNMATCHED, text),))
        for node in snapshot.nodes
        if node.role == snapshot.node_type and node.id not in known
    ]


def _own_last(found: Sequence[Verdict], own_node_id: str) -> list[Verdict]:
    """The worker's own node stays while another may go."""
    others = any(each.removable for each in found if each.node_id != own_node_id)
    own = (Obstacle(Reason.OWN_NODE, "the active worker runs there, and others may go"),)
    return [
        replace(each, obstacles=own) if others and each.removable and each.node_id == own_node_id else each
        for each in found
    ]

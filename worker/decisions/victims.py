"""Which instances a scale-down takes: those that cost least to remove and may go together, never a protected one.

A set may go when everything that runs on it would run elsewhere and the managers keep their quorum; whatever is
cheaper (`costs`) and could not go with the others is passed over, with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.fields import Role
from worker.decisions.choice import Search
from worker.decisions.costs import Costs, Order
from worker.decisions.displacement import Departures, movable
from worker.decisions.matching import Strangers, claimants, dispute, disputed, matched, members
from worker.decisions.quorum import demotions_refusal
from worker.decisions.reasons import Obstacle, Reason
from worker.decisions.refusals import (
    Refusal,
    could_be,
    listed,
    name_of,
    nobody_knows,
    none_fits,
    nothing_matches,
    too_few,
)
from worker.ports.scaling import Group, Instance, Phase
from worker.ports.swarm import PROTECT_LABEL, Node, Service, Task

MOST_LOOKED_AT = 600_000
"""The search stops after so many looks at a node for a service, all sets together: it takes the event loop's time.

Measured at 1,000 nodes with 20,000 tasks: 0.03 s for a choice without obstacles, 0.7 s for one that comes to the bound.
"""
_TEXTS = 5
"""And so many told with their reasons."""


@dataclass(frozen=True, slots=True)
class Victim:
    """An instance that goes, and its node if it has one."""

    instance_id: str
    node_id: str | None
    name: str
    """The node's hostname, or the instance id."""
    why: str = ""
    """Why it costs least."""
    drained: bool = False
    """Its node was drained already when it was chosen: by somebody else."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """An instance that would have cost less than one that goes."""

    name: str
    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Who goes, in the order in which they should, and who would have cost less and does not."""

    victims: tuple[Victim, ...]
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def remark(self) -> str:
        """What people should know about the choice, for the record's message. Empty: nothing."""
        drained = [victim.name for victim in self.victims if victim.drained]
        passed = [f"{each.name} ({each.reason})" for each in self.passed_over]
        already = f"{listed(drained)} {'was' if len(drained) == 1 else 'were'} drained already" if drained else ""
        over = f"passed over: {listed(passed)}" if passed else ""
        return "; ".join(filter(None, (already, over)))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of one pool, its group and the Swarm when instances are judged or chosen."""

    group: Group
    nodes: Sequence[Node]
    """All nodes of the Swarm."""
    tasks: Sequence[Task]
    services: Sequence[Service]
    node_type: Role
    own_node_id: str
    now: datetime
    join_timeout: timedelta

    def unsure(self, claims: Mapping[str, Sequence[Node]]) -> dict[str, Sequence[Node]]:
        """The instances that should have joined by now (see `unsure_of`)."""
        pool = [node for node in self.nodes if self.node_type in roles(node)]
        return unsure_of(self.group, pool, claims, self.now - self.join_timeout)


def choose(count: int, snapshot: Snapshot) -> Choice | Refusal:
    """`count` victims of the group, or why there are none. The search is bounded (`MOST_LOOKED_AT`)."""
    group, nodes, tasks, services = snapshot.group, snapshot.nodes, snapshot.tasks, snapshot.services
    node_of, claims = matched(nodes, group.instances), claimants(nodes, group.instances)
    if not claims:
        return nothing_matches(count, group)
    unsure = snapshot.unsure(claims)
    obstacle = {
        instance.id: obstacle_of(instance, claims.get(instance.id, ()), group, unsure) for instance in members(group)
    }
    eligible = [instance for instance in members(group) if obstacle[instance.id] is None]
    if len(eligible) < count:
        return too_few(count, len(eligible), group, node_of, obstacle)
    costs = Costs(node_of, movable(tasks, services), snapshot.own_node_id)
    departures, order = Departures(nodes, services, tasks), Order(eligible, members(group), costs)
    search = Search(
        count,
        ordered=order.without,
        hinders=lambda ids: hindrance([node.id for each in ids for node in claims.get(each, ())], nodes, departures),
        affordable=lambda: departures.looked_at < MOST_LOOKED_AT,
    )
    chosen = search.run()
    if chosen is None:
        return none_fits(search, len(eligible), group, node_of)
    if any(unsure.values()) and any(node_of[each].ready for each in chosen if each in node_of):
        return nobody_knows(unsure)
    return Choice(
        tuple(_victim(instance_id, costs) for instance_id in chosen),
        _passed_over(chosen, search, group, claims, costs, obstacle),
    )


def unsure_of(
    group: Group, nodes: Sequence[Node], claims: Mapping[str, Sequence[Node]], joined_by: datetime
) -> dict[str, Sequence[Node]]:
    """The instances that no node claims though they should have joined by then, and the nodes that they could be."""
    strangers = Strangers(nodes, group.instances)
    return {
        instance.id: strangers.like(instance)
        for instance in members(group)
        if instance.id not in claims and not is_protected(instance, group) and _is_older(instance, joined_by)
    }


def hindrances(node_ids: Sequence[str], nodes: Sequence[Node], departures: Departures) -> tuple[Obstacle, ...]:
    """All that keeps the nodes from going together; where that is the quorum, it alone."""
    quorum = demotions_refusal(nodes, node_ids)
    if quorum is not None:
        return (Obstacle(Reason.QUORUM, quorum),)
    return departures.obstacles(node_ids)


def hindrance(node_ids: Sequence[str], nodes: Sequence[Node], departures: Departures) -> Obstacle | None:
    """What keeps the nodes from going together."""
    found = hindrances(node_ids, nodes, departures)
    if len(found) < 2:
        return found[0] if found else None
    more = f"; and {len(found) - _TEXTS} more" if len(found) > _TEXTS else ""
    return Obstacle(found[0].reason, "; ".join(map(str, found[:_TEXTS])) + more)


# --- Who may be taken -------------------------------------------------------------------------------------------


def roles(node: Node) -> set[Role]:
    """The role that is wanted, and the one it has."""
    return {node.role, "worker" if node.manager is None else "manager"}


def is_protected(instance: Instance, group: Group) -> bool:
    """Somebody has protected just this one: a group that protects all new ones says nothing by it."""
    return instance.protected and not group.protects_new


def _is_older(instance: Instance, moment: datetime) -> bool:
    return instance.launched_at is not None and instance.launched_at < moment


def obstacle_of(
    instance: Instance, claiming: Sequence[Node], group: Group, unsure: Mapping[str, Sequence[Node]]
) -> str | None:
    """Why an instance must not be taken. None: it may. `unsure`: those that should have joined, and who they could be.

    One of the nodes that claim it being protected is enough: it may be that one.
    """
    if is_protected(instance, group):
        return "protected from scale-in"
    if any(is_labelled(node) for node in claiming):
        return f"node label {PROTECT_LABEL}=true"
    if disputed(claiming):
        return f"{dispute(claiming)}: give each Docker engine its own label instance_id=INSTANCE_ID"
    if claiming:
        return None if instance.phase is Phase.IN_SERVICE else instance.phase.value
    if instance.id not in unsure:
        return "has not joined the Swarm yet"
    return could_be(unsure[instance.id]) if unsure[instance.id] else None


# --- Who goes, and who does not ---------------------------------------------------------------------------------


def _victim(instance_id: str, costs: Costs) -> Victim:
    node, why = costs.node_of.get(instance_id), costs.why(instance_id)
    if node is None:
        return Victim(instance_id, None, instance_id, why)
    return Victim(instance_id, node.id, node.hostname or instance_id, why, drained=node.availability == "drain")


def _passed_over(
    chosen: Sequence[str],
    search: Search,
    group: Group,
    claims: Mapping[str, Sequence[Node]],
    costs: Costs,
    obstacle: Mapping[str, str | None],
) -> tuple[PassedOver, ...]:
    """Who would have cost less than the costliest of the chosen: kept by itself, or by what runs there."""
    dearest = max(costs.of(instance_id) for instance_id in chosen)
    found = []
    for instance in sorted(members(group), key=lambda instance: (costs.of(instance.id), instance.id)):
        node = costs.node_of.get(instance.id)
        kept, hindered = obstacle[instance.id], search.passed_over.get(instance.id)
        if hindered is not None:
            found.append(PassedOver(name_of(instance, node), hindered.reason, hindered.text))
        elif kept is not None and costs.of(instance.id) < dearest:
            found.append(
                PassedOver(name_of(instance, node), code_of(instance, claims.get(instance.id, ()), group), kept)
            )
    return tuple(found)


def code_of(instance: Instance, claiming: Sequence[Node], group: Group) -> Reason:
    """Of what `obstacle_of` says."""
    if is_protected(instance, group) or any(is_labelled(node) for node in claiming):
        return Reason.PROTECTED
    return Reason.NOT_IN_SERVICE if claiming and not disputed(claiming) else Reason.UNMATCHED


def is_labelled(node: Node) -> bool:
    """Somebody protects the node by its label."""
    return node.labels.get(PROTECT_LABEL, "").strip().lower() == "true"

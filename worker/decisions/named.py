"""Which node somebody means by a name, and what keeps that one from being drained.

A name is a hostname, a node's id or an instance's, whole and exact. Where it may mean two nodes, neither is guessed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from shared.fields import Role, shown
from worker.decisions.displacement import Departures
from worker.decisions.matching import INSTANCE_LABEL, claimants, dispute, disputed, matched
from worker.decisions.reasons import Obstacle, Reason
from worker.decisions.refusals import Refusal, listed, nothing_matches
from worker.decisions.victims import code_of, hindrance, is_labelled, is_protected, obstacle_of, roles, unsure_of
from worker.ports.scaling import Group, Instance
from worker.ports.swarm import PROTECT_LABEL, Node, Service, Task

_NEAREST = 3
"""So many names are suggested."""


@dataclass(frozen=True, slots=True)
class Named:
    """What somebody means: a node, and its instance as far as it is known; or an instance without a node."""

    kind: Role
    """The pool: that of the instance's group, else the node's role."""
    node: Node | None
    instance: Instance | None

    @property
    def name(self) -> str:
        """The hostname, else the instance's id."""
        if self.node is not None:
            return self.node.hostname or self.node.id
        return "" if self.instance is None else self.instance.id

    @property
    def instance_id(self) -> str:
        """Empty where no instance is known."""
        return "" if self.instance is None else self.instance.id


def find(name: str, nodes: Sequence[Node], groups: Mapping[Role, Group]) -> Named | Refusal:
    """Who is called so. `groups`: the groups of the pools; none where node scaling is off."""
    meant = [node for node in nodes if name in {node.id, node.hostname} or _labelled(node, nodes) == name]
    if not meant:
        meant = [node for group in groups.values() for node in _of_instance(name, nodes, group)]
    if len(meant) > 1:
        return _several(name, meant)
    if meant:
        return _known(meant[0], nodes, groups)
    for kind, group in groups.items():
        for instance in group.staying:
            if instance.id == name:
                return Named(kind, None, instance)
    return _unknown(name, nodes, groups)


def keeps(
    named: Named,
    groups: Mapping[Role, Group],
    nodes: Sequence[Node],
    services: Sequence[Service],
    tasks: Sequence[Task],
) -> Obstacle | None:
    """Why a node must not be drained: it is protected, or what runs there could not run elsewhere. None: it may."""
    node = named.node
    if node is not None and is_labelled(node):
        lift = f"`docker node update --label-rm {PROTECT_LABEL} {named.name}`"
        return Obstacle(
            Reason.PROTECTED, f"{named.name} is protected (node label {PROTECT_LABEL}=true): lift it ({lift})"
        )
    if named.instance is not None and is_protected(named.instance, groups[named.kind]):
        lift = "`aws autoscaling set-instance-protection --no-protected-from-scale-in`"
        return Obstacle(Reason.PROTECTED, f"{named.name} is protected from scale-in by Auto Scaling: lift it ({lift})")
    return None if node is None else hindrance([node.id], nodes, Departures(nodes, services, tasks))


def _labelled(node: Node, nodes: Sequence[Node]) -> str | None:
    """The instance that only this node's engine label names: labels are baked into images."""
    label = node.engine_labels.get(INSTANCE_LABEL)
    return label if label and sum(each.engine_labels.get(INSTANCE_LABEL) == label for each in nodes) == 1 else None


def _of_instance(name: str, nodes: Sequence[Node], group: Group) -> Sequence[Node]:
    """The node of an instance, the one that counts; all that are Ready where several claim it."""
    claiming = claimants(nodes, group.instances).get(name, ())
    return [node for node in claiming if node.ready] if disputed(claiming) else claiming[:1]


def _known(node: Node, nodes: Sequence[Node], groups: Mapping[Role, Group]) -> Named:
    for kind, group in groups.items():
        by_id = {instance.id: instance for instance in group.instances}
        for instance_id, its_node in matched(nodes, group.instances).items():
            if its_node.id == node.id:
                return Named(kind, node, by_id[instance_id])
    return Named("worker" if node.manager is None else "manager", node, None)


def _several(name: str, meant: Sequence[Node]) -> Refusal:
    which = listed([f"{node.hostname} ({node.id}, {node.state})" for node in meant])
    return Refusal(f"{shown(name)} is the name of {len(meant)} nodes: {which}. Repeat the request with a node's id")


def _unknown(name: str, nodes: Sequence[Node], groups: Mapping[Role, Group]) -> Refusal:
    known = list(dict.fromkeys(_names(nodes, groups)))
    nearest = get_close_matches(name, known, n=_NEAREST, cutoff=0.5) or known[:_NEAREST]
    hint = f"The nearest: {', '.join(nearest)}. " if nearest else ""
    return Refusal(
        f"No node and no instance is called {shown(name)}. {hint}`docker node ls` shows hostnames and ids: repeat the "
        "request with one of them"
    )


def _names(nodes: Sequence[Node], groups: Mapping[Role, Group]) -> Iterator[str]:
    yield from (node.hostname for node in nodes if node.hostname)
    yield from (instance.id for group in groups.values() for instance in group.staying)
    yield from (node.id for node in nodes)


def not_replaceable(
    named: Named,
    nodes: Sequence[Node],
    groups: Mapping[Role, Group],
    *,
    ending: Collection[str],
    joined_by: datetime,
) -> Obstacle | None:
    """What keeps the instance from being replaced, what runs there aside. None: nothing.

    `ending`: ids of the instances that are being terminated; `joined_by`: who was launched before should be a node.
    """
    instance, group = named.instance, groups[named.kind]
    if instance is None:
        why = f"{_unmatched(named, nodes, groups)}. Give the Docker engine the label {INSTANCE_LABEL}=INSTANCE_ID"
        code = Reason.UNMATCHED
    elif instance.id in ending:
        why, code = "it is being terminated already", Reason.LEAVING
    else:
        claims = claimants(nodes, group.instances)
        if not claims:
            return Obstacle(Reason.UNMATCHED, nothing_matches(1, group).reason)
        claiming = claims.get(instance.id, ())
        unsure = unsure_of(group, [node for node in nodes if named.kind in roles(node)], claims, joined_by)
        kept = obstacle_of(instance, claiming, group, unsure)
        if kept is None:
            return None
        why, code = kept, code_of(instance, claiming, group)
    return Obstacle(code, f"{named.name} was not replaced: {why}. Then repeat the request")


def _unmatched(named: Named, nodes: Sequence[Node], groups: Mapping[Role, Group]) -> str:
    """Why it is not known which instance a node is."""
    for group in groups.values():
        for claiming in claimants(nodes, group.instances).values():
            if disputed(claiming) and any(named.node is not None and each.id == named.node.id for each in claiming):
                return dispute(claiming)
    return "no instance of the groups can be matched to it"

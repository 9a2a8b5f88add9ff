"""Which instance of a group is which node of the Swarm, and which instances a group's capacity consists of.

Exactly, never by prefix: `ip-10-0-3-12` is not `ip-10-0-3-129`. Whoever gets no match here has to do without one:
guessing is how the wrong machine is taken away.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address

from worker.ports.scaling import Group, Instance, Phase
from worker.ports.swarm import Node

INSTANCE_LABEL = "instance_id"
"""The engine label that the cluster template's user data sets."""


MEMBERS_KEPT = 300
"""So many members of a group are remembered, the newest; with their hostnames they take some 20 KB."""
CLOCKS_APART = timedelta(minutes=1)
"""A node's beginning is told by the managers' clocks, a machine's by AWS's."""
_EC2_NAME = re.compile(r"(ip(-\d+){4}|i-[0-9a-f]+)")
"""The first label of the hostnames that EC2 gives: each of them names one machine.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hostname-types.html"""
_COUNTED = frozenset({Phase.PENDING, Phase.IN_SERVICE})


def matched(nodes: Sequence[Node], instances: Sequence[Instance]) -> dict[str, Node]:
    """Instance id to its node, for the instances that have one. No node is the node of two instances.

    Of the nodes that claim one instance the Ready one counts. Where two Ready nodes claim it, neither does.
    """
    claims = claimants(nodes, instances)
    return {instance_id: claiming[0] for instance_id, claiming in claims.items() if not disputed(claiming)}


def claimants(nodes: Sequence[Node], instances: Sequence[Instance]) -> dict[str, tuple[Node, ...]]:
    """Instance id to all nodes that say they are it, the one that counts first: an engine that left and joined again
    has two. The engine label says so; without one, the hostname.
    """
    known = {instance.id for instance in instances}
    names = _names(instances)
    claims: dict[str, list[Node]] = defaultdict(list)
    for node in sorted(nodes, key=_weight, reverse=True):
        instance_id = _instance_id(node, known, names)
        if instance_id is not None:
            claims[instance_id].append(node)
    return {instance_id: tuple(claiming) for instance_id, claiming in claims.items()}


def disputed(claiming: Sequence[Node]) -> bool:
    """Whether more than one Ready node is among those that claim an instance: nobody can tell which is it."""
    return sum(node.ready for node in claiming) > 1


def dispute(claiming: Sequence[Node]) -> str:
    """The same in words, with the names: `claimed by two Ready nodes, a (n-1) and b (n-2)`."""
    names = [f"{node.hostname} ({node.id})" for node in claiming if node.ready]
    number = "two" if len(names) == 2 else str(len(names))
    return f"claimed by {number} Ready nodes, {', '.join(names[:-1])} and {names[-1]}"


def borne_out(claiming: Sequence[Node], instance: Instance) -> Node | None:
    """Of the Ready nodes that claim an instance the only one whose hostname or address is the instance's. None: there
    is none, or more than one. Labels are baked into images; hostname and address are of one machine.
    """
    ready = [node for node in claiming if node.ready]
    own = [node for node in ready if node.hostname in _own_names(instance) or node.address in instance.addresses - {""}]
    return own[0] if len(own) == 1 else None


def remembered(known: Mapping[str, str], group: Group) -> dict[str, str]:
    """Who was seen in a group until now, and its instances of today after them: ids and EC2's hostnames."""
    today = {each.id: each.private_dns_name or known.get(each.id, "") for each in group.instances}
    past = {instance_id: name for instance_id, name in known.items() if instance_id not in today}
    return dict(list({**past, **today}.items())[-MEMBERS_KEPT:])


def owners(node: Node, members: Mapping[str, str]) -> frozenset[str]:
    """The instances that a node may have been: the one of its label; without one, all that had its hostname."""
    label = node.engine_labels.get(INSTANCE_LABEL)
    if label:
        return frozenset({label})
    names = {node.hostname} - {""}
    return frozenset(each for each, name in members.items() if names & {name, _short_name(name)})


class Strangers:
    """The Ready nodes of which nobody knows which instance they are: each could be one that seems to have no node.

    It could not if that can be told: by its label, its hostname, its address, or by when it came. What points to an
    instance outweighs a label that names another one: labels are baked into images.
    """

    def __init__(self, nodes: Iterable[Node], instances: Sequence[Instance]) -> None:
        ready = [node for node in nodes if node.ready]
        node_of = matched(ready, instances)
        known = {node.id for node in node_of.values()}
        self._nodes = tuple(node for node in ready if node.id not in known)
        self._labels = Counter(node.engine_labels.get(INSTANCE_LABEL) for node in ready)
        # An address tells instances apart only where the Swarm goes by those that EC2 knows.
        self._addresses = any(node_of[each.id].address in each.addresses for each in instances if each.id in node_of)

    def like(self, instance: Instance) -> tuple[Node, ...]:
        """Those that could be this instance."""
        return tuple(node for node in self._nodes if self._could_be(node, instance))

    def _could_be(self, node: Node, instance: Instance) -> bool:
        label = node.engine_labels.get(INSTANCE_LABEL)
        if _short_name(node.hostname) in _own_names(instance) or node.address in instance.addresses:
            return True
        if label and self._labels[label] == 1:
            return False
        if self._addresses and _tells(node.address) and instance.addresses:
            return False
        return not (_named_otherwise(node, instance) or _came_before(node, instance))


def _tells(address: str) -> bool:
    """Whether it is an address at all: managers say 0.0.0.0 of themselves at times."""
    try:
        return not (ip_address(address).is_unspecified or ip_address(address).is_loopback)
    except ValueError:
        return False


def _named_otherwise(node: Node, instance: Instance) -> bool:
    return bool(instance.private_dns_name and _EC2_NAME.fullmatch(_short_name(node.hostname)))


def _came_before(node: Node, instance: Instance) -> bool:
    if node.created_at is None or instance.made_at is None:
        return False
    return node.created_at < instance.made_at - CLOCKS_APART


def members(group: Group) -> tuple[Instance, ...]:
    """The instances that desired capacity counts: not those on their way out, in standby or in the warm pool.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
    """
    return tuple(instance for instance in group.instances if instance.phase in _COUNTED)


def _weight(node: Node) -> tuple[bool, bool, float, bool, str]:
    """The greatest of the nodes that claim one instance is the one that counts: of several Down ones the newest, for
    the others are what its engine was before it joined again.
    """
    joined = node.created_at.timestamp() if node.created_at is not None else 0.0
    labelled = bool(node.engine_labels.get(INSTANCE_LABEL))
    return node.ready, labelled, joined, node.availability == "active", node.id


def _instance_id(node: Node, known: set[str], names: Mapping[str, str]) -> str | None:
    label = node.engine_labels.get(INSTANCE_LABEL)
    if label:
        return label if label in known else None
    return names.get(node.hostname)


def _names(instances: Iterable[Instance]) -> dict[str, str]:
    """Hostname to instance id. A name that several instances could have stands for none of them."""
    owners: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        for name in _own_names(instance):
            owners[name].append(instance)
    only = {name: _only(claimants) for name, claimants in owners.items()}
    return {name: instance.id for name, instance in only.items() if instance is not None}


def _own_names(instance: Instance) -> set[str]:
    return {instance.private_dns_name, _short_name(instance.private_dns_name)} - {""}


def _short_name(name: str) -> str:
    return name.partition(".")[0]


def _only(claimants: Sequence[Instance]) -> Instance | None:
    """Addresses come back: one that stays has taken the name over from those that are leaving."""
    staying = [instance for instance in claimants if not instance.leaving] or claimants
    return staying[0] if len(staying) == 1 else None

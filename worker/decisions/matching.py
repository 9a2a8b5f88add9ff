"""Which instance of a group is which node of the Swarm, and which instances a group's capacity consists of.

Exactly, never by prefix: `ip-10-0-3-12` is not `ip-10-0-3-129`. Whoever gets no match here has to do without one:
guessing is how the wrong machine is taken away.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from worker.ports.scaling import Group, Instance, Phase
from worker.ports.swarm import Node

INSTANCE_LABEL = "instance_id"
"""The engine label that the cluster template's user data sets."""


_COUNTED = frozenset({Phase.PENDING, Phase.IN_SERVICE})


def matched(nodes: Sequence[Node], instances: Sequence[Instance]) -> dict[str, Node]:
    """Instance id to its node, for the instances that have one. No node is the node of two instances.

    The engine label counts first; without one, the hostname. Of two nodes on one instance the Ready one counts.
    """
    known = {instance.id for instance in instances}
    names = _names(instances)
    found: dict[str, Node] = {}
    for node in sorted(nodes, key=_weight):
        instance_id = _instance_id(node, known, names)
        if instance_id is not None:
            found[instance_id] = node
    return found


def members(group: Group) -> tuple[Instance, ...]:
    """The instances that desired capacity counts: not those on their way out, in standby or in the warm pool.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
    """
    return tuple(instance for instance in group.instances if instance.phase in _COUNTED)


def _weight(node: Node) -> tuple[bool, bool, bool, str]:
    """The last of the nodes that claim one instance is the one that counts."""
    return node.ready, bool(node.engine_labels.get(INSTANCE_LABEL)), node.availability == "active", node.id


def _instance_id(node: Node, known: set[str], names: Mapping[str, str]) -> str | None:
    label = node.engine_labels.get(INSTANCE_LABEL)
    if label:
        return label if label in known else None
    return names.get(node.hostname)


def _names(instances: Iterable[Instance]) -> dict[str, str]:
    """Hostname to instance id. A name that several instances could have stands for none of them."""
    owners: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        for name in {instance.private_dns_name, instance.private_dns_name.partition(".")[0]} - {""}:
            owners[name].append(instance)
    only = {name: _only(claimants) for name, claimants in owners.items()}
    return {name: instance.id for name, instance in only.items() if instance is not None}


def _only(claimants: Sequence[Instance]) -> Instance | None:
    """Addresses come back: one that stays has taken the name over from those that are leaving."""
    staying = [instance for instance in claimants if not instance.leaving] or claimants
    return staying[0] if len(staying) == 1 else None

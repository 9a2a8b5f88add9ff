"""Whether a scale-up has come true: are as many instances of the group Ready nodes of the Swarm as were asked for?

`expect` is decided once, when the scale is planned, and journaled; `progress` is asked on every event. Both go by
snapshots. Instances that were hopeless at the plan (stuck) or out of use (drained by someone) are left out of both
sides of the sum, so that one of them does not make every later scale-up wait in vain.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self

from shared.documents import Document
from shared.fields import Role
from worker.decisions.matching import INSTANCE_LABEL, claimants, dispute, disputed, matched, members
from worker.ports.scaling import Group, Instance
from worker.ports.swarm import Node

Matching = Literal["matched", "unmatched", "unknown"]


class Expectation(Document):
    """What a scale-up waits for."""

    target: int = 0
    base: int = 0
    matching: Matching = "unknown"
    """Whether nodes could be told to be instances of the group; unknown: it had none, or only ones that still boot."""
    excluded: tuple[str, ...] = ()
    """Ids of the instances that are not counted."""
    ready_before: int = 0
    """Ready nodes of the role at the plan, of the group or not."""

    def behind(self, waiting: Iterable["Expectation"]) -> Self:
        """The same, while others still wait: where nodes are only counted, the next ones are theirs."""
        promised = (other.ready_before + other.target - other.base for other in waiting)
        return self.but(ready_before=max((self.ready_before, *promised)))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scale-up has come."""

    ready: int
    needed: int
    missing: tuple[str, ...]
    """Ids of the counted instances without a Ready node, where that can be told."""

    @property
    def done(self) -> bool:
        """Nothing more to wait for."""
        return self.ready >= self.needed


def expect(
    target: int,
    base: int,
    group: Group,
    nodes: Sequence[Node],
    node_type: Role,
    now: datetime,
    join_timeout: timedelta,
) -> Expectation:
    """What to wait for when a group goes from `base` to `target`."""
    instances = members(group)
    node_of, claims = matched(nodes, group.instances), claimants(nodes, group.instances)
    excluded = tuple(
        instance.id
        for instance in instances
        if disputed(claims.get(instance.id, ()))
        or _out_of_use(node_of.get(instance.id))
        or _stuck(instance, node_of, node_type, now - join_timeout)
    )
    evidence = any(instance.launched_at is None or instance.launched_at < now - join_timeout for instance in instances)
    matching: Matching = "matched" if node_of else "unmatched" if evidence else "unknown"
    return Expectation(
        target=target,
        base=base,
        matching=matching,
        excluded=excluded,
        ready_before=len(_unlabelled(nodes, node_type)),
    )


def progress(expectation: Expectation, group: Group, nodes: Sequence[Node], node_type: Role) -> Progress:
    """How far it has come. By the instances as soon as a node claims one, else by the number of Ready nodes."""
    node_of = matched(nodes, members(group))
    if expectation.matching == "matched" or claimants(nodes, members(group)):
        return _by_instances(expectation, members(group), node_of, node_type)
    added = expectation.target - expectation.base
    # Where fewer were Ready than the group had in use, the others still boot, and are waited for, too.
    needed = max(expectation.ready_before + added, expectation.target - len(expectation.excluded))
    return Progress(len(_unlabelled(nodes, node_type)), needed, ())


def excluded_names(expectation: Expectation, group: Group, nodes: Sequence[Node]) -> tuple[str, ...]:
    """The instances that are not counted and still there, short, with why: `ip-10-0-3-12 (drained)`."""
    claims = claimants(nodes, members(group))
    excluded = (instance for instance in members(group) if instance.id in expectation.excluded)
    return tuple(_with_why(instance, claims.get(instance.id, ())) for instance in excluded)


def up_count(group: Group, nodes: Sequence[Node], node_type: Role) -> int:
    """How many nodes of a group are up: its instances that are Ready nodes, and nobody else's nodes."""
    node_of = matched(nodes, members(group))
    return sum(serves(node_of.get(instance.id), node_type) for instance in members(group))


def ready_nodes(nodes: Sequence[Node], node_type: Role) -> tuple[Node, ...]:
    """The Ready nodes that have this role now; a manager must be one, and be reachable."""
    return tuple(node for node in nodes if node.role == node_type and serves(node, node_type))


def _unlabelled(nodes: Sequence[Node], node_type: Role) -> tuple[Node, ...]:
    """The Ready nodes of a role that may belong to a group none of whose instances is matched.

    A label of its own says that a node is another instance; one that several nodes carry was baked into an image.
    """
    carried = Counter(node.engine_labels.get(INSTANCE_LABEL) or "" for node in nodes)
    labels = {label for label, count in carried.items() if label and count == 1}
    return tuple(node for node in ready_nodes(nodes, node_type) if node.engine_labels.get(INSTANCE_LABEL) not in labels)


def _by_instances(
    expectation: Expectation, instances: Sequence[Instance], node_of: Mapping[str, Node], node_type: Role
) -> Progress:
    counted = [instance.id for instance in instances if instance.id not in expectation.excluded]
    missing = tuple(name for name in counted if not serves(node_of.get(name), node_type))
    left_out = len(instances) - len(counted)
    added = expectation.target - expectation.base
    return Progress(len(counted) - len(missing), max(expectation.target - left_out, added), missing)


def serves(node: Node | None, node_type: Role) -> bool:
    """Whether it is Ready; as a manager, reachable too."""
    if node is None or not node.ready:
        return False
    return node_type == "worker" or (node.manager is not None and node.manager.reachable)


def _out_of_use(node: Node | None) -> bool:
    return node is not None and node.availability != "active"


def _stuck(instance: Instance, node_of: Mapping[str, Node], node_type: Role, before: datetime) -> bool:
    launched, node = instance.launched_at, node_of.get(instance.id)
    return launched is not None and launched < before and not (serves(node, node_type) or _promoted_now(node))


def _promoted_now(node: Node | None) -> bool:
    """Whether it is on its way to be a manager, as one that was given back: it will be reachable in a moment."""
    return node is not None and node.ready and node.role == "manager" and node.manager is None


def _with_why(instance: Instance, claiming: Sequence[Node]) -> str:
    if not claiming:
        return f"{instance.id} (never joined)"
    if disputed(claiming):
        return f"{instance.id} ({dispute(claiming)})"
    node = claiming[0]
    if not node.ready:
        return f"{node.hostname or instance.id} ({node.state})"
    words = {"drain": "drained", "pause": "paused", "active": "was not in use when the scale began"}
    return f"{node.hostname or instance.id} ({words[node.availability]})"

"""Why no node goes: what, why, and what to do, for the operator whose scale-down is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.decisions.choice import Search
from worker.decisions.matching import members
from worker.ports.scaling import Group, Instance
from worker.ports.swarm import PROTECT_LABEL, Node

_NAMED = 8
"""At most so many instances are named in a refusal."""
_TEXTS = 5
"""And so many told with their reasons."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is removed: what, why, what to do."""

    reason: str


def name_of(instance: Instance, node: Node | None) -> str:
    """The hostname of its node, or the instance's id."""
    return (node.hostname if node is not None else "") or instance.id


def nothing_matches(count: int, group: Group) -> Refusal:
    """No node of the Swarm is any of the instances."""
    present = [instance.id for instance in members(group)]
    if not present:
        return Refusal(f"Auto Scaling group {group.name} has no instance that could be removed")
    return Refusal(
        f"Cannot choose {count} of the instances of Auto Scaling group {group.name} ({listed(present)}): no node of "
        "the Swarm can be matched to any of them, so nobody knows what runs there. Give the Docker engines the "
        "label instance_id=INSTANCE_ID, or hostnames equal to the private DNS names; instances that never joined "
        "can be ended with `aws autoscaling terminate-instance-in-auto-scaling-group "
        "--should-decrement-desired-capacity --instance-id INSTANCE_ID`"
    )


def could_be(strangers: Sequence[Node]) -> str:
    """An instance that should have joined, and the nodes that it could be."""
    names = listed([f"{node.hostname} ({node.id})" for node in strangers])
    return f"no node of the Swarm can be matched to it, but it could be {names}"


def nobody_knows(unsure: Mapping[str, Sequence[Node]]) -> Refusal:
    """An instance that has perhaps never joined would go first; a healthy one must not go in its place."""
    doubts = [f"{instance_id}: {could_be(strangers)}" for instance_id, strangers in unsure.items() if strangers]
    return Refusal(
        f"Nobody can tell whether these instances have joined the Swarm, and no healthy one goes in their place: "
        f"{'; '.join(doubts[:_NAMED])}. Give the Docker engines the label instance_id=INSTANCE_ID, or end what has "
        "not joined (`aws autoscaling terminate-instance-in-auto-scaling-group --should-decrement-desired-capacity "
        "--instance-id INSTANCE_ID`), then repeat the request"
    )


def too_few(
    count: int, eligible: int, group: Group, node_of: Mapping[str, Node], obstacle: Mapping[str, str | None]
) -> Refusal:
    """Fewer may go than should; those that are kept, each with the reason."""
    kept = [
        f"{name_of(instance, node_of.get(instance.id))} ({obstacle[instance.id]})"
        for instance in members(group)
        if obstacle[instance.id] is not None
    ]
    why = f": {listed(kept)}" if kept else ""
    return Refusal(
        f"Only {eligible} of the {len(members(group))} instances of Auto Scaling group {group.name} can be removed, "
        f"{count} should be{why}. Remove fewer, wait until all are InService and in the Swarm, or lift the "
        f"protection (`docker node update --label-rm {PROTECT_LABEL} NODE`, "
        "`aws autoscaling set-instance-protection --no-protected-from-scale-in`)"
    )


def none_fits(search: Search, eligible: int, group: Group, node_of: Mapping[str, Node]) -> Refusal:
    """Each that stands in the way, with the reason: the cheapest first."""
    by_id = {instance.id: instance for instance in members(group)}
    told = [
        f"{name_of(by_id[instance_id], node_of.get(instance_id))}: {obstacle.text}"
        for instance_id, obstacle in search.passed_over.items()
    ]
    more = f"; and {len(told) - _TEXTS} more" if len(told) > _TEXTS else ""
    bounded = " Not every set of them was tried: there are too many." if search.exhausted else ""
    return Refusal(
        f"Nothing was removed: of the {eligible} instances of Auto Scaling group {group.name} that may go, no "
        f"{search.count} can: {'; '.join(told[:_TEXTS])}{more}.{bounded} Make room (or wait), then repeat the request"
    )


def listed(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")

"""Instances that a group launches to take the place of others, which go when the new ones are in service.

So do AZRebalance, capacity rebalancing and a refresh that may exceed the desired capacity. A new one that never enters
service takes nobody's place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.local.scaling import placement
from infra.local.scaling.activities import at

if TYPE_CHECKING:
    from infra.local.aws.group import Group


class Replacements:
    """Of one group."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._pairs: dict[str, tuple[str, str]] = {}

    def begin(self, old: str, why: str, cause: str) -> bool:
        """Launch one more (`why`); when it is in service, `old` goes (`cause`). False where EC2 refuses it."""
        state = self._group.launches.one(f"{at()} {why}")
        if state is not None:
            self._pairs[state.instance_id] = (old, cause)
        return state is not None

    def served(self, new: str) -> None:
        """An instance is in service."""
        old, cause = self._pairs.pop(new, ("", ""))
        if old in self._living():
            self._group.take_out(old, f"{at()} {cause}")

    def surplus(self) -> int:
        """How many living instances there are above what is desired, for as long as both are there."""
        living = self._living()
        self._pairs = {new: pair for new, pair in self._pairs.items() if new in living}
        return sum(old in living for old, _ in self._pairs.values())

    def replacing(self, instance_id: str) -> bool:
        """Whether an instance has a successor that is on its way."""
        living = self._living()
        return any(old == instance_id for new, (old, _) in self._pairs.items() if new in living)

    def even_out_zones(self) -> bool:
        """What AZRebalance does when zones are uneven: one more where few are, then one less where many are.

        Whether there was anything to do.
        """
        group = self._group
        if group.suspended("AZRebalance", "Launch", "Terminate"):
            return False
        members = group.members()
        low = placement.zone_for_launch(group.availability_zones, members)
        held = [member for member in members if member.zone != low and not member.protected]
        victim = next(iter(placement.victims(held, 1)), None)
        few = sum(member.zone == low for member in members)
        if victim is None or sum(one.zone == group.member(victim).availability_zone for one in members) < few + 2:
            return False
        begun = self.begin(
            victim,
            "an instance was launched to aid in balancing the group's zones.",
            "instances were launched to balance instances in zones.",
        )
        group.changed()
        return begun

    def at_risk(self, instance_id: str) -> None:
        """EC2 recommends to replace a spot instance, or takes it: with capacity rebalancing the group acts on that."""
        group = self._group
        if not group.capacity_rebalance or group.suspended("Launch", "Terminate") or self.replacing(instance_id):
            return
        if instance_id in self._living():
            self.begin(
                instance_id,
                "an instance was launched in response to an EC2 instance rebalance recommendation.",
                f"instance {instance_id} was taken out of service in response to an EC2 instance rebalance "
                "recommendation.",
            )
            group.changed()

    def _living(self) -> dict[str, Any]:
        return {state.instance_id: state for state in self._group.living()}

"""Which zone gets the next instance, and which instances a scale-in takes: Auto Scaling's default policies.

Pure: from counts and ages to names.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Member:
    """An instance as the policies see it."""

    instance_id: str
    zone: str
    launched_at: datetime
    protected: bool


def zone_for_launch(zones: Sequence[str], members: Iterable[Member]) -> str:
    """The zone with the fewest members; the first named among equals."""
    held = Counter(member.zone for member in members)
    return min(zones, key=lambda zone: (held[zone], zones.index(zone)))


def victims(members: Iterable[Member], number: int) -> list[str]:
    """Up to `number` instances that are not protected: from the fullest zone each time, the oldest first."""
    left = list(members)
    chosen: list[str] = []
    while len(chosen) < number and (victim := _next_victim(left)) is not None:
        left.remove(victim)
        chosen.append(victim.instance_id)
    return chosen


def _next_victim(members: Sequence[Member]) -> Member | None:
    held = Counter(member.zone for member in members)
    free = [member for member in members if not member.protected]
    return min(free, key=lambda one: (-held[one.zone], one.launched_at, one.instance_id), default=None)

"""What the worker asks of Auto Scaling and EC2, and the few changes it may make there.

Every call may raise `Unavailable` (no answer, or "later": it may have taken effect) or `Refused` (a definite no);
`NotFound` is a `Refused`. Facts are snapshots: they were true when they were read. The words are ours; those of AWS
stay in the adapter.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from worker.ports.hooks import Hold, LifecycleHook, Release


class Phase(StrEnum):
    """Where an instance stands in the life of its group."""

    PENDING = "still starting"
    """It boots, or a launch hook holds it."""
    IN_SERVICE = "in service"
    STANDBY = "in standby"
    """It is in standby, or enters it: the group's desired capacity does not count it."""
    WARM = "in the warm pool"
    """It waits for its turn: no member yet."""
    LEAVING = "on its way out"
    """It is being terminated or detached, or was."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An EC2 instance of an Auto Scaling group."""

    id: str
    phase: Phase
    protected: bool = False
    """Protected from scale-in."""
    zone: str = ""
    private_dns_name: str = ""
    addresses: frozenset[str] = frozenset()
    """All that EC2 knows, private and public."""
    launched_at: datetime | None = None
    """When the machine was started last. `Activities.applied_to` makes it the moment when it came into service."""
    made_at: datetime | None = None
    """When the machine was first made: stopping and starting it changes nothing about that."""

    @property
    def leaving(self) -> bool:
        """On its way out: it counts for nothing any more."""
        return self.phase is Phase.LEAVING


CapacityUnit = Literal["instances", "weights", "vCPUs", "MiB of memory"]
"""What a group's capacity counts."""


@dataclass(frozen=True, slots=True)
class Group:
    """An Auto Scaling group."""

    name: str
    desired: int
    min_size: int
    max_size: int
    instances: tuple[Instance, ...] = ()
    launches_suspended: bool = False
    terminations_suspended: bool = False
    protects_new: bool = True
    """New instances are protected from scale-in."""
    unit: CapacityUnit = "instances"
    """What its desired capacity and its sizes count."""
    rebalances: bool = False
    """Capacity rebalance is on: it replaces spot instances that EC2 recommends to replace."""

    @property
    def staying(self) -> tuple[Instance, ...]:
        """The instances that are not on their way out."""
        return tuple(instance for instance in self.instances if not instance.leaving)


ActivityKind = Literal["launch", "arrival", "termination", "other"]
"""arrival: a machine that runs already comes into service: it was attached, or comes back from standby."""
Outcome = Literal["open", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that a group did, or does, by itself or because it was asked to."""

    kind: ActivityKind
    outcome: Outcome
    """cancelled: given up because it was not needed any more. One that AWS gave up with a reason has failed."""
    started_at: datetime
    instance_ids: frozenset[str] = frozenset()
    """The instances that it names; a launch that failed may name none."""
    reason: str = ""
    """Why it failed, in AWS's own sentence."""
    lowered_to: int | None = None
    """It shrank the group: the desired capacity that a termination by name left. None: it lowered nothing."""
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """An instance is being terminated, or was."""

    lowered_to: int | None
    """The desired capacity that its termination left. None: it lowered nothing."""


@dataclass(frozen=True, slots=True)
class Activities:
    """A group's newest activities, in any order. The last seconds may be missing."""

    recorded: tuple[Activity, ...] = ()

    def why_not(self, since: datetime) -> str | None:
        """Why the newest launch failed, if it started at `since` or later. None: it did not, or a later one succeeded.

        A launch that is still open, or was cancelled, says nothing.
        """
        launches = [activity for activity in self.recorded if activity.kind == "launch"]
        ended = [activity for activity in launches if activity.outcome in {"failed", "succeeded"}]
        newest = max(ended, key=lambda activity: activity.started_at, default=None)
        if newest is None or newest.outcome == "succeeded" or newest.started_at < since:
            return None
        return newest.reason or "AWS gives no reason"

    def fate_of(self, instance_id: str) -> Fate | None:
        """Whether the instance is being terminated, or was, and what that did to the capacity. None: not recorded."""
        ends = [activity for activity in self._ends if instance_id in activity.instance_ids]
        if not ends:
            return None
        return Fate(next((each.lowered_to for each in ends if each.lowered_to is not None), None))

    @property
    def ended(self) -> frozenset[str]:
        """Ids of all instances that are being terminated, or were."""
        return frozenset().union(*(activity.instance_ids for activity in self._ends))

    def applied_to(self, group: Group) -> Group:
        """The group as it is by what is recorded, be the description as old as it may.

        Without the instances that are being terminated, or were; and `launched_at` is when each came into service, for
        one from a warm pool, or one that was attached, may have been started long before. Where nothing is recorded of
        that any more, the description stands.
        """
        entered = self._entered()
        ended = self.ended
        staying = (instance for instance in group.instances if instance.id not in ended)
        return replace(group, instances=tuple(_entered_at(instance, entered.get(instance.id)) for instance in staying))

    def _entered(self) -> Mapping[str, datetime]:
        """When instances came into service last; of those that still start, when that began."""
        moments: dict[str, datetime] = {}
        for activity in self.recorded:
            if activity.kind in {"launch", "arrival"} and activity.outcome in {"open", "succeeded"}:
                moment = activity.ended_at or activity.started_at
                moments.update({each: max(moment, moments.get(each, moment)) for each in activity.instance_ids})
        return moments

    @property
    def _ends(self) -> tuple[Activity, ...]:
        given_up = {"failed", "cancelled"}
        return tuple(each for each in self.recorded if each.kind == "termination" and each.outcome not in given_up)


def _entered_at(instance: Instance, moment: datetime | None) -> Instance:
    if moment is None or (instance.launched_at is not None and instance.launched_at >= moment):
        return instance
    return replace(instance, launched_at=moment)


@dataclass(frozen=True, slots=True)
class Member:
    """An instance of a group, as Auto Scaling alone knows it."""

    id: str
    group: str
    phase: Phase
    held: bool = False
    """A lifecycle hook holds it, on its way in or out."""


class Groups(Protocol):
    """The Auto Scaling groups."""

    async def describe(self, name: str) -> Group:
        """The group with its instances. Raises NotFound."""

    async def activities(self, name: str) -> Activities:
        """The newest activities."""

    async def refreshing(self, name: str) -> bool:
        """Whether an instance refresh runs."""

    async def members(self, names: Collection[str]) -> Sequence[Member]:
        """The instances of some groups, in one call. Without names there are none."""

    async def lifecycle_hooks(self, name: str) -> Sequence[LifecycleHook]:
        """The lifecycle hooks of a group."""

    async def gone(self, instance_ids: Sequence[str], members: Collection[str]) -> frozenset[str]:
        """Those of the instances that EC2 here has terminated.

        It forgets them after an hour. So of the `members`, which were seen in a group of ours, those that it does not
        know have been terminated, too; any other one that it does not know may be alive in another region or account.
        """


class GroupChanges(Protocol):
    """What may be done to a group. Capacity is lowered by naming instances only."""

    async def set_desired(self, name: str, desired: int) -> None:
        """Set the desired capacity. Raises Refused with AWS's reason."""

    async def terminate(self, instance_id: str) -> int | None:
        """Terminate one instance and lower the desired capacity with it: to what, unless AWS does not say.

        Raises Refused with AWS's reason.
        """

    async def replace(self, instance_id: str) -> None:
        """Terminate one instance and leave the desired capacity: its group launches another.

        Raises Refused with AWS's reason.
        """

    async def complete(self, hold: Hold, release: Release) -> None:
        """Let a held instance go on. Raises NotFound where AWS knows of no such hold: it is over."""

    async def heartbeat(self, hold: Hold) -> None:
        """Begin a hook's time anew. Raises NotFound where AWS knows of no such hold: it is over."""

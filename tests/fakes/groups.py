"""Auto Scaling and EC2 in memory: groups whose instances come and go, as they are told and on their own.

Like AWS: an absolute desired capacity below the present one ends instances that nobody named, unless they are
protected; a termination by name lowers the capacity each time it is asked for; what is described may be old.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from infra.local.scaling import causes, refusals
from infra.local.scaling.activities import History
from shared.clock import Clock
from shared.errors import NotFound, Refused
from tests.fakes.group_life import GroupLife, InstanceWatcher
from tests.fakes.holds import Holds
from tests.fakes.hooks import Hooks, Port, hooked
from worker.adapters.autoscaling import activity_of
from worker.ports.hooks import Hold, LifecycleHook, Release
from worker.ports.scaling import (
    Activities,
    CapacityUnit,
    Group,
    Instance,
    Member,
    Phase,
)

MOST_ACTIVITIES = 100
"""As many as the worker asks for."""


@dataclass(slots=True)
class GroupState:
    """A group as it is. Tests may write to it; `InMemoryGroups.follow` makes the group act on that."""

    name: str
    desired: int
    min_size: int
    max_size: int
    holds: Holds
    activities: History
    protects_new: bool = True
    refreshing: bool = False
    refusal: str | None = None
    """Why no instance can be launched at the moment."""
    unit: CapacityUnit = "instances"
    """What its capacity counts."""
    rebalances: bool = False
    """Capacity rebalance is on."""
    tells_capacity: bool = True
    """Whether AWS says what capacity a termination left."""
    suspended: set[str] = field(default_factory=set)
    instances: dict[str, Instance] = field(default_factory=dict)
    why: str = ""
    """Who wanted the desired capacity."""
    desired_history: list[int] = field(default_factory=list)
    history: deque[tuple[float, Group]] = field(default_factory=lambda: deque(maxlen=200))

    @property
    def staying(self) -> list[Instance]:
        """The instances that are not on their way out."""
        return [instance for instance in self.instances.values() if not instance.leaving]


class InMemoryGroups(GroupLife, Port):
    """The Groups and GroupChanges ports."""

    port = "groups"

    def __init__(self, clock: Clock, hooks: Hooks | None = None) -> None:
        GroupLife.__init__(self, clock)
        Port.__init__(self, hooks)

    # --- What tests set up and look at --------------------------------------------------------------------------

    @property
    def groups(self) -> dict[str, GroupState]:
        """The groups as they are, without lag."""
        return self._region.groups

    @property
    def killed(self) -> list[str]:
        """The instances that AWS or somebody ended without being told their names, oldest first."""
        return self._region.killed

    def add_group(
        self, name: str, *, desired: int, min_size: int = 0, max_size: int = 10, protects_new: bool = True
    ) -> list[str]:
        """A group whose instances are InService already; their ids."""
        holds, history = Holds(name, self._clock.now, self._announce), History(name, "", self._clock.now)
        group = self._region.groups[name] = GroupState(name, desired, min_size, max_size, holds, history, protects_new)
        group.desired_history.append(desired)
        for _ in range(desired):
            self._add(group, Phase.IN_SERVICE)
        self._changed(group)
        return list(group.instances)

    def forget(self) -> None:
        """An hour later EC2 knows nothing more of what it has terminated."""
        self._region.forgotten |= self._region.terminated

    def watch(self, *, launched: InstanceWatcher, ended: InstanceWatcher) -> None:
        """Have machines follow: called when an instance has begun to run, and when it has begun to end."""
        self._region.launched.append(launched)
        self._region.ended.append(ended)

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Hear what EventBridge would be sent."""
        self._region.listeners.append(listener)

    def retire(self, instance_id: str) -> None:
        """AWS, or a person, terminates an instance; its hooks hold it first, and the group replaces it."""
        group = self._group_of(instance_id)
        self._region.killed.append(instance_id)
        self._end(group, instance_id, causes.unhealthy(self._clock.now(), ended=True), held=True)
        self.follow(group.name)

    def kill(self, instance_id: str) -> None:
        """The machine dies (or a spot instance is reclaimed); the group replaces it."""
        group = self._group_of(instance_id)
        self._region.killed.append(instance_id)
        self._end(group, instance_id, causes.unhealthy(self._clock.now(), ended=True))
        self.follow(group.name)

    # --- The ports ----------------------------------------------------------------------------------------------

    @hooked
    async def describe(self, name: str) -> Group:
        """The group as it was `describe_lag` ago."""
        if name not in self._region.groups:
            raise NotFound(f"There is no Auto Scaling group {name}")
        seen = self._seen(name)
        return replace(seen, instances=tuple(map(self._as_ec2_knows, seen.instances)))

    @hooked
    async def activities(self, name: str) -> Activities:
        """The newest activities."""
        now, lag = self._clock.now(), self.times.activities_lag
        newest = islice(self._region.groups[name].activities.newest_first(), MOST_ACTIVITIES)
        shown = (one for one in newest if (now - one.start).total_seconds() >= lag)
        return Activities(tuple(activity_of(one.as_aws()) for one in shown))

    @hooked
    async def refreshing(self, name: str) -> bool:
        """Whether an instance refresh runs."""
        return self._region.groups[name].refreshing

    @hooked
    async def members(self, names: Collection[str]) -> Sequence[Member]:
        """The instances of some groups, as they were `describe_lag` ago."""
        seen = [self._seen(name) for name in names if name in self._region.groups]
        return [
            Member(each.id, group.name, each.phase, held=bool(self._region.groups[group.name].holds.of(each.id)))
            for group in seen
            for each in group.instances
        ]

    @hooked
    async def lifecycle_hooks(self, name: str) -> Sequence[LifecycleHook]:
        """The lifecycle hooks of a group."""
        return tuple(self._region.groups[name].holds.hooks.values())

    @hooked
    async def complete(self, hold: Hold, release: Release) -> None:
        """Let a held instance go on."""
        self._region.groups[hold.group].holds.complete_hold(hold, release)

    @hooked
    async def heartbeat(self, hold: Hold) -> None:
        """Begin a hook's time anew."""
        self._region.groups[hold.group].holds.beat(hold)

    @hooked
    async def gone(self, instance_ids: Sequence[str], members: Collection[str]) -> frozenset[str]:
        """Those that are terminated, and the members that are unknown."""
        terminated = self._region.terminated - self._region.forgotten
        known = {one for group in self._region.groups.values() for one in group.instances} | terminated
        return frozenset(terminated.intersection(instance_ids)) | (set(instance_ids).intersection(members) - known)

    @hooked
    async def set_desired(self, name: str, desired: int) -> None:
        """Set the desired capacity; the group follows."""
        with _refused():
            group = self._group(name)
            refusals.check_desired(desired, group.min_size, group.max_size)
        self._desire(group, desired)

    @hooked
    async def terminate(self, instance_id: str) -> int | None:
        """Terminate one instance and lower the desired capacity with it: to what, unless that is not told."""
        with _refused():
            group = self._group_of(instance_id)
            at_least = group.min_size if group.desired <= group.min_size else None
            refusals.check_termination(group.name, suspended="Terminate" in group.suspended, at_least=at_least)
        self._end(group, instance_id, causes.named(self._clock.now(), instance_id, group.desired), held=True)
        self._desire(group, group.desired - 1)
        return group.desired if group.tells_capacity else None

    @hooked
    async def replace(self, instance_id: str) -> None:
        """Terminate one instance; the group launches another."""
        with _refused():
            group = self._group_of(instance_id)
            refusals.check_termination(group.name, suspended="Terminate" in group.suspended, at_least=None)
        self._end(group, instance_id, causes.named(self._clock.now(), instance_id, None))
        self.follow(group.name)

    def _seen(self, name: str) -> Group:
        moment = asyncio.get_running_loop().time() - self.times.describe_lag
        history = self._region.groups[name].history
        return next((group for since, group in reversed(history) if since <= moment), history[0][1])

    # --- Finding them -------------------------------------------------------------------------------------------

    def _group(self, name: str) -> GroupState:
        if name not in self._region.groups:
            raise refusals.no_such_group(name)
        return self._region.groups[name]

    def _group_of(self, instance_id: str) -> GroupState:
        for group in self._region.groups.values():
            if instance_id in group.instances:
                return group
        raise refusals.no_such_instance(instance_id)

    def _as_ec2_knows(self, instance: Instance) -> Instance:
        launched = instance.launched_at
        if launched is None or (self._clock.now() - launched).total_seconds() >= self.times.ec2_lag:
            return instance
        return replace(instance, private_dns_name="", launched_at=None)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except refusals.Refusal as refusal:
        raise Refused(f"{refusal} ({refusal.code})") from refusal

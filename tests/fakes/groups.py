"""Auto Scaling and EC2 in memory: groups whose instances come and go, as they are told and on their own.

Like AWS: an absolute desired capacity below the present one ends instances that nobody named, unless they are
protected; a termination by name lowers the capacity each time it is asked for; what is described may be old.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, Protocol

from infra.local.scaling import placement, refusals
from infra.local.scaling.lifecycle import Outcome as HoldOutcome
from shared.clock import Clock
from shared.errors import NotFound, Refused
from tests.fakes.holds import Holds
from tests.fakes.hooks import Hooks, Port, hooked
from worker.ports.hooks import Hold, LifecycleHook, Release
from worker.ports.scaling import (
    Activities,
    Activity,
    ActivityKind,
    CapacityUnit,
    Group,
    Instance,
    Member,
    Outcome,
    Phase,
)

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


@dataclass(slots=True)
class Times:
    """How long things take, in seconds. May be changed at any moment."""

    launch: float = 0.2
    """From the wish for an instance to the instance."""
    pending: float = 0.3
    """From Pending to InService."""
    terminate: float = 0.5
    """From Terminating to gone."""
    retry: float = 5.0
    """After a launch that was refused."""
    describe_lag: float = 0.0
    """How old a description is."""
    activities_lag: float = 0.0
    """How long it takes until an activity is shown."""
    ec2_lag: float = 0.0
    """From the instance to EC2 knowing its host name and launch time."""


@dataclass(slots=True)
class GroupState:
    """A group as it is. Tests may write to it; `InMemoryGroups.follow` makes the group act on that."""

    name: str
    desired: int
    min_size: int
    max_size: int
    holds: Holds
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
    activities: deque[Activity] = field(default_factory=lambda: deque(maxlen=100))
    """Newest first."""
    desired_history: list[int] = field(default_factory=list)
    history: deque[tuple[float, Group]] = field(default_factory=lambda: deque(maxlen=200))

    @property
    def staying(self) -> list[Instance]:
        """The instances that are not on their way out."""
        return [instance for instance in self.instances.values() if not instance.leaving]


class InstanceWatcher(Protocol):
    """Who hears of machines: the group's name, and the instance."""

    def __call__(self, group: str, instance: Instance) -> None:
        """It happened."""


@dataclass(slots=True)
class _Region:
    groups: dict[str, GroupState] = field(default_factory=dict)
    terminated: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    killed: list[str] = field(default_factory=list)
    listeners: list[Callable[[dict[str, Any]], None]] = field(default_factory=list)
    launched: list[InstanceWatcher] = field(default_factory=list)
    ended: list[InstanceWatcher] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=lambda: count(1))


class InMemoryGroups(Port):
    """The Groups and GroupChanges ports."""

    port = "groups"

    def __init__(self, clock: Clock, hooks: Hooks | None = None) -> None:
        super().__init__(hooks)
        self._clock = clock
        self._region = _Region()
        self.times = Times()

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
        holds = Holds(name, self._clock.now, self._announce)
        group = self._region.groups[name] = GroupState(name, desired, min_size, max_size, holds, protects_new)
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
        self._end(group, instance_id, held=True)
        self.follow(group.name)

    def kill(self, instance_id: str) -> None:
        """The machine dies (or a spot instance is reclaimed); the group replaces it."""
        group = self._group_of(instance_id)
        self._region.killed.append(instance_id)
        self._end(group, instance_id)
        self.follow(group.name)

    def follow(self, name: str) -> None:
        """Make a group act on what is written in it now."""
        self._changed(self._region.groups[name])
        asyncio.get_running_loop().call_later(self.times.launch, self._follow, self._region.groups[name])

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
        shown = (one for one in self._region.groups[name].activities if (now - one.started_at).total_seconds() >= lag)
        return Activities(tuple(shown))

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
        if self._end(group, instance_id, held=True):
            group.activities[0] = replace(group.activities[0], lowered_to=group.desired - 1)
        self._desire(group, group.desired - 1)
        return group.desired if group.tells_capacity else None

    @hooked
    async def replace(self, instance_id: str) -> None:
        """Terminate one instance; the group launches another."""
        with _refused():
            group = self._group_of(instance_id)
            refusals.check_termination(group.name, suspended="Terminate" in group.suspended, at_least=None)
        self._end(group, instance_id)
        self.follow(group.name)

    def _seen(self, name: str) -> Group:
        moment = asyncio.get_running_loop().time() - self.times.describe_lag
        history = self._region.groups[name].history
        return next((group for since, group in reversed(history) if since <= moment), history[0][1])

    # --- How it works -------------------------------------------------------------------------------------------

    def _desire(self, group: GroupState, desired: int) -> None:
        group.desired = desired
        group.desired_history.append(desired)
        self.follow(group.name)

    def _follow(self, group: GroupState) -> None:
        while len(group.staying) < group.desired and "Launch" not in group.suspended:
            if group.refusal is not None:
                self._note(group, "launch", "failed", reason=group.refusal)
                asyncio.get_running_loop().call_later(self.times.retry, self._follow, group)
                return
            self._launch(group)
        while len(group.staying) > group.desired and "Terminate" not in group.suspended:
            chosen = placement.victims(map(_as_policies_see, group.staying), 1)
            if not chosen:
                return
            self._region.killed += chosen
            self._end(group, chosen[0])
            self._changed(group)

    def _launch(self, group: GroupState) -> None:
        instance = self._add(group, Phase.PENDING)
        self._note(group, "launch", "succeeded", instance.id)
        self._changed(group)
        if not group.holds.hold_at("launch", instance.id, partial(self._begin_to_serve, group, instance.id)):
            self._begin_to_serve(group, instance.id, HoldOutcome(abandoned=False))

    def _begin_to_serve(self, group: GroupState, instance_id: str, how: HoldOutcome) -> None:
        """No launch hook holds it any more. One that was abandoned ends instead."""
        if how.abandoned:
            self._end(group, instance_id)
            self.follow(group.name)
        else:
            asyncio.get_running_loop().call_later(self.times.pending, self._serve, group, instance_id)

    def _add(self, group: GroupState, phase: Phase) -> Instance:
        number = next(self._region.numbers)
        instance = Instance(
            id=f"i-{number:017x}",
            phase=phase,
            protected=group.protects_new,
            zone=placement.zone_for_launch(ZONES, map(_as_policies_see, group.staying)),
            private_dns_name=f"ip-10-0-{number // 250}-{number % 250 + 4}.ec2.internal",
            launched_at=self._clock.now(),
        )
        group.instances[instance.id] = instance
        self._tell(self._region.launched, group, instance)
        return instance

    def _serve(self, group: GroupState, instance_id: str) -> None:
        instance = group.instances.get(instance_id)
        if instance is not None and instance.phase is Phase.PENDING:
            group.instances[instance_id] = replace(instance, phase=Phase.IN_SERVICE)
            self._changed(group)

    def _end(self, group: GroupState, instance_id: str, *, held: bool = False) -> bool:
        """Whether it was not ending already. `held`: hooks hold it first; else the machine is gone at once."""
        instance = group.instances[instance_id]
        if instance.leaving:
            if not held:
                self._die(group, instance_id)
            return False
        group.instances[instance_id] = replace(instance, phase=Phase.LEAVING)
        self._note(group, "termination", "open", instance_id)
        if not (held and group.holds.hold_at("termination", instance_id, lambda _: self._die(group, instance_id))):
            self._die(group, instance_id)
        return True

    def _announce(self, event: dict[str, Any]) -> None:
        for listener in self._region.listeners:
            listener(event)

    def _die(self, group: GroupState, instance_id: str) -> None:
        if instance_id in group.instances and instance_id not in self._region.dead:
            self._region.dead.add(instance_id)
            self._tell(self._region.ended, group, group.instances[instance_id])
            asyncio.get_running_loop().call_later(self.times.terminate, self._drop, group, instance_id)

    def _drop(self, group: GroupState, instance_id: str) -> None:
        del group.instances[instance_id]
        self._region.terminated.add(instance_id)
        self._changed(group)

    def _changed(self, group: GroupState) -> None:
        seen = Group(
            name=group.name,
            desired=group.desired,
            min_size=group.min_size,
            max_size=group.max_size,
            instances=tuple(group.instances.values()),
            launches_suspended="Launch" in group.suspended,
            terminations_suspended="Terminate" in group.suspended,
            protects_new=group.protects_new,
            unit=group.unit,
            rebalances=group.rebalances,
        )
        group.history.append((asyncio.get_running_loop().time(), seen))

    def _note(self, group: GroupState, kind: ActivityKind, outcome: Outcome, *names: str, reason: str = "") -> None:
        group.activities.appendleft(Activity(kind, outcome, self._clock.now(), frozenset(names), reason))

    def _tell(self, watchers: Sequence[Callable[[str, Instance], None]], group: GroupState, instance: Instance) -> None:
        for watcher in watchers:
            watcher(group.name, instance)

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


def _as_policies_see(instance: Instance) -> placement.Member:
    made = instance.launched_at or datetime.min.replace(tzinfo=UTC)
    return placement.Member(instance.id, instance.zone, made, instance.protected)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except refusals.Refusal as refusal:
        raise Refused(f"{refusal} ({refusal.code})") from refusal

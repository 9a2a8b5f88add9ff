"""How the groups in memory live: they launch what is missing, end what is too much, and show what they were.

What is asked and refused is left to `groups`; when instances are launched and ended, whom a scale-in takes, what hooks
do and what activities say, to Auto Scaling's rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from infra.local.scaling import causes, placement
from infra.local.scaling.activities import History
from infra.local.scaling.convergence import Convergence
from infra.local.scaling.lifecycle import Outcome as HoldOutcome
from shared.clock import Clock
from worker.ports.scaling import Group, Instance, Phase

if TYPE_CHECKING:
    from tests.fakes.groups import GroupState

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


class InstanceWatcher(Protocol):
    """Who hears of machines: the group's name, and the instance."""

    def __call__(self, group: str, instance: Instance) -> None:
        """It happened."""


@dataclass(slots=True)
class Region:
    groups: dict[str, GroupState] = field(default_factory=dict)
    convergences: dict[str, Convergence] = field(default_factory=dict)
    terminated: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    killed: list[str] = field(default_factory=list)
    listeners: list[Callable[[dict[str, Any]], None]] = field(default_factory=list)
    launched: list[InstanceWatcher] = field(default_factory=list)
    ended: list[InstanceWatcher] = field(default_factory=list)
    numbers: count[int] = field(default_factory=lambda: count(1))


class GroupLife:
    """The groups of one region."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._region = Region()
        self.times = Times()

    def follow(self, name: str) -> None:
        """Make a group act on what is written in it now."""
        self._changed(self._region.groups[name])
        asyncio.get_running_loop().call_later(self.times.launch, self._follow, self._region.groups[name])

    def _desire(self, group: GroupState, desired: int) -> None:
        group.why = causes.asked_to_resize(group.desired, desired)
        group.desired = desired
        group.desired_history.append(desired)
        self.follow(group.name)

    def _follow(self, group: GroupState) -> None:
        convergence = self._region.convergences.get(group.name) or self._convergence(group)
        convergence.encourage()  # something new was written in the group
        convergence.converge()

    def _convergence(self, group: GroupState) -> Convergence:
        def later(retry: Callable[[], None]) -> None:
            asyncio.get_running_loop().call_later(self.times.retry, retry)

        acts = _Converging(group, partial(self._launch, group), partial(self._take_out, group))
        acts.convergence = self._region.convergences[group.name] = Convergence(acts, later)
        return acts.convergence

    def _launch(self, group: GroupState, cause: str) -> bool:
        if group.refusal is not None:
            group.activities.launch_failed(group.refusal, cause, {})
            return False
        instance = self._add(group, Phase.PENDING)
        group.activities.launching(instance.id, cause, {}).finish()
        self._changed(group)
        if not group.holds.hold_at("launch", instance.id, partial(self._begin_to_serve, group, instance.id)):
            self._begin_to_serve(group, instance.id, HoldOutcome(abandoned=False))
        return True

    def _take_out(self, group: GroupState, instance_id: str, cause: str) -> None:
        self._region.killed.append(instance_id)
        self._end(group, instance_id, cause)
        self._changed(group)

    def _begin_to_serve(self, group: GroupState, instance_id: str, how: HoldOutcome) -> None:
        """No launch hook holds it any more. One that was abandoned ends instead."""
        if how.abandoned:
            self._end(group, instance_id, causes.abandoned(self._clock.now()))
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

    def _end(self, group: GroupState, instance_id: str, cause: str, *, held: bool = False) -> bool:
        """Whether it was not ending already. `held`: hooks hold it first; else the machine is gone at once."""
        instance = group.instances[instance_id]
        if instance.leaving:
            if not held:
                self._die(group, instance_id)
            return False
        group.instances[instance_id] = replace(instance, phase=Phase.LEAVING)
        group.activities.terminating(instance_id, cause, {})
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
        group.activities.gone(instance_id)
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

    def _tell(self, watchers: Sequence[Callable[[str, Instance], None]], group: GroupState, instance: Instance) -> None:
        for watcher in watchers:
            watcher(group.name, instance)


@dataclass(slots=True)
class _Converging:
    """A group, as its convergence needs it."""

    group: GroupState
    launch: Callable[[str], bool]
    take_out: Callable[[str, str], None]
    convergence: Convergence = field(init=False)

    @property
    def history(self) -> History:
        return self.group.activities

    @property
    def why(self) -> str:
        return self.group.why

    def converge(self) -> None:
        self.convergence.converge()

    def missing(self) -> int:
        return self.group.desired - len(self.group.staying)

    def members(self) -> list[placement.Member]:
        return list(map(_as_policies_see, self.group.staying))

    def suspended(self, *processes: str) -> bool:
        return not self.group.suspended.isdisjoint(processes)


def _as_policies_see(instance: Instance) -> placement.Member:
    made = instance.launched_at or datetime.min.replace(tzinfo=UTC)
    return placement.Member(instance.id, instance.zone, made, instance.protected)

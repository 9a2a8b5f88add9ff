"""The outside that `tests.fakes` does not have: AWS with a will of its own, and memory.

What the fakes do is left to them. Here they learn to say whose doing a thing was, and what was true when.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from infra.local.scaling.lifecycle import Outcome as HoldOutcome
from shared.clock import Clock
from shared.fields import Role
from tests.fakes.groups import GroupState, InMemoryGroups
from tests.fakes.hooks import Hooks
from tests.fakes.swarm import InMemorySwarm
from worker.ports.hooks import Hold, Release
from worker.ports.scaling import Activities, Group, Member, Phase

T = TypeVar("T")

MANAGERS, WORKERS = "managers", "workers"
WORST_ACTIVITIES_LAG = 5.0
MERCY_SECONDS = 2.0
ROLES: dict[str, Role] = {MANAGERS: "manager", WORKERS: "worker"}


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine of the fakes, none of which ever waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("it waits")


@dataclass(frozen=True, slots=True)
class Death:
    """An instance that began to end, and by whose hand."""

    time: float
    group: str
    instance_id: str
    hand: str
    """`named`: terminated by its name; `aws`: by itself; else who wrote the smaller desired capacity."""


class SimulatedGroups(InMemoryGroups):
    """Auto Scaling that remembers whose hand ended an instance, and describes the past."""

    def __init__(self, clock: Clock, random: Random) -> None:
        super().__init__(clock)
        self._random = random
        self.worst_lag = 0.0
        self.deaths: list[Death] = []
        self.lowered_by: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.mercy: Callable[[str], bool] = lambda _instance: False
        """Whether an instance's end is put off for now."""
        self.dying: Callable[[str], None] = lambda _instance: None
        """Told of an instance just before its end."""
        self.spared: set[str] = set()
        """Those whose end is put off."""
        self._newest: dict[str, tuple[float, Group]] = {}
        self._hand: str | None = None
        self._abandoned: dict[str, str] = {}
        """Instances that a launch hook held and that did not go on, and by whose hand."""

    def look(self, name: str) -> Group:
        """Describe, as old as it happens to be this time."""
        self.times.describe_lag = self._random.random() * self.worst_lag
        seen = at_once(self.describe(name))
        self._judge_age(seen)
        return seen

    def look_at_members(self, names: Collection[str]) -> Sequence[Member]:
        """The instances of some groups, as old as they happen to be this time."""
        self.times.describe_lag = self._random.random() * self.worst_lag
        return at_once(self.members(sorted(names)))

    def _judge_age(self, seen: Group) -> None:
        """Count descriptions that are not true any more, and those that go back behind an earlier one."""
        moment = asyncio.get_running_loop().time() - self.times.describe_lag
        newest, shown = self._newest.get(seen.name, (moment, seen))
        if _facts(seen) != _facts(self.groups[seen.name].history[-1][1]):
            self.counts["aws: Describe is old"] += 1
        if moment < newest and _facts(seen) != _facts(shown):
            self.counts["aws: Describe goes back"] += 1
        self._newest[seen.name] = max((newest, shown), (moment, seen), key=lambda one: one[0])

    def recent(self, name: str) -> Activities:
        """The activities, the newest of them perhaps not yet."""
        self.times.activities_lag = self._random.random() * min(self.worst_lag, WORST_ACTIVITIES_LAG)
        return at_once(self.activities(name))

    def write_desired(self, hand: str, name: str, desired: int) -> None:
        """Somebody sets the desired capacity."""
        before = self.groups[name].desired
        at_once(self.set_desired(name, desired))
        if desired < before:
            self.lowered_by[name] = hand

    def terminate_named(self, instance_id: str) -> None:
        """Somebody terminates an instance by its name, with its part of the capacity."""
        self._hand = "named"
        try:
            at_once(self.terminate(instance_id))
        finally:
            self._hand = None

    def replace_named(self, instance_id: str) -> None:
        """Somebody terminates an instance by its name; its group launches another."""
        self._hand = "named"
        try:
            at_once(self.replace(instance_id))
        finally:
            self._hand = None

    def complete_named(self, hold: Hold, release: Release) -> None:
        """Somebody lets an instance that a hook holds go on; a new one may be abandoned, by its name."""
        if release == "ABANDON" and (hold.instance_id, hold.hook) in self.groups[hold.group].holds.held:
            self._abandoned[hold.instance_id] = "named"
        at_once(self.complete(hold, release))

    def _begin_to_serve(self, group: GroupState, instance_id: str, how: HoldOutcome) -> None:
        """An abandoned instance ends, whoever has lowered the capacity before."""
        if how.abandoned:
            self._abandoned.setdefault(instance_id, "aws")
        super()._begin_to_serve(group, instance_id, how)

    def rebalance(self, name: str, *, held: bool = False) -> str | None:
        """AWS launches an instance more than wanted, and ends another for it afterwards; `held`: through its hooks."""
        group = self.groups[name]
        serving = [one for one in group.staying if one.phase is Phase.IN_SERVICE]
        if not serving or "Launch" in group.suspended or group.refusal is not None:
            return None
        victim = self._random.choice(serving).id
        self._launch(group, "an instance was launched to aid in balancing the group's zones.")
        asyncio.get_running_loop().call_later(3 + 10 * self._random.random(), self._replaced, group, victim, held)
        return victim

    def _replaced(self, group: GroupState, instance_id: str, held: bool) -> None:
        if instance_id in group.instances:
            (self.retire if held else self.kill)(instance_id)

    def kill(self, instance_id: str) -> None:
        """AWS, or fate, ends an instance."""
        self._hand = "aws"
        try:
            super().kill(instance_id)
        finally:
            self._hand = None

    def retire(self, instance_id: str) -> None:
        """AWS, or a person, ends an instance; its hooks hold it first."""
        self._hand = "aws"
        try:
            super().retire(instance_id)
        finally:
            self._hand = None

    def _die(self, group: GroupState, instance_id: str) -> None:
        """Its machine ends, unless that is put off."""
        if self.mercy(instance_id):
            self.spared.add(instance_id)
            asyncio.get_running_loop().call_later(MERCY_SECONDS, self._die, group, instance_id)
            return
        self.spared.discard(instance_id)
        self.dying(instance_id)
        super()._die(group, instance_id)

    def _end(self, group: GroupState, instance_id: str, cause: str, *, held: bool = False) -> bool:
        if instance_id not in group.instances:
            return False  # a hook that held it is over after it
        if not group.instances[instance_id].leaving:
            hand = self._hand or self._abandoned.get(instance_id) or self.lowered_by.get(group.name, "nobody")
            self.deaths.append(Death(asyncio.get_running_loop().time(), group.name, instance_id, hand))
        return super()._end(group, instance_id, cause, held=held)


class SimulatedSwarm(InMemorySwarm):
    """The Swarm, with somebody who listens."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.simulated.events.watch(lambda _event: self.tell())
        self.listeners: list[Callable[[], None]] = []
        self.lost: Callable[[str], None] = lambda _node_id: None

    def lose(self, node_id: str) -> None:
        """The machine dies, and all that runs there."""
        super().lose(node_id)
        self.lost(node_id)

    def view(self, node_id: str) -> "SimulatedSwarm":
        """As a process sees it over the socket of a node."""
        return self.through(Hooks(), node_id)

    def tell(self) -> None:
        """Something has changed."""
        for listener in list(self.listeners):
            listener()


def _facts(group: Group) -> tuple[object, ...]:
    """What a plan goes by."""
    return group.desired, tuple((one.id, one.phase) for one in group.instances)

"""The outside that `tests.fakes` does not have: AWS with a will of its own, machines that boot or do not, and memory.

What the fakes do is left to them. Here they learn to say whose doing a thing was, and what was true when.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from shared.clock import Clock
from shared.messages import Role
from tests.fakes.groups import GroupState, InMemoryGroups
from tests.fakes.hooks import Hooks
from tests.fakes.launcher import Launcher
from tests.fakes.swarm import InMemorySwarm
from worker.ports.scaling import Activities, Group, Instance, Member, Phase
from worker.ports.swarm import Node

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

    def rebalance(self, name: str, *, held: bool = False) -> str | None:
        """AWS launches an instance more than wanted, and ends another for it afterwards; `held`: through its hooks."""
        group = self.groups[name]
        serving = [one for one in group.staying if one.phase is Phase.IN_SERVICE]
        if not serving or "Launch" in group.suspended or group.refusal is not None:
            return None
        victim = self._random.choice(serving).id
        self._launch(group)
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

    def _end(self, group: GroupState, instance_id: str, *, held: bool = False) -> bool:
        if instance_id not in group.instances:
            return False  # a hook that held it is over after it
        if not group.instances[instance_id].leaving:
            hand = self._hand or self.lowered_by.get(group.name, "nobody")
            self.deaths.append(Death(asyncio.get_running_loop().time(), group.name, instance_id, hand))
        return super()._end(group, instance_id, held=held)


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


class Machines(Launcher):
    """Instances boot, sooner or later or never, and become nodes; they take their nodes down with them."""

    def __init__(self, groups: SimulatedGroups, swarm: SimulatedSwarm, random: Random) -> None:
        super().__init__(groups, swarm, ROLES)
        self._groups = groups
        self._tell = swarm.tell
        self._random = random
        self.late_share = 0.0
        self.never_share = 0.0
        self.certain = ""
        """The group whose instances all join: without them nobody could lead."""
        self._booting = ""
        self.instances: dict[str, str] = {}
        """Node ids, and the ids of their instances."""
        self.joined: dict[str, float] = {}
        """Node ids, and when they joined."""
        self.group_of: dict[str, str] = {}
        """Instance ids, and their groups, for ever."""
        self.left: set[str] = set()
        """Ids of nodes whose engines have left the Swarm for good, or belong to it under another id now."""
        self.baked: dict[str, str] = {}
        """Ids of nodes on other machines, and the instances that their labels name all the same."""
        self.counts: Counter[str] = Counter()

    def settle(self) -> None:
        """The instances there are at the beginning have booted."""
        for name, group in self._groups.groups.items():
            for instance in group.staying:
                self.join(name, instance)

    def boot(self) -> float | None:
        """Mostly some seconds, now and then a minute, or never."""
        draw = self._random.random()
        if self._booting == self.certain:
            return 1 + 7 * draw
        if self.never_joins > 0 or draw < self.never_share:
            self.never_joins = max(self.never_joins - 1, 0)
            self.counts["machine: never joins"] += 1
            return None
        late = draw < self.never_share + self.late_share
        self.counts["machine: boots late"] += late
        return 20 + 60 * self._random.random() if late else 1 + 7 * self._random.random()

    def _launched(self, group: str, instance: Instance) -> None:
        self.group_of[instance.id] = group
        self._booting = group
        if self._swarm.cluster.nodes:
            super()._launched(group, instance)

    def join(self, group: str, instance: Instance) -> None:
        """The instance is a node now, and remembered."""
        super().join(group, instance)
        node_id = self.nodes.get(instance.id)
        if node_id is not None and node_id not in self.instances:
            self.instances[node_id] = instance.id
            self.joined[node_id] = asyncio.get_running_loop().time()
            self._tell()

    def leave(self, node_id: str, seconds: float) -> None:
        """An engine leaves the Swarm, and joins it again after some seconds: as another node, on the same machine."""
        self.left.add(node_id)
        self._swarm.lose(node_id)
        asyncio.get_running_loop().call_later(seconds, self._join_again, self.instances[node_id])

    def _join_again(self, instance_id: str) -> None:
        name = self.group_of[instance_id]
        if self.lives(instance_id):
            del self.nodes[instance_id]
            self.join(name, self._groups.groups[name].instances[instance_id])

    def claimed_by(self, node_id: str) -> str:
        """The instance that a node is, or says it is. Empty: none of ours."""
        return self.instances.get(node_id) or self.baked.get(node_id, "")

    def is_ours(self, node_id: str) -> bool:
        """Whether a node is, or says it is, an instance of our groups."""
        return bool(self.claimed_by(node_id))

    @property
    def nodes_in_doubt(self) -> set[str]:
        """Ids of nodes whose instances other nodes have claimed, too."""
        return {node_id for node_id, instance_id in self.instances.items() if instance_id in self.baked.values()}

    def stays_down(self, node_id: str) -> bool:
        """A node's machine has ended, or its engine is no part of the Swarm any more."""
        instance_id = self.instances.get(node_id)
        return node_id in self.left or (instance_id is not None and not self.lives(instance_id))

    def leaves(self, instance_id: str) -> bool:
        """An instance is on its way out: its machine has ended, or hooks hold it before that."""
        group = self._groups.groups.get(self.group_of.get(instance_id, ""))
        there = None if group is None else group.instances.get(instance_id)
        return not self.lives(instance_id) or there is None or there.leaving

    def goes(self, node_id: str) -> bool:
        """A node stays Down, or its machine is on its way out."""
        return self.stays_down(node_id) or self.leaves(self.instances.get(node_id, ""))

    def node_of(self, instance_id: str) -> Node | None:
        """An instance's node, if there is one."""
        return self._swarm.cluster.nodes.get(self.nodes.get(instance_id, ""))

    def ready(self, group: str) -> int:
        """How many nodes that are, or say they are, a group's instances the Swarm calls Ready."""
        nodes = self._swarm.cluster.nodes
        return sum(
            node.ready and self.group_of[instance_id] == group
            for node in nodes.values()
            if (instance_id := self.instances.get(node.id) or self.baked.get(node.id)) is not None
        )


def _facts(group: Group) -> tuple[object, ...]:
    """What a plan goes by."""
    return group.desired, tuple((one.id, one.phase) for one in group.instances)

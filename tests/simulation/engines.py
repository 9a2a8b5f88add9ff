"""Engines that are not what their group takes them for: which node is which instance changes, or cannot be told.

An engine leaves and joins again with a new node id; two nodes carry one label; a worker belongs to no group; a node's
instance belongs to another account.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.cloud import WORKERS

if TYPE_CHECKING:
    from tests.simulation.world import World

FOREIGN_INSTANCE = "i-0f0e16a0000000001"
"""Of another account: EC2 here has never heard of it."""
PATIENCE_SECONDS = 60.0
"""For so long an engine that is to leave while it is drained waits for a drain."""
LOOK_SECONDS = 0.5


class Engines:
    """The trouble with engines in one world."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def kinds(self) -> tuple[tuple[str, Callable[[], None], int], ...]:
        """The kinds of trouble, and how many of each at most."""
        return (
            ("rejoin", self._rejoin, 2),
            ("baked", self._bake, 1),
            ("stray", self._stray, 1),
            ("foreign", self._foreign, 1),
        )

    # --- A new node id ------------------------------------------------------------------------------------------

    def _rejoin(self) -> None:
        """Some engines leave while we drain their nodes or soon after, others whenever it happens."""
        random = self._world.chaos.random
        if random.random() < 0.6:
            self._await_drain(15 * random.random(), self._world.clockwork.now + PATIENCE_SECONDS)
            return
        able = [each for each in self._world.machines.instances if self._can_leave(each)]
        if able:
            self._leave(random.choice(able), 0.5 + 5 * random.random())

    def _await_drain(self, delay: float, until: float) -> None:
        drained = [each for each in self._world.judge.drained if self._can_leave(each)]
        if drained:
            self._world.loop.call_later(delay, self._leave, drained[0], 2.0)
        elif self._world.clockwork.now < until and not self._world.chaos.over:
            self._world.loop.call_later(LOOK_SECONDS, self._await_drain, delay, until)

    def _can_leave(self, node_id: str) -> bool:
        """A worker that lives, and is what its instance is now."""
        machines, node = self._world.machines, self._world.swarm.cluster.nodes.get(node_id)
        present = machines.nodes.get(machines.instances.get(node_id, "")) == node_id
        return present and node is not None and node.manager is None and self._world.swarm.cluster.lives(node_id)

    def _leave(self, node_id: str, seconds: float) -> None:
        if self._can_leave(node_id) and not self._world.chaos.over:
            self._world.chaos.happens("engine joins again", node=node_id)
            self._world.machines.leave(node_id, seconds)

    # --- Nodes outside of the group -----------------------------------------------------------------------------

    def _bake(self) -> None:
        """An image was made of a machine with its label in it: two nodes say they are one instance, for a while."""
        world, random = self._world, self._world.chaos.random
        able = [each for each in world.machines.instances if self._can_leave(each)]
        node_id = self._join("baked", world.machines.instances[random.choice(able)]) if able else None
        if node_id is not None:
            world.machines.baked[node_id] = world.swarm.cluster.nodes[node_id].engine_labels["instance_id"]
            world.chaos.happens("two nodes claim an instance", instance=world.machines.baked[node_id])
            world.loop.call_later(10 + 30 * random.random(), self._end, node_id)

    def _stray(self) -> None:
        """A worker of no group, and an instance that boots and never joins: is the one the other?"""
        world, random = self._world, self._world.chaos.random
        staying = [instance.id for instance in world.groups.groups[WORKERS].staying]
        if staying and self._join(random.choice(("stray", "ip-172-31-7-7"))) is not None:
            victim = random.choice(staying)
            world.chaos.happens("stray beside an instance that never joins", instead_of=victim)
            world.machines.never_joins += 1
            world.groups.kill(victim)

    def _foreign(self) -> None:
        """A node of another account's instance goes Down, and comes back."""
        random = self._world.chaos.random
        node_id = self._join("ip-172-31-0-9", FOREIGN_INSTANCE)
        if node_id is not None:
            self._world.chaos.happens("foreign node goes down", node=node_id)
            down = 1 + 10 * random.random()
            self._world.loop.call_later(down, self._world.swarm.lose, node_id)
            self._world.loop.call_later(down + 10 + 60 * random.random(), self._return, node_id)

    def _join(self, hostname: str, instance_id: str | None = None) -> str | None:
        """Its node's id; None where nobody leads, so none can join."""
        if self._world.swarm.cluster.leader is None:
            return None
        labels = {} if instance_id is None else {"instance_id": instance_id}
        return self._world.swarm.join(hostname, "worker", engine_labels=labels)

    def _end(self, node_id: str) -> None:
        self._world.machines.left.add(node_id)
        self._world.swarm.lose(node_id)

    def _return(self, node_id: str) -> None:
        if node_id in self._world.swarm.cluster.nodes:
            self._world.swarm.revive(node_id)

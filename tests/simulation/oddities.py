"""Oddities: what may keep a node or a group from being scaled, put into a world at one moment, to stay there."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.cloud import MANAGERS, WORKERS
from tests.simulation.engines import FOREIGN_INSTANCE
from tests.simulation.mishaps import NO_CAPACITY
from tests.simulation.people import AWAY
from worker.ports.swarm import PROTECT_LABEL, Node

if TYPE_CHECKING:
    from tests.simulation.world import World

CPUS = 10**9
SHARE = 0.12
"""How likely each of them is."""


class Oddities:
    """Those of one world."""

    def __init__(self, world: "World", luck: Random) -> None:
        self._world = world
        self._luck = luck

    def arrange(self) -> None:
        """Draw some, and put them there."""
        for oddity in self._kinds():
            if self._luck.random() < SHARE:
                oddity()

    def _kinds(self) -> tuple[Callable[[], None], ...]:
        return (
            *(self._protect_node, self._protect_instance, self._unprotect, self._lose, self._set_aside, self._drain),
            *(self._end, self._end_without_join, self._stray, self._foreign, self._twice_claimed),
            *(self._suspend, self._refresh, self._refuse, self._want_more),
            *(self._fill, self._spread, self._publish, self._pin, self._weigh_down),
        )

    def _worker(self) -> Node:
        nodes = (node for node in self._world.swarm.cluster.nodes.values() if node.manager is None)
        return self._luck.choice(sorted(nodes, key=lambda node: node.id))

    def _group(self) -> str:
        return self._luck.choice((WORKERS, WORKERS, MANAGERS))

    # --- Nodes and instances ------------------------------------------------------------------------------------

    def _protect_node(self) -> None:
        self._world.swarm.label(self._worker().id, **{PROTECT_LABEL: "true"})

    def _protect_instance(self) -> None:
        """The group does not protect all, so a person has protected this one."""
        group = self._world.groups.groups[self._group()]
        group.protects_new = False
        kept = self._luck.choice([each.id for each in group.staying])
        for each in group.staying:
            group.instances[each.id] = replace(each, protected=each.id == kept)
        self._world.groups.follow(group.name)

    def _unprotect(self) -> None:
        group = self._world.groups.groups[self._group()]
        for each in group.staying:
            group.instances[each.id] = replace(each, protected=False)
        self._world.groups.follow(group.name)

    def _lose(self) -> None:
        self._world.swarm.lose(self._worker().id)

    def _set_aside(self) -> None:
        self._world.swarm.set_availability(self._worker().id, self._luck.choice(AWAY))

    def _drain(self) -> None:
        self._world.swarm.set_availability(self._worker().id, "drain")

    def _end(self) -> None:
        instances = [each.id for each in self._world.groups.groups[WORKERS].staying]
        self._world.groups.kill(self._luck.choice(instances))

    def _end_without_join(self) -> None:
        self._world.machines.never_joins += 1
        self._end()

    def _stray(self) -> None:
        self._world.swarm.join("stray", "worker", engine_labels={})

    def _foreign(self) -> None:
        self._world.swarm.join("ip-172-31-0-9", "worker", engine_labels={"instance_id": FOREIGN_INSTANCE})

    def _twice_claimed(self) -> None:
        instance = self._world.machines.instances.get(self._worker().id)
        if instance is not None:
            node = self._world.swarm.join("baked", "worker", engine_labels={"instance_id": instance})
            self._world.machines.baked[node] = instance

    # --- Groups -------------------------------------------------------------------------------------------------

    def _suspend(self) -> None:
        group = self._world.groups.groups[self._group()]
        group.suspended.add(self._luck.choice(("Launch", "Terminate")))
        self._world.groups.follow(group.name)

    def _refresh(self) -> None:
        self._world.groups.groups[self._group()].refreshing = True

    def _refuse(self) -> None:
        self._world.groups.groups[WORKERS].refusal = NO_CAPACITY

    def _want_more(self) -> None:
        group = self._world.groups.groups[self._group()]
        if group.desired < group.max_size:
            self._world.groups.write_desired("people", group.name, group.desired + 1)

    # --- Services -----------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Not many nodes have room for it."""
        self._world.swarm.create("heavy", replicas=self._luck.randint(1, 4), cpus=self._luck.choice((1, 2, 3)) * CPUS)

    def _spread(self) -> None:
        self._world.swarm.create("single", replicas=self._luck.randint(2, 6), max_per_node=1)

    def _publish(self) -> None:
        self._world.swarm.create("edge", replicas=self._luck.randint(2, 5), host_ports=(("tcp", 8443),))

    def _pin(self) -> None:
        self._world.swarm.create("placed", replicas=1, constraints=(f"node.hostname=={self._worker().hostname}",))

    def _weigh_down(self) -> None:
        self._world.swarm.create("database-2", replicas=1, local_volumes=("rows",), constraints=("node.role==worker",))

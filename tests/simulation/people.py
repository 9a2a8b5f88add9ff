"""What people do beside the worker: they set a desired capacity, an availability, a number of replicas."""

from random import Random
from typing import TYPE_CHECKING

from tests.simulation.cloud import MANAGERS, WORKERS
from worker.ports.swarm import Availability

if TYPE_CHECKING:
    from tests.simulation.world import World

AWAY: tuple[Availability, ...] = ("drain", "pause")


class People:
    """The people of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def change_desired(self) -> None:
        """Somebody sets the desired capacity."""
        group = self._world.groups.groups[self._random.choice((WORKERS, MANAGERS))]
        desired = group.desired + self._random.choice((-1, 1))
        kills = desired < group.desired and group.name == MANAGERS and not group.protects_new
        if group.min_size <= desired <= group.max_size and (not kills or self._world.chaos.managers_can_spare()):
            self._world.chaos.happens("somebody sets desired", group=group.name, desired=desired)
            self._world.groups.write_desired("people", group.name, desired)
            self._world.judge.people_changed(group.name)

    def change_availability(self) -> None:
        """Somebody sets a node's availability."""
        cluster = self._world.swarm.cluster
        nodes = [node for node in cluster.nodes.values() if node.manager is None]
        if not nodes:
            return
        node = self._random.choice(nodes)
        new: Availability = "active"
        if node.availability == "active":
            new = self._random.choice(AWAY)
        self._world.chaos.happens("somebody sets availability", node=node.id, to=new)
        self.set_availability(node.id, new)

    def set_availability(self, node_id: str, availability: Availability) -> None:
        """Somebody sets it; who takes a node out of use makes it active again later."""
        self._world.swarm.set_availability(node_id, availability)
        self._world.judge.people_changed(node_id)
        if availability != "active":
            self._world.chaos.later(5, 60, self._activate, node_id)

    def _activate(self, node_id: str) -> None:
        if node_id in self._world.swarm.cluster.nodes:
            self._world.trace.add("world", "* somebody activates", node=node_id)
            self._world.swarm.set_availability(node_id, "active")
            self._world.judge.people_changed(node_id)

    def change_replicas(self) -> None:
        """Somebody scales a service."""
        cluster = self._world.swarm.cluster
        if cluster.leader is None:
            return
        service = self._random.choice([one for one in cluster.services.values() if one.mode == "replicated"])
        replicas = max(1, min(6, service.replicas + self._random.choice((-1, 1))))
        self._world.chaos.happens("somebody scales", service=service.name, replicas=replicas)
        self._world.swarm.scale(service.name, replicas)
        self._world.judge.people_changed(service.id)

    @property
    def _random(self) -> Random:
        """Of the trouble in hand."""
        return self._world.chaos.random

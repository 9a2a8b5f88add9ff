"""How full each node is, kept up to date with every write to a task.

A task counts as active on its node until it is asked to stop, and holds its room there (reservations, host ports)
until it has stopped.
"""

from collections import Counter
from dataclasses import dataclass, field

from infra.local.engine.feed import Feed, NodeRemoved, TaskChanged, TaskRemoved
from infra.local.engine.model import Machine, Task, TaskState
from infra.local.engine.specs import ServiceSpec


@dataclass(slots=True)
class Occupancy:
    """What the tasks of one node take."""

    active: int = 0
    active_by_service: Counter[str] = field(default_factory=Counter)
    nano_cpus: int = 0
    memory_bytes: int = 0
    host_ports: set[tuple[str, int]] = field(default_factory=set)

    def has_resources_for(self, spec: ServiceSpec, machine: Machine) -> bool:
        asked = spec.reservation
        return (
            self.nano_cpus + asked.nano_cpus <= machine.nano_cpus
            and self.memory_bytes + asked.memory_bytes <= machine.memory_bytes
        )

    def has_ports_for(self, spec: ServiceSpec) -> bool:
        return not spec.host_ports or self.host_ports.isdisjoint(spec.host_ports)

    def is_below_max_replicas(self, spec: ServiceSpec, service_id: str) -> bool:
        limit = spec.max_replicas_per_node
        return not limit or self.active_by_service.get(service_id, 0) < limit

    def count(self, service_id: str, change: int) -> None:
        self.active += change
        self.active_by_service[service_id] += change
        if not self.active_by_service[service_id]:
            del self.active_by_service[service_id]

    def take(self, spec: ServiceSpec) -> None:
        self.nano_cpus += spec.reservation.nano_cpus
        self.memory_bytes += spec.reservation.memory_bytes
        self.host_ports |= spec.host_ports

    def give_back(self, spec: ServiceSpec) -> None:
        self.nano_cpus -= spec.reservation.nano_cpus
        self.memory_bytes -= spec.reservation.memory_bytes
        self.host_ports -= spec.host_ports


class OccupancyBook:
    """The occupancy of every node."""

    def __init__(self, feed: Feed) -> None:
        self._of_node: dict[str, Occupancy] = {}
        feed.watch(TaskChanged, lambda change: self._enter(change.task), at_once=True)
        feed.watch(TaskRemoved, lambda change: self._strike(change.task), at_once=True)
        feed.watch(NodeRemoved, self._node_removed, at_once=True)

    def _node_removed(self, change: NodeRemoved) -> None:
        self._of_node.pop(change.node.id, None)

    def __getitem__(self, node_id: str) -> Occupancy:
        found = self._of_node.get(node_id)
        if found is None:
            found = self._of_node[node_id] = Occupancy()
        return found

    def _enter(self, task: Task) -> None:
        if task.node_id:
            on_node = TaskState.ASSIGNED <= task.state <= TaskState.RUNNING
            self._set(task, active=on_node and task.wanted, holds_room=on_node)

    def _strike(self, task: Task) -> None:
        if task.node_id:
            self._set(task, active=False, holds_room=False)

    def _set(self, task: Task, *, active: bool, holds_room: bool) -> None:
        if active is not task.active_on_node:
            self[task.node_id].count(task.service_id, 1 if active else -1)
            task.active_on_node = active
        if holds_room is not task.holds_room:
            node = self[task.node_id]
            (node.take if holds_room else node.give_back)(task.spec)
            task.holds_room = holds_room

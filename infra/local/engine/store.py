"""The Swarm's state: every write goes through here, gets a version, and is told to the watchers.

Holds the indexes that keep look-ups independent of the size of the Swarm. Decides nothing.
"""

from dataclasses import replace

from infra.local.engine.clock import Clock
from infra.local.engine.errors import OutOfSequenceError
from infra.local.engine.feed import (
    Feed,
    NodeChanged,
    NodeRemoved,
    ServiceChanged,
    ServiceRemoved,
    TaskChanged,
    TaskRemoved,
)
from infra.local.engine.model import Meta, Node, Service, Task, TaskState

Slot = dict[str, Task]


class Store:
    """Nodes, services and tasks by id, and tasks by service, slot and node."""

    def __init__(self, clock: Clock, feed: Feed) -> None:
        self.nodes: dict[str, Node] = {}
        self.services: dict[str, Service] = {}
        self.tasks: dict[str, Task] = {}
        self._slots: dict[str, dict[int | str, Slot]] = {}
        self._on_node: dict[str, dict[str, Task]] = {}
        self._clock = clock
        self._feed = feed
        self._version = 10

    # Reading

    def slots(self, service_id: str) -> dict[int | str, Slot]:
        """The service's tasks, grouped by what they fill, the ended ones included."""
        return self._slots.get(service_id, {})

    def tasks_of(self, service_id: str) -> list[Task]:
        return [task for slot in self.slots(service_id).values() for task in slot.values()]

    def tasks_on(self, node_id: str) -> list[Task]:
        return list(self._on_node.get(node_id, {}).values())

    def service_named(self, name: str) -> Service | None:
        return next((service for service in self.services.values() if service.spec.name == name), None)

    # Writing nodes and services

    def put_node(self, node: Node, *, read_version: int | None = None) -> Node:
        """Write the node; OutOfSequenceError when `read_version` is no longer the present one."""
        before = self.nodes.get(node.id)
        node = replace(node, meta=self._next_meta(before.meta if before else None, read_version))
        self.nodes[node.id] = node
        self._feed.publish(NodeChanged(before, node))
        return node

    def put_service(self, service: Service, *, read_version: int | None = None) -> Service:
        """Write the service; OutOfSequenceError when `read_version` is no longer the present one."""
        before = self.services.get(service.id)
        service = replace(service, meta=self._next_meta(before.meta if before else None, read_version))
        self.services[service.id] = service
        self._feed.publish(ServiceChanged(before, service))
        return service

    def remove_node(self, node_id: str) -> None:
        self._feed.publish(NodeRemoved(self.nodes.pop(node_id)))

    def remove_service(self, service_id: str) -> None:
        self._feed.publish(ServiceRemoved(self.services.pop(service_id)))

    # Writing tasks

    def add_task(self, task: Task) -> None:
        task.created_ns = task.updated_ns = task.status_ns = self._clock.now_ns()
        task.version = self._next_version()
        self.tasks[task.id] = task
        self._slots.setdefault(task.service_id, {}).setdefault(task.place, {})[task.id] = task
        if task.node_id:
            self._on_node.setdefault(task.node_id, {})[task.id] = task
        self._feed.publish(TaskChanged(task, None, task.desired))

    def assign(self, task: Task, node_id: str) -> None:
        """Give the task to a node."""
        task.node_id = node_id
        self._on_node.setdefault(node_id, {})[task.id] = task
        self.set_status(task, TaskState.ASSIGNED, "scheduler assigned task to node")

    def set_desired(self, task: Task, desired: TaskState) -> None:
        was_desired, task.desired = task.desired, desired
        self._touch(task)
        self._feed.publish(TaskChanged(task, task.state, was_desired))

    def set_status(self, task: Task, state: TaskState, message: str, error: str = "") -> None:
        was, task.state = task.state, state
        task.message, task.error = message, error
        task.status_ns = self._touch(task)
        self._feed.publish(TaskChanged(task, was, task.desired))

    def remove_task(self, task: Task) -> None:
        """Forget the task, once and for all."""
        if self.tasks.pop(task.id, None) is None:
            return
        self._drop_from_slot(task)
        self._drop_from_node(task)
        self._feed.publish(TaskRemoved(task))

    def _drop_from_slot(self, task: Task) -> None:
        slots = self._slots[task.service_id]
        del slots[task.place][task.id]
        if not slots[task.place]:
            del slots[task.place]
        if not slots:
            del self._slots[task.service_id]

    def _drop_from_node(self, task: Task) -> None:
        on_node = self._on_node.get(task.node_id, {})
        on_node.pop(task.id, None)
        if not on_node:
            self._on_node.pop(task.node_id, None)

    def _touch(self, task: Task) -> int:
        task.version = self._next_version()
        task.updated_ns = self._clock.now_ns()
        return task.updated_ns

    def _next_meta(self, before: Meta | None, read_version: int | None) -> Meta:
        if read_version is not None and (before is None or before.version != read_version):
            raise OutOfSequenceError
        now = self._clock.now_ns()
        return Meta(self._next_version(), before.created_ns if before else now, now)

    def _next_version(self) -> int:
        self._version += 1
        return self._version

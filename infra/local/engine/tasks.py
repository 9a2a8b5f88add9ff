"""The birth of tasks."""

from infra.local.engine.identity import Identities
from infra.local.engine.model import Service, Task, TaskState
from infra.local.engine.store import Store


class TaskMaker:
    """Makes tasks that follow the present specification of a service."""

    def __init__(self, store: Store, ids: Identities) -> None:
        self._store = store
        self._ids = ids

    def for_slot(self, service: Service, slot: int, desired: TaskState = TaskState.RUNNING) -> Task:
        return self._make(service, slot, "", desired)

    def for_node(self, service: Service, node_id: str, desired: TaskState = TaskState.RUNNING) -> Task:
        return self._make(service, 0, node_id, desired)

    def like(self, old: Task, service: Service, desired: TaskState) -> Task:
        """A task in the place of another, after the service's present specification."""
        if service.spec.mode.is_global:
            return self.for_node(service, old.node_id, desired)
        return self.for_slot(service, old.slot, desired)

    def _make(self, service: Service, slot: int, node_id: str, desired: TaskState) -> Task:
        task = Task(
            id=self._ids.swarm_id("task"),
            service_id=service.id,
            spec=service.spec,
            spec_version=service.spec_version,
            slot=slot,
            node_id=node_id,
            desired=desired,
            job_iteration=service.job_status.iteration if service.job_status else 0,
        )
        self._store.add_task(task)
        return task

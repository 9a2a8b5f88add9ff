"""Jobs: tasks that run to completion, a number of them (replicated) or one per node (global).

Every new specification is a new iteration, which begins from nothing and removes what is left of the one before.
"""

from infra.local.engine.constraints import parse
from infra.local.engine.model import Node, Service, Task, TaskState
from infra.local.engine.store import Store
from infra.local.engine.tasks import TaskMaker


class Jobs:
    """Makes the tasks that a job still needs."""

    def __init__(self, store: Store, tasks: TaskMaker) -> None:
        self._store = store
        self._tasks = tasks

    def reconcile_replicated(self, service: Service) -> None:
        """As many tasks at a time as allowed, until enough are complete."""
        present = self._present_tasks(service)
        complete = sum(task.state is TaskState.COMPLETE for task in present)
        underway = sum(task.wanted and not task.ended for task in present)
        missing = service.spec.total_completions - complete - underway
        taken = {task.slot for task in present}
        slot = 0
        for _ in range(min(missing, service.spec.max_concurrent - underway)):
            slot = next(free for free in range(slot + 1, len(taken) + slot + 2) if free not in taken)
            self._tasks.for_slot(service, slot, TaskState.COMPLETE)

    def reconcile_global(self, service: Service) -> None:
        for node in list(self._store.nodes.values()):
            self.fill_node(service, node)

    def fill_node(self, service: Service, node: Node) -> None:
        """The node's task of this iteration, unless it has had it."""
        had = any(task.node_id == node.id for task in self._present_tasks(service))
        suits = all(constraint.admits(node) for constraint in parse(service.spec.constraints))
        if node.takes_tasks and suits and not had:
            self._tasks.for_node(service, node.id, TaskState.COMPLETE)

    def _present_tasks(self, service: Service) -> list[Task]:
        """The tasks of this iteration; those of earlier ones are sent away."""
        iteration = service.job_status.iteration if service.job_status else 0
        present = []
        for task in self._store.tasks_of(service.id):
            if task.job_iteration == iteration:
                present.append(task)
            elif task.desired is not TaskState.REMOVE:
                self._store.set_desired(task, TaskState.REMOVE)
        return present

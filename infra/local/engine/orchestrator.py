"""The orchestrator: as many tasks as each service wants, where it wants them.

Compares services with their tasks when a service, a node or a task changes, and leaves the rest to others: placing
tasks to the scheduler, running them to the agents, replacing old ones to the updates, restarts to their policy.
"""

from collections import Counter
from collections.abc import Callable

from infra.local.engine.constraints import parse
from infra.local.engine.feed import (
    Feed,
    NodeChanged,
    NodeRemoved,
    ServiceChanged,
    ServiceRemoved,
    TaskChanged,
)
from infra.local.engine.jobs import Jobs
from infra.local.engine.model import Node, Service, Task, TaskState
from infra.local.engine.restarts import Restarts
from infra.local.engine.specs import Mode
from infra.local.engine.store import Store
from infra.local.engine.tasks import TaskMaker
from infra.local.engine.update_desk import Slot
from infra.local.engine.updater import Updates


class Orchestrator:
    """Keeps every service at its size, while the Swarm has a leader."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        tasks: TaskMaker,
        restarts: Restarts,
        updates: Updates,
        jobs: Jobs,
        may_run: Callable[[], bool],
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._restarts = restarts
        self._updates = updates
        self._jobs = jobs
        self._may_run = may_run
        feed.watch(ServiceChanged, self._service_changed)
        feed.watch(ServiceRemoved, self._service_removed)
        feed.watch(TaskChanged, self._task_changed)
        feed.watch(NodeChanged, self._node_changed)
        feed.watch(NodeRemoved, self._node_removed)

    def resume(self) -> None:
        """A new leader looks at everything."""
        for node in list(self._store.nodes.values()):
            self._settle_node(node)
        for service in list(self._store.services.values()):
            self._reconcile(service)
            for task in self._store.tasks_of(service.id):
                self._settle_task(task)

    # What changed

    def _service_changed(self, change: ServiceChanged) -> None:
        service = self._store.services.get(change.after.id)
        if service is not None and self._may_run():
            self._reconcile(service)  # also when only the update status changed: that update may have left some

    def _service_removed(self, change: ServiceRemoved) -> None:
        for task in self._store.tasks_of(change.service.id):
            self._store.set_desired(task, TaskState.REMOVE)

    def _task_changed(self, change: TaskChanged) -> None:
        if change.task.state > TaskState.RUNNING and self._may_run():
            self._settle_task(change.task)

    def _node_changed(self, change: NodeChanged) -> None:
        node = self._store.nodes.get(change.after.id)
        if node is not None and self._may_run():
            self._settle_node(node)

    def _node_removed(self, change: NodeRemoved) -> None:
        for task in self._store.tasks_on(change.node.id):
            self._leave(task)

    # Tasks and nodes

    def _settle_task(self, task: Task) -> None:
        """A task that ended gets a successor, and a job its next task."""
        service = self._store.services.get(task.service_id)
        if service is None or not task.ended:
            return
        if service.spec.mode.is_job and task.state is TaskState.COMPLETE:
            self._reconcile(service)
        elif task.wanted:
            self._restart_or_end(task, service)

    def _restart_or_end(self, task: Task, service: Service) -> None:
        node = self._store.nodes.get(task.node_id)
        if service.spec.mode.is_global and not (node and node.keeps_tasks and _satisfies(node, service)):
            self._store.set_desired(task, TaskState.SHUTDOWN)
        else:
            self._restarts.restart(task, service)

    def _settle_node(self, node: Node) -> None:
        """Tasks leave a node that is down or drained; a node that takes tasks gets its global ones."""
        if not node.keeps_tasks:
            for task in self._store.tasks_on(node.id):
                self._leave(task)
            return
        self._enforce_constraints(node)
        for service in list(self._store.services.values()):
            if service.spec.mode.is_global:
                self._fill_node(service, node)

    def _leave(self, task: Task) -> None:
        """The task can not stay on its node: replicated ones go elsewhere, global ones end."""
        service = self._store.services.get(task.service_id)
        if service is None or not task.wanted or task.ended:
            return
        if service.spec.mode.is_global:
            self._store.set_desired(task, TaskState.SHUTDOWN)
        else:
            self._restarts.restart(task, service)

    def _enforce_constraints(self, node: Node) -> None:
        """Tasks whose node no longer satisfies their constraints are rejected there."""
        for task in self._store.tasks_on(node.id):
            if task.spec.constraints and not all(each.admits(node) for each in parse(task.spec.constraints)):
                self._reject(task)

    def _reject(self, task: Task) -> None:
        if task.wanted and not task.ended:
            message = "task rejected by constraint enforcer"
            error = "assigned node no longer meets constraints"
            self._store.set_status(task, TaskState.REJECTED, message, error)

    # Sizes

    def _reconcile(self, service: Service) -> None:
        {
            Mode.REPLICATED: self._reconcile_replicated,
            Mode.GLOBAL: self._reconcile_global,
            Mode.REPLICATED_JOB: self._jobs.reconcile_replicated,
            Mode.GLOBAL_JOB: self._jobs.reconcile_global,
        }[service.spec.mode](service)

    def _reconcile_replicated(self, service: Service) -> None:
        live, dead = self._live_and_dead_slots(service)
        wanted = service.spec.replicas
        if len(live) < wanted:
            self._updates.update(service, live.values())
            self._fill_slots(service, live, dead, wanted - len(live))
            return
        kept = self._by_preference(service, live)[:wanted]
        for slot in live.keys() - set(kept):
            self._remove(live[slot])
        self._remove_dead(dead)
        self._updates.update(service, [live[slot] for slot in kept])

    def _live_and_dead_slots(self, service: Service) -> tuple[dict[int | str, Slot], dict[int | str, Slot]]:
        live, dead = {}, {}
        for place, slot in self._store.slots(service.id).items():
            tasks = self._updatable(list(slot.values()), service)
            if tasks:
                live[place] = tasks
            else:
                dead[place] = list(slot.values())
        return live, dead

    def _updatable(self, slot: Slot, service: Service) -> Slot:
        """The wanted tasks, or the last one if it ended for good; without either, the slot is dead."""
        wanted = [task for task in slot if task.wanted]
        if wanted:
            return wanted
        last = max(slot, key=lambda task: task.created_ns)
        stays_done = last.desired is TaskState.SHUTDOWN and not self._restarts.is_due(last, service)
        return [last] if stays_done else []

    def _fill_slots(
        self, service: Service, live: dict[int | str, Slot], dead: dict[int | str, Slot], count: int
    ) -> None:
        slot = 0
        for _ in range(count):
            slot += 1
            while slot in live:
                slot += 1
            dead.pop(slot, None)
            self._tasks.for_slot(service, slot)
        self._remove_dead(dead)

    def _by_preference(self, service: Service, live: dict[int | str, Slot]) -> list[int | str]:
        """Which slots to keep first: those that run, and those on nodes with few tasks of the service."""
        on_node: Counter[str] = Counter()
        ranked = []
        for place in sorted(live, key=lambda place: (_is_running(live[place]), -int(place)), reverse=True):
            node_id = live[place][0].node_id
            on_node[node_id] += 1
            ranked.append((not _is_running(live[place]), on_node[node_id], place))
        return [place for *_, place in sorted(ranked, key=lambda rank: rank[:2])]

    def _remove(self, slot: Slot) -> None:
        for task in slot:
            self._store.set_desired(task, TaskState.REMOVE)

    def _remove_dead(self, dead: dict[int | str, Slot]) -> None:
        for slot in dead.values():
            self._remove(slot)

    def _reconcile_global(self, service: Service) -> None:
        for node in list(self._store.nodes.values()):
            if node.keeps_tasks:
                self._fill_node(service, node)
        live, _ = self._live_and_dead_slots(service)
        self._updates.update(service, live.values())

    def _fill_node(self, service: Service, node: Node) -> None:
        """The node's task of a global service or job, if the node may have one and has none."""
        if service.spec.mode.is_job:
            self._jobs.fill_node(service, node)
            return
        slot = list(self._store.slots(service.id).get(node.id, {}).values())
        if not _satisfies(node, service):
            for task in slot:
                self._leave(task)
        elif node.takes_tasks and not (slot and self._updatable(slot, service)):
            self._tasks.for_node(service, node.id)


def _is_running(slot: Slot) -> bool:
    return any(task.state is TaskState.RUNNING for task in slot)


def _satisfies(node: Node, service: Service) -> bool:
    return all(constraint.admits(node) for constraint in parse(service.spec.constraints))

"""The scheduler: which node a task goes to.

Tasks that wait are kept in groups that ask for the same. A pass sorts out the nodes that can take the group, puts
them on a heap (fewest tasks of the service, then fewest tasks), and hands tasks out from its top: the cost is nodes
plus tasks, not nodes times tasks. Nothing that runs is ever moved. Spread preferences are not modelled.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from infra.local.engine.clock import Clock
from infra.local.engine.constraints import Constraint, parse
from infra.local.engine.feed import Feed, NodeChanged, TaskChanged, TaskRemoved
from infra.local.engine.model import Node, Task, TaskState
from infra.local.engine.occupancy import Occupancy, OccupancyBook
from infra.local.engine.specs import ServiceSpec
from infra.local.engine.store import Store

_RETRY_SECONDS = 0.02
_TASKS_PER_PASS = 2000

Group = dict[str, Task]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why nodes cannot take a task, in the scheduler's words."""

    one: str
    many: str

    def of(self, nodes: int) -> str:
        return self.one if nodes == 1 else self.many.format(nodes)


UNAVAILABLE = Reason("1 node not available for new tasks", "{} nodes not available for new tasks")
NO_RESOURCES = Reason("insufficient resources on 1 node", "insufficient resources on {} nodes")
CONSTRAINED = Reason(
    "scheduling constraints not satisfied on 1 node", "scheduling constraints not satisfied on {} nodes"
)
PORT_TAKEN = Reason("host-mode port already in use on 1 node", "host-mode port already in use on {} nodes")
MAX_REPLICAS = Reason("max replicas per node limit exceed", "max replicas per node limit exceed")
_IN_ORDER = (UNAVAILABLE, NO_RESOURCES, CONSTRAINED, PORT_TAKEN, MAX_REPLICAS)


class Fit:
    """Which nodes can take a task of one specification, and why others cannot."""

    def __init__(self, service_id: str, spec: ServiceSpec, book: OccupancyBook) -> None:
        self._service_id = service_id
        self._spec = spec
        self._book = book
        self._constraints: tuple[Constraint, ...] = parse(spec.constraints)

    def obstacle(self, node: Node) -> Reason | None:
        """The first thing in the way, in the order that the scheduler checks; None when the node will do."""
        taken = self._book[node.id]
        if not node.takes_tasks:
            return UNAVAILABLE
        if not taken.has_resources_for(self._spec, node.machine):
            return NO_RESOURCES
        if not self.satisfies_constraints(node):
            return CONSTRAINED
        if not taken.has_ports_for(self._spec):
            return PORT_TAKEN
        if not taken.is_below_max_replicas(self._spec, self._service_id):
            return MAX_REPLICAS
        return None

    def satisfies_constraints(self, node: Node) -> bool:
        return all(constraint.admits(node) for constraint in self._constraints)

    def still_fits(self, node: Node, taken: Occupancy) -> bool:
        """What can change while a group is handed out."""
        return (
            taken.has_resources_for(self._spec, node.machine)
            and taken.has_ports_for(self._spec)
            and taken.is_below_max_replicas(self._spec, self._service_id)
        )

    def explain(self, nodes: Iterable[Node]) -> str:
        """All obstacles, the most frequent first; of equally frequent ones the one checked first."""
        counts = Counter(obstacle for node in nodes if (obstacle := self.obstacle(node)))
        reasons = sorted(filter(counts.get, _IN_ORDER), key=lambda reason: -counts[reason])
        return "; ".join(reason.of(counts[reason]) for reason in reasons)


class Scheduler:
    """Gives tasks that wait to nodes; tries again whenever a node or room appears."""

    def __init__(
        self, store: Store, feed: Feed, clock: Clock, book: OccupancyBook, may_run: Callable[[], bool]
    ) -> None:
        self._store = store
        self._clock = clock
        self._book = book
        self._may_run = may_run
        self._groups: dict[tuple[str, int], Group] = {}
        self._pass_due = False
        feed.watch(TaskChanged, self._task_changed)
        feed.watch(TaskRemoved, lambda change: self._forget(change.task))
        feed.watch(NodeChanged, lambda _: self.run_soon())

    def run_soon(self, delay: float = 0.0) -> None:
        """One pass, however often it is asked for meanwhile."""
        if self._groups and not self._pass_due:
            self._pass_due = True
            self._clock.later(delay, self._run)

    def _task_changed(self, change: TaskChanged) -> None:
        task = change.task
        if task.state < TaskState.ASSIGNED:
            self._admit(task) if task.wanted else self._forget(task)
        elif change.was is not None and change.was <= TaskState.RUNNING < task.state:
            self.run_soon(_RETRY_SECONDS)

    def _admit(self, task: Task) -> None:
        group = self._groups.setdefault((task.service_id, task.spec_version), {})
        if task.id not in group and task.id in self._store.tasks:
            group[task.id] = task
            self.run_soon()

    def _forget(self, task: Task) -> None:
        key = (task.service_id, task.spec_version)
        if key in self._groups:
            self._groups[key].pop(task.id, None)
            if not self._groups[key]:
                del self._groups[key]

    def _run(self) -> None:
        self._pass_due = False
        if not self._may_run():
            return
        left = _TASKS_PER_PASS
        for group in list(self._groups.values()):
            left -= self._place(group, left)
            if left <= 0:
                self.run_soon()
                return

    def _place(self, group: Group, limit: int) -> int:
        """Hand out up to `limit` tasks of the group; how many found a node."""
        first = next(iter(group.values()))
        fit = Fit(first.service_id, first.spec, self._book)
        if first.spec.mode.is_global:
            return sum(self._place_on_its_node(task, fit) for task in list(group.values()))
        tasks = list(group.values())
        placed = 0
        for task, node in zip(tasks[:limit], self._offers(first.service_id, fit), strict=False):
            self._give(task, node)
            placed += 1
        if placed < min(limit, len(tasks)):
            self._tell_why(tasks[placed:], fit)
        return placed

    def _offers(self, service_id: str, fit: Fit) -> Iterator[Node]:
        """The best node for the next task, as often as there is one; the taker assigns before asking again."""
        nodes = [node for node in self._store.nodes.values() if fit.obstacle(node) is None]
        heap = [(*self._load(node, service_id), index) for index, node in enumerate(nodes)]
        heapq.heapify(heap)
        while heap:
            index = heap[0][-1]
            node = nodes[index]
            if fit.still_fits(node, self._book[node.id]):
                yield node
                heapq.heapreplace(heap, (*self._load(node, service_id), index))
            else:
                heapq.heappop(heap)

    def _load(self, node: Node, service_id: str) -> tuple[int, int]:
        taken = self._book[node.id]
        return taken.active_by_service.get(service_id, 0), taken.active

    def _place_on_its_node(self, task: Task, fit: Fit) -> bool:
        node = self._store.nodes.get(task.node_id)
        if node is None:
            return False
        obstacle = fit.obstacle(node)
        if obstacle is None:
            self._give(task, node)
        else:
            self._set_pending(task, obstacle.of(1))
        return obstacle is None

    def _give(self, task: Task, node: Node) -> None:
        self._forget(task)
        self._store.assign(task, node.id)

    def _tell_why(self, tasks: list[Task], fit: Fit) -> None:
        explanation = fit.explain(self._store.nodes.values())
        error = f"no suitable node ({explanation})" if explanation else "no suitable node"
        for task in tasks:
            self._set_pending(task, error)

    def _set_pending(self, task: Task, error: str) -> None:
        if (task.state, task.error) != (TaskState.PENDING, error):
            self._store.set_status(task, TaskState.PENDING, "pending task scheduling", error)

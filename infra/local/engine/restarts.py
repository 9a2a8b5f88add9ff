"""Restarts: a task that ended, or whose node goes, gets a successor in its place.

The successor is made at once, wanted only as far as READY, so that it is prepared elsewhere while the old task still
stops. It may run when the restart delay is over and the old task has ended; it is not kept waiting longer than
a minute. Only the service's restart policy decides whether there is a successor at all.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from infra.local.engine.clock import Clock
from infra.local.engine.feed import Feed, NodeChanged, NodeRemoved, ServiceRemoved, TaskChanged, TaskRemoved
from infra.local.engine.model import Availability, NodeState, Service, Task, TaskState
from infra.local.engine.specs import RestartCondition
from infra.local.engine.store import Store
from infra.local.engine.tasks import TaskMaker

_LONGEST_WAIT = 60.0

Place = tuple[str, int | str]


@dataclass(slots=True)
class _Attempts:
    """When a place was filled again, with one specification of its service."""

    spec_version: int
    made_ns: list[int] = field(default_factory=list)


class Restarts:
    """Decides about successors, and lets them run when their time has come."""

    def __init__(self, store: Store, feed: Feed, clock: Clock, tasks: TaskMaker) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._successors: dict[str, list[Task]] = defaultdict(list)
        self._attempts: dict[Place, _Attempts] = {}
        feed.watch(TaskChanged, lambda change: self._check_end_of(change.task))
        feed.watch(TaskRemoved, lambda change: self._release_successors(change.task.id))
        feed.watch(NodeChanged, lambda change: self._check_node(change.after.id))
        feed.watch(NodeRemoved, lambda change: self._check_node(change.node.id))
        feed.watch(ServiceRemoved, lambda change: self._forget_service(change.service))

    def restart(self, old: Task, service: Service) -> None:
        """Ask the task to stop, and put a successor in its place if the policy wants one."""
        if not old.wanted:
            return
        self._store.set_desired(old, TaskState.SHUTDOWN)
        if not self.is_due(old, service) or self._has_successor(old, service):
            return
        self.note_attempt(old, service)
        successor = self._tasks.like(old, service, TaskState.READY)
        self._clock.later(self._delay(old), self.run_after, old, successor)

    def is_due(self, task: Task, service: Service) -> bool:
        """Whether a task that ended, or has to leave, should have a successor."""
        policy = service.spec.restart_policy
        wants_to_stay_done = service.spec.mode.is_job or policy.condition is RestartCondition.ON_FAILURE
        if policy.condition is RestartCondition.NONE:
            return False
        if wants_to_stay_done and task.state is TaskState.COMPLETE:
            return False
        return not policy.max_attempts or self._recent_attempts(task, policy.window) < policy.max_attempts

    def run_after(self, old: Task, successor: Task) -> None:
        """Let the successor run as soon as the old task has ended."""
        if self._is_over(old):
            self._let_run(successor)
            return
        self._successors[old.id].append(successor)
        self._clock.later(_LONGEST_WAIT, self._release_successors, old.id)

    def _has_successor(self, old: Task, service: Service) -> bool:
        """Whether an update has put a task after the present specification there already."""
        slot = self._store.slots(service.id).get(old.place, {})
        return any(task.wanted and not service.spec.tasks_differ(task.spec) for task in slot.values())

    def _delay(self, old: Task) -> float:
        node = self._store.nodes.get(old.node_id)
        drained = node is not None and node.spec.availability is Availability.DRAIN
        return 0.0 if drained else old.spec.restart_policy.delay

    def note_attempt(self, old: Task, service: Service) -> None:
        """A new specification of the service begins a new count."""
        attempts = self._attempts.get(_place(old))
        if attempts is None or attempts.spec_version != service.spec_version:
            attempts = self._attempts[_place(old)] = _Attempts(service.spec_version)
        attempts.made_ns.append(self._clock.now_ns())

    def _recent_attempts(self, task: Task, window: float) -> int:
        """Those with the task's specification; with a window, those within it before the task's present state."""
        attempts = self._attempts.get(_place(task))
        if attempts is None or attempts.spec_version != task.spec_version:
            return 0
        since = task.status_ns - int(window * 1e9)
        return sum(not window or since < made < task.status_ns for made in attempts.made_ns)

    def _is_over(self, old: Task) -> bool:
        node = self._store.nodes.get(old.node_id)
        node_is_gone = old.node_id != "" and (node is None or node.state is NodeState.DOWN)
        return old.ended or node_is_gone or old.id not in self._store.tasks

    def _check_end_of(self, old: Task) -> None:
        if old.id in self._successors and self._is_over(old):
            self._release_successors(old.id)

    def _check_node(self, node_id: str) -> None:
        for task in self._store.tasks_on(node_id):
            self._check_end_of(task)

    def _release_successors(self, old_id: str) -> None:
        for successor in self._successors.pop(old_id, ()):
            self._let_run(successor)

    def _let_run(self, task: Task) -> None:
        if task.desired < TaskState.RUNNING and task.id in self._store.tasks:
            is_job = task.spec.mode.is_job
            self._store.set_desired(task, TaskState.COMPLETE if is_job else TaskState.RUNNING)

    def _forget_service(self, service: Service) -> None:
        for place in [place for place in self._attempts if place[0] == service.id]:
            del self._attempts[place]


def _place(task: Task) -> Place:
    return (task.service_id, task.place)

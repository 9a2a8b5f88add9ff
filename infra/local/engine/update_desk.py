"""The desk of the updates: what an update reads from the store, writes to it, and waits for there."""

import asyncio
from dataclasses import replace

from infra.local.engine.clock import Clock
from infra.local.engine.constraints import parse
from infra.local.engine.faults import Faults
from infra.local.engine.feed import Feed, TaskChanged, TaskRemoved
from infra.local.engine.model import Service, Task, TaskState, UpdateState, UpdateStatus
from infra.local.engine.restarts import Restarts
from infra.local.engine.store import Store
from infra.local.engine.tasks import TaskMaker

UNDERWAY = (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED)
PAUSED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)

Slot = list[Task]


def is_dirty(task: Task, service: Service, store: Store) -> bool:
    """Whether the task has to be replaced to follow the service's specification."""
    if task.spec_version == service.spec_version or not service.spec.tasks_differ(task.spec):
        return False
    node = store.nodes.get(task.node_id)
    if node is not None and service.spec.differs_in_placement_only(task.spec):
        return not all(constraint.admits(node) for constraint in parse(service.spec.constraints))
    return True


class UpdateDesk:
    """What an update does to the store, and what it waits for there."""

    def __init__(self, store: Store, feed: Feed, clock: Clock, tasks: TaskMaker, restarts: Restarts, faults: Faults):
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._restarts = restarts
        self._faults = faults
        self._settling: dict[str, asyncio.Event] = {}
        self._thawed = asyncio.Event()
        feed.watch(TaskChanged, lambda change: self._check_settled(change.task))
        feed.watch(TaskRemoved, lambda change: self._check_settled(change.task))
        faults.on_release(self._thawed.set)

    # Tasks

    def present_tasks(self, slot: Slot) -> Slot:
        """What fills the slot now: since the update began, tasks may have been restarted or removed."""
        now = list(self._store.slots(slot[0].service_id).get(slot[0].place, {}).values())
        return [task for task in now if task.wanted] or [task for task in slot if task in now]

    def clean_task(self, slot: Slot, service: Service) -> Task | None:
        """A task of the slot that follows the specification already."""
        clean = [task for task in slot if task.wanted and not is_dirty(task, service, self._store)]
        return max(clean, key=lambda task: task.desired, default=None)

    def successor(self, old: Task, service: Service) -> Task:
        return self._tasks.like(old, service, TaskState.READY)

    def hand_over(self, old: list[Task], fresh: Task) -> None:
        """Stop the old tasks and let the new one run once they have ended."""
        self.stop(old)
        last = old[-1] if old else fresh
        if fresh.desired < TaskState.RUNNING:
            self._restarts.run_after(last, fresh) if old else self._store.set_desired(fresh, TaskState.RUNNING)

    def stop(self, old: list[Task]) -> None:
        for task in old:
            if task.wanted:
                self._store.set_desired(task, TaskState.SHUTDOWN)

    async def settled(self, task: Task) -> None:
        """Wait until the task runs or has ended: as in Swarm for ever, if its node is lost and never returns."""
        if not self._is_settled(task):
            event = self._settling.setdefault(task.id, asyncio.Event())
            await event.wait()

    def _check_settled(self, task: Task) -> None:
        if task.id in self._settling and self._is_settled(task):
            self._settling.pop(task.id).set()

    def _is_settled(self, task: Task) -> bool:
        return task.state >= TaskState.RUNNING or task.id not in self._store.tasks

    async def until_not_frozen(self, service_name: str) -> None:
        while self._faults.freezes_updates_of(service_name):
            self._thawed.clear()
            await self._thawed.wait()

    # The service's update status

    def begin(self, service_id: str) -> None:
        service = self._store.services.get(service_id)
        if service is not None and service.update_status is None:
            status = UpdateStatus(UpdateState.UPDATING, "update in progress", self._clock.now_ns())
            self._store.put_service(replace(service, update_status=status))

    def complete(self, service_id: str) -> None:
        self._finish(service_id, UpdateState.COMPLETED, UpdateState.ROLLBACK_COMPLETED, "completed")

    def pause(self, service_id: str, failed: Task) -> None:
        reason = f"paused due to failure or early termination of task {failed.id}"
        self._finish(service_id, UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED, reason)

    def roll_back(self, service_id: str, failed: Task) -> None:
        """Return to the previous specification; the change of the service starts the way back."""
        service = self._store.services.get(service_id)
        if service is None or service.update_status is None or service.previous_spec is None:
            return
        message = f"update rolled back due to failure or early termination of task {failed.id}"
        self._store.put_service(
            replace(
                service,
                spec=service.previous_spec,
                spec_version=service.previous_spec_version,
                previous_spec=None,
                update_status=replace(service.update_status, state=UpdateState.ROLLBACK_STARTED, message=message),
            )
        )

    def _finish(self, service_id: str, update: UpdateState, rollback: UpdateState, how: str) -> None:
        service = self._store.services.get(service_id)
        status = service.update_status if service else None
        if service is None or status is None or status.state not in UNDERWAY:
            return
        rolling_back = status.state is UpdateState.ROLLBACK_STARTED
        state = rollback if rolling_back else update
        ended = self._clock.now_ns() if state not in PAUSED else 0
        message = f"{'rollback' if rolling_back else 'update'} {how}"
        status = replace(status, state=state, message=message, completed_ns=ended)
        self._store.put_service(replace(service, update_status=status))

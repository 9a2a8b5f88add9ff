"""Rolling updates: replace a service's tasks that do not follow its specification, some slots at a time.

Follows the rules of the service's update (or rollback) configuration: parallelism, delay, order, how long new tasks
are watched, and what happens when too many of them fail. An update without tasks to replace leaves the service's
update status alone.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from infra.local.engine.clock import Clock
from infra.local.engine.config import SwarmConfig
from infra.local.engine.constraints import parse
from infra.local.engine.faults import Faults
from infra.local.engine.feed import Feed, ServiceRemoved, TaskChanged, TaskRemoved
from infra.local.engine.model import Service, Task, TaskState, UpdateState, UpdateStatus
from infra.local.engine.restarts import Restarts
from infra.local.engine.specs import UpdateConfig
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


@dataclass(slots=True)
class _Progress:
    """The new tasks of one update: when they came up (loop time; None before), and which of them failed."""

    came_up: dict[str, float | None] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)


class RollingUpdate:
    """One update of one service."""

    def __init__(
        self, service: Service, slots: list[Slot], desk: "UpdateDesk", config: UpdateConfig, monitor: float
    ) -> None:
        self.service = service
        self._slots = slots
        self._desk = desk
        self._config = config
        self._monitor = config.monitor or monitor
        self._progress = _Progress()
        self._stopped = False

    async def run(self) -> None:
        """Replace every slot, watch the last ones for a while, and say that it is done."""
        self._desk.begin(self.service.id)
        await self._desk.until_not_frozen(self.service.spec.name)
        queue = iter(self._slots)
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._config.parallelism or len(self._slots)):
                workers.create_task(self._work(queue))
        await asyncio.sleep(self._monitor)
        self._desk.complete(self.service.id)

    def stop(self) -> None:
        """Begin no further slot: cancelling reaches the workers a little late."""
        self._stopped = True

    def is_too_broken(self, failed: Task) -> bool:
        """Enter the failure of one of our own tasks; whether it exceeds what the configuration allows."""
        progress = self._progress
        if failed.id not in progress.came_up or failed.id in progress.failed:
            return False
        came_up = progress.came_up[failed.id]
        if came_up is not None and asyncio.get_running_loop().time() - came_up > self._monitor:
            return False
        progress.failed.add(failed.id)
        return len(progress.failed) / len(self._slots) > self._config.max_failure_ratio

    @property
    def failure_action(self) -> str:
        return self._config.failure_action

    async def _work(self, queue: Iterable[Slot]) -> None:
        for slot in queue:
            if self._stopped:
                return
            await self._replace(slot)
            if self._config.delay:
                await asyncio.sleep(self._config.delay)

    async def _replace(self, slot: Slot) -> None:
        slot = self._desk.present_tasks(slot)
        if not slot:
            return
        present = self._desk.clean_task(slot, self.service)
        old = [task for task in slot if task is not present]
        if present is not None:
            self._desk.hand_over(old, present)
            return
        fresh = self._desk.successor(slot[0], self.service)
        self._progress.came_up[fresh.id] = None
        if self._config.order == "start-first":
            self._desk.hand_over([], fresh)
            if await self._is_up(fresh):
                self._desk.stop(old)
        else:
            self._desk.hand_over(old, fresh)
            await self._is_up(fresh)

    async def _is_up(self, task: Task) -> bool:
        """Wait until the task runs or has ended; whether it runs."""
        await self._desk.settled(task)
        self._progress.came_up[task.id] = asyncio.get_running_loop().time()
        return task.state is TaskState.RUNNING


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
        """Wait until the task runs, has ended, or is not wanted any more."""
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


class Updates:
    """Runs at most one update per service; a new specification ends the one underway."""

    def __init__(
        self, store: Store, feed: Feed, clock: Clock, desk: UpdateDesk, config: SwarmConfig, group: asyncio.TaskGroup
    ) -> None:
        self._store = store
        self._clock = clock
        self._desk = desk
        self._config = config
        self._group = group
        self._running: dict[str, tuple[RollingUpdate, asyncio.Task[None]]] = {}
        feed.watch(TaskChanged, lambda change: self._check_failure(change.task))
        feed.watch(ServiceRemoved, lambda change: self.cancel(change.service.id))

    def update(self, service: Service, slots: Iterable[Slot]) -> None:
        """Bring the slots to the service's specification, unless an update to it is underway or paused."""
        if service.update_status is not None and service.update_status.state in PAUSED:
            return
        if service.id in self._running and self._running[service.id][0].service.spec is service.spec:
            return
        self.cancel(service.id)
        dirty = [slot for slot in slots if self._is_slot_dirty(slot, service)]
        if dirty:
            self._start(service, dirty)
        else:
            self._desk.complete(service.id)

    def cancel(self, service_id: str) -> None:
        if service_id in self._running:
            update, task = self._running.pop(service_id)
            update.stop()
            task.cancel()

    def cancel_all(self) -> None:
        for service_id in list(self._running):
            self.cancel(service_id)

    def _is_slot_dirty(self, slot: Slot, service: Service) -> bool:
        return len(slot) > 1 or (len(slot) == 1 and is_dirty(slot[0], service, self._store))

    def _start(self, service: Service, dirty: list[Slot]) -> None:
        status = service.update_status
        rolling_back = status is not None and status.state is UpdateState.ROLLBACK_STARTED
        config = service.spec.rollback_config if rolling_back else service.spec.update_config
        update = RollingUpdate(service, dirty, self._desk, config, self._config.update_monitor_seconds)
        task = self._group.create_task(update.run())
        self._running[service.id] = (update, task)
        task.add_done_callback(lambda done: self._done(service.id, done))

    def _done(self, service_id: str, task: asyncio.Task[None]) -> None:
        if service_id in self._running and self._running[service_id][1] is task:
            del self._running[service_id]

    def _check_failure(self, task: Task) -> None:
        if task.state <= TaskState.RUNNING or task.service_id not in self._running:
            return
        update, _ = self._running[task.service_id]
        if update.failure_action != "continue" and update.is_too_broken(task):
            self.cancel(task.service_id)
            self._clock.soon(self._react, update, task)  # after the restart of the task, which is due at once

    def _react(self, update: RollingUpdate, failed: Task) -> None:
        service = self._store.services.get(update.service.id)
        status = service.update_status if service else None
        rolling_back = status is not None and status.state is UpdateState.ROLLBACK_STARTED
        if update.failure_action == "rollback" and not rolling_back:
            self._desk.roll_back(update.service.id, failed)
        else:
            self._desk.pause(update.service.id, failed)

"""Rolling updates: replace a service's tasks that do not follow its specification, some slots at a time.

Follows the rules of the service's update (or rollback) configuration: parallelism, delay, order, how long new tasks
are watched, and what happens when too many of them fail. An update without tasks to replace leaves the service's
update status alone.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field

from infra.local.engine.clock import Clock
from infra.local.engine.config import SwarmConfig
from infra.local.engine.feed import Feed, ServiceRemoved, TaskChanged
from infra.local.engine.model import Service, Task, TaskState, UpdateState
from infra.local.engine.specs import UpdateConfig
from infra.local.engine.store import Store
from infra.local.engine.update_desk import PAUSED, Slot, UpdateDesk, is_dirty

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]


@dataclass(slots=True)
class _Progress:
    """The new tasks of one update: when they came up (loop time; None before), and which of them failed."""

    came_up: dict[str, float | None] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)


class RollingUpdate:
    """One update of one service."""

    def __init__(
        self, service: Service, slots: list[Slot], desk: UpdateDesk, config: UpdateConfig, times: SwarmConfig
    ) -> None:
        self.service = service
        self._slots = slots
        self._desk = desk
        self._config = config
        self._monitor = config.monitor or times.update_monitor_seconds
        self._begin_seconds = times.update_begin_seconds
        self._progress = _Progress()
        self._stopped = False

    async def run(self) -> None:
        """Replace every slot, watch the last ones for a while, and say that it is done."""
        if self._begin_seconds:
            await asyncio.sleep(self._begin_seconds)
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


class Updates:
    """Runs at most one update per service; a new specification ends the one underway."""

    def __init__(
        self, store: Store, feed: Feed, clock: Clock, desk: UpdateDesk, config: SwarmConfig, spawn: Spawn
    ) -> None:
        self._store = store
        self._clock = clock
        self._desk = desk
        self._config = config
        self._spawn = spawn
        self._running: dict[str, tuple[RollingUpdate, asyncio.Task[None]]] = {}
        feed.watch(TaskChanged, lambda change: self._check_failure(change.task))
        feed.watch(ServiceRemoved, lambda change: self.cancel(change.service.id))

    def update(self, service: Service, slots: Iterable[Slot]) -> None:
        """Bring the slots to the service's specification, unless an update to it is underway or paused."""
        if service.update_status is not None and service.update_status.state in PAUSED:
            return
        if self._is_underway(service):
            return
        self.cancel(service.id)
        dirty = [slot for slot in slots if self._is_slot_dirty(slot, service)]
        if dirty:
            self._start(service, dirty)
        else:
            self._desk.complete(service.id)

    def _is_underway(self, service: Service) -> bool:
        if service.id not in self._running:
            return False
        update, task = self._running[service.id]
        return update.service.spec is service.spec and not task.done()

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
        update = RollingUpdate(service, dirty, self._desk, config, self._config)
        task = self._spawn(update.run())
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

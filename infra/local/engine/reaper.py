"""The reaper: forgets tasks that nobody will ask about.

Tasks to be removed go as soon as they have ended; of the others each place keeps the most recent ones.
"""

from infra.local.engine.config import SwarmConfig
from infra.local.engine.feed import Feed, TaskChanged
from infra.local.engine.model import Task, TaskState
from infra.local.engine.store import Store


class Reaper:
    def __init__(self, store: Store, feed: Feed, config: SwarmConfig) -> None:
        self._store = store
        self._config = config
        feed.watch(TaskChanged, self._task_changed)

    def _task_changed(self, change: TaskChanged) -> None:
        task = change.task
        if task.desired is TaskState.REMOVE and task.ended:
            self._store.remove_task(task)
        elif change.was is None:
            self._trim(task)

    def _trim(self, newest: Task) -> None:
        """Keep so many tasks in a place, those included that still run."""
        slot = self._store.slots(newest.service_id).get(newest.place, {})
        excess = len(slot) - self._config.task_history_limit
        if excess > 0:
            ended = sorted((task for task in slot.values() if task.ended), key=lambda task: task.created_ns)
            for task in ended[:excess]:
                self._store.remove_task(task)

"""The agents: what nodes do with the tasks they are given.

An agent prepares a task, starts it when the Swarm wants it to run, notices that its program ends, and stops it when
asked to. An agent on a node that is lost does nothing and says nothing.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from infra.local.engine.clock import Clock
from infra.local.engine.config import SwarmConfig
from infra.local.engine.faults import Faults
from infra.local.engine.feed import Feed, NodeRemoved, TaskChanged, TaskRemoved
from infra.local.engine.identity import Identities
from infra.local.engine.model import Task, TaskState
from infra.local.engine.programs import FOREVER, Run, run_of
from infra.local.engine.store import Store

_KILLED = 137


class Agents:
    """All nodes' agents."""

    def __init__(
        self, store: Store, feed: Feed, clock: Clock, config: SwarmConfig, faults: Faults, ids: Identities
    ) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._faults = faults
        self._ids = ids
        self._timers: dict[str, asyncio.Handle] = {}
        self._stopping: set[str] = set()
        self._held: dict[str, Task] = {}
        self._lost: set[str] = set()
        feed.watch(TaskChanged, self._task_changed)
        feed.watch(TaskRemoved, lambda change: self._let_go(change.task))
        feed.watch(NodeRemoved, lambda change: self._lost.add(change.node.id))
        faults.on_release(self._try_held)

    def lose(self, node_id: str) -> None:
        """The machine dies: everything on it stops without a word."""
        self._lost.add(node_id)
        for task in self._store.tasks_on(node_id):
            self._let_go(task)

    def revive(self, node_id: str) -> None:
        """The machine has booted again: of what ran there, nothing runs."""
        self._lost.discard(node_id)
        for task in self._store.tasks_on(node_id):
            if TaskState.ASSIGNED <= task.state <= TaskState.RUNNING:
                self._report_lost_container(task)

    def _report_lost_container(self, task: Task) -> None:
        if task.wanted:
            self._fail(task, _KILLED)
        else:
            self._store.set_status(task, TaskState.SHUTDOWN, "shutdown")

    def _task_changed(self, change: TaskChanged) -> None:
        task = change.task
        if task.node_id in self._lost or task.state < TaskState.ASSIGNED:
            return
        if task.ended:
            self._let_go(task)
        elif not task.wanted:
            self._stop(task)
        elif task.state is TaskState.ASSIGNED:
            self._store.set_status(task, TaskState.PREPARING, "preparing")
            self._after(self._config.start_seconds / 2, self._prepared, task)
        elif task.state is TaskState.READY and task.desired >= TaskState.RUNNING:
            self._start(task)

    def _prepared(self, task: Task) -> None:
        if self._faults.lacks_image(task.spec.image):
            self._store.set_status(task, TaskState.REJECTED, "preparing", f"No such image: {task.spec.image}")
        else:
            self._store.set_status(task, TaskState.READY, "prepared")

    def _start(self, task: Task) -> None:
        task.container_id = self._ids.container_id()
        self._store.set_status(task, TaskState.STARTING, "starting")
        self._after(self._config.start_seconds / 2, self._started, task)

    def _started(self, task: Task) -> None:
        if task.spec.name in self._faults.failing_services:
            self._fail(task, 1)
            return
        self._store.set_status(task, TaskState.RUNNING, "started")
        run = self._run(task)
        if run.seconds != FOREVER:
            self._after(run.seconds, partial(self._exited, exit_code=run.exit_code), task)

    def _run(self, task: Task) -> Run:
        run = run_of(task.spec.command)
        if task.spec.mode.is_job and run.seconds == FOREVER:
            return Run(self._config.job_seconds)
        return run

    def _exited(self, task: Task, exit_code: int) -> None:
        if exit_code:
            self._fail(task, exit_code)
        else:
            self._store.set_status(task, TaskState.COMPLETE, "finished")

    def _fail(self, task: Task, exit_code: int) -> None:
        task.exit_code = exit_code
        self._store.set_status(task, TaskState.FAILED, "started", f"task: non-zero exit ({exit_code})")

    def _stop(self, task: Task) -> None:
        if task.id in self._stopping or task.id in self._held:
            return
        if self._faults.keeps_running(task.spec.name, task.node_id):
            self._held[task.id] = task
            return
        self._stopping.add(task.id)
        has_container = task.state >= TaskState.STARTING
        self._after(self._config.stop_seconds if has_container else 0.0, self._stopped, task)

    def _stopped(self, task: Task) -> None:
        self._stopping.discard(task.id)
        self._store.set_status(task, TaskState.SHUTDOWN, "shutdown")

    def _try_held(self) -> None:
        held, self._held = self._held, {}
        for task in held.values():
            self._stop(task)

    def _after(self, seconds: float, step: Callable[[Task], None], task: Task) -> None:
        """Make this the task's next step; one that was to come is dropped."""
        self._cancel_step(task)
        self._timers[task.id] = self._clock.later(seconds, self._take, step, task)

    def _take(self, step: Callable[[Task], None], task: Task) -> None:
        del self._timers[task.id]
        step(task)

    def _cancel_step(self, task: Task) -> None:
        timer = self._timers.pop(task.id, None)
        if timer is not None:
            timer.cancel()

    def _let_go(self, task: Task) -> None:
        self._cancel_step(task)
        self._stopping.discard(task.id)
        self._held.pop(task.id, None)

"""`make bench`'s rows about growth: the same work on a cluster of 100 nodes and on one of 1,000, twenty tasks a node.

Each cluster is an embedded environment of its own, with one worker. Tasks start and stop at once: the time is ours,
and the emulation's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from infra.local.asking import asked, changes, ended, eventually, followed, moment, say, service
from infra.local.children import Child
from infra.local.demo import CURL, PATH
from infra.local.engine.model import TaskState
from infra.local.environment import Environment
from infra.local.facts import Eyes
from infra.local.figures import Figures
from infra.local.load import cpu_seconds, resident

SIZES: Final = (100, 1000)
ROUNDS: Final = 3
TASKS_A_NODE: Final = 20
REPLICAS: Final = 200
LABELLED: Final = 500
CROWD: Final = 20
_UP: Final = b'{"groupLabels": {"scale": "up"}}'
_SETTINGS: Final = {"BOOT_DELAY": "0.5", "DEFAULT_MAX_WORKER_NODES": "2000"}


async def grow(figures: Figures, folder: Path, environ: Mapping[str, str]) -> None:
    """Take all figures down. Raises WentWrong, SetUpFailed."""
    for nodes in SIZES:
        say(f"{nodes:,} nodes, {nodes * TASKS_A_NODE:,} tasks")
        async with (
            Environment(folder, {**environ, **_SETTINGS}, workers=1, nodes=nodes) as environment,
            Eyes(environment) as eyes,
        ):
            worker = await eventually(environment.services.active_worker, "an active worker")
            cluster = _Cluster(environment, eyes, worker, figures, f"{nodes:,} nodes")
            await cluster.fill(nodes * TASKS_A_NODE)
            for _ in range(ROUNDS):
                await cluster.up()
                await cluster.down()
            await cluster.page()
            if nodes == min(SIZES):
                await cluster.crowd()
            if nodes == max(SIZES):
                await cluster.reschedule()
            figures.note(f"{nodes:,} nodes: worker, resident after all that", resident(worker.pid), unit="MiB")
    small, large = (f"{nodes:,} nodes: plan" for nodes in SIZES)
    figures.note("plan at 1,000 nodes, in times of 100", figures.median(large) / figures.median(small), unit="x")


class _Cluster:
    """Each measurement leaves it as large as it was."""

    def __init__(self, environment: Environment, eyes: Eyes, worker: Child, figures: Figures, size: str) -> None:
        self._environment = environment
        self._eyes = eyes
        self._worker = worker
        self._figures = figures
        self._size = size

    async def fill(self, tasks: int) -> None:
        """So many tasks, in services of two hundred replicas."""
        config = self._environment.swarm.config
        config.start_seconds = config.stop_seconds = 0.0
        for number in range(tasks // REPLICAS):
            self._environment.swarm.control.create_service(service(f"wide-{number:03}", REPLICAS))
        await self._running(tasks)

    async def up(self) -> None:
        """One node more."""
        record = await self._measured("one scale-up", lambda: ended(self._eyes, PATH, _UP))
        steps = {step["name"]: step for step in record["steps"]}
        plan = moment(steps["plan"]["ended_at"]) - moment(steps["plan"]["started_at"])
        self._figures.note(f"{self._size}: plan", plan)

    async def down(self) -> None:
        """One node less, with all its tasks."""
        await self._measured("one scale-down", lambda: ended(self._eyes, PATH, CURL))

    async def crowd(self) -> None:
        """Many ups at the same moment, with room for all; then as many nodes less."""
        what = f"{self._size}: {CROWD} scale-ups at once"
        for _ in range(ROUNDS):
            posted = time.time()
            requests = await asyncio.gather(*(asked(self._eyes, PATH, _UP) for _ in range(CROWD)))
            for request in requests:
                await followed(self._eyes, request)
            raised = changes(self._eyes, posted)
            self._figures.note(f"{what}, POST to the last raise", max(raised) - posted)
            self._figures.note(f"{what}, changes of the capacity", len(raised), unit="")
            await ended(self._eyes, PATH.replace("by=1", f"by={CROWD}"), CURL)

    async def page(self) -> None:
        """The status page."""
        for _ in range(ROUNDS):
            began = time.monotonic()
            size = await self._eyes.page()
            self._figures.note(f"{self._size}: status page", time.monotonic() - began)
            self._figures.note(f"{self._size}: status page, size", size / 1024, unit="KiB")

    async def reschedule(self) -> None:
        """All labelled services at once."""
        names = [f"labelled-{number:03}" for number in range(LABELLED)]
        for name in names:
            self._environment.swarm.control.create_service(service(name, 1, label="true"))
        await self._measured(
            f"{LABELLED} services rescheduled", lambda: ended(self._eyes, "/v1/reschedule-services", b"")
        )

    async def _measured(self, what: str, work: Callable[[], Any]) -> dict[str, Any]:
        """From POST to the end, and the worker's CPU meanwhile."""
        posted, used = time.time(), cpu_seconds(self._worker.pid)
        record: dict[str, Any] = await work()
        self._figures.note(f"{self._size}: {what}, POST to the end", moment(record["ended_at"]) - posted)
        self._figures.note(f"{self._size}: {what}, the worker's CPU", cpu_seconds(self._worker.pid) - used)
        return record

    async def _running(self, tasks: int) -> None:
        async def all_run() -> bool:
            states = self._environment.swarm.store.tasks.values()
            return sum(task.state is TaskState.RUNNING for task in states) >= tasks

        await eventually(all_run, f"{tasks:,} tasks")

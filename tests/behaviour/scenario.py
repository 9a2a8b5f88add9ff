"""A cluster in memory for one test: queue, journal, groups, Swarm, Alertmanager, and the workers that serve it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from shared.records import Record
from tests.behaviour.process import Clock, InterceptedPorts, Process
from tests.fakes import (
    InMemoryAlerts,
    InMemoryGroups,
    InMemoryInbox,
    InMemoryJournal,
    InMemoryLeaseStore,
    InMemorySwarm,
    Launcher,
)
from tests.fakes.swarm import wanted
from tests.unit.build import settings
from worker.lifecycle import Ports, Worker
from worker.metrics import Metrics
from worker.ports.swarm import Node, Service

RESCHEDULED = {"com.df.reschedule": "true"}
LOOK_SECONDS = 0.05

Told = tuple[str, str, str, str, str]
"""alertname, service, status, request, summary."""


class Scenario:
    """Three managers and some workers, each an instance of its group. Made inside the loop."""

    def __init__(
        self,
        *,
        managers: int = 3,
        workers: int = 1,
        boot: float = 3.0,
        protects_new: bool = True,
        sizes: tuple[int, int] = (0, 10),
        **variables: Any,
    ) -> None:
        self.clock = Clock()
        self.variables = variables
        self.inbox = InMemoryInbox(self.clock)
        self.journal = InMemoryJournal(self.clock)
        self.leases = InMemoryLeaseStore()
        self.groups = InMemoryGroups(self.clock)
        self.swarm = InMemorySwarm()
        self.alerts = InMemoryAlerts()
        self.managers = self.groups.add_group("managers", desired=managers, min_size=1, max_size=10)
        self.workers = self.groups.add_group(
            "workers", desired=workers, min_size=sizes[0], max_size=sizes[1], protects_new=protects_new
        )
        self.launcher = Launcher(
            self.groups, self.swarm, {"managers": "manager", "workers": "worker"}, boot_seconds=boot
        )
        self.processes: list[Process] = []

    # --- Who takes part -----------------------------------------------------------------------------------------

    def start(self, name: str = "", *, node: str | None = None, alerts: bool = True, **variables: Any) -> Process:
        """A worker process; `node`: the one whose socket it uses."""
        intercepted, clock, metrics = InterceptedPorts(), Clock(), Metrics()
        name = name or f"worker-{len(self.processes) + 1}"
        groups, swarm = self.groups.through(intercepted), self.swarm.through(intercepted, node)
        ports = Ports(
            inbox=self.inbox.through(intercepted),
            journal=self.journal.through(intercepted),
            leases=self.leases.through(intercepted),
            groups=groups,
            change_groups=groups,
            swarm=swarm,
            change_swarm=swarm,
            alerts=self.alerts.through(intercepted) if alerts else None,
        )
        worker = Worker(ports, settings(**{**self.variables, **variables}), clock, metrics, name)
        process = Process(name, intercepted, clock, metrics, worker)
        process.start()
        self.processes.append(process)
        return process

    async def started(self, **options: Any) -> Process:
        """One that is active."""
        process = self.start(**options)
        await self.until(lambda: process.active)
        return process

    # --- What tests do and ask ----------------------------------------------------------------------------------

    def ask(self, action: str, **fields: Any) -> str:
        """A message into the queue; the request's id."""
        message = self.inbox.send(json.dumps({"action": action, **fields}))
        return str(fields.get("id", message))

    def up(self, **fields: Any) -> str:
        """One more worker, unless it says otherwise."""
        return self.ask("scale-nodes", **{"scale": "up", "type": "worker", **fields})

    def down(self, **fields: Any) -> str:
        """One worker less, unless it says otherwise."""
        return self.ask("scale-nodes", **{"scale": "down", "type": "worker", **fields})

    def record(self, request: str) -> Record:
        """The request's record as it stands."""
        return self.journal.records[request]

    async def until(self, true: Callable[[], bool], within: float = 60.0) -> None:
        """Look until it is true; fail where it is not in time."""
        end = asyncio.get_running_loop().time() + within
        while not true():
            assert asyncio.get_running_loop().time() < end, f"not true within {within} seconds"
            await asyncio.sleep(LOOK_SECONDS)

    async def passes(self, seconds: float) -> None:
        """So much time goes by."""
        await asyncio.sleep(seconds)

    async def ended(self, request: str, within: float = 120.0) -> Record:
        """The record of a request that has ended."""
        await self.until(lambda: request in self.journal.records and self.record(request).state.ended, within)
        return self.record(request)

    async def at(self, request: str, step: str, within: float = 60.0) -> Record:
        """The record of a request that is at a step."""
        await self.until(lambda: request in self.journal.records and self.record(request).step == step, within)
        return self.record(request)

    @property
    def told(self) -> list[Told]:
        """What Alertmanager was told, in order."""
        alerts = [posted.alert for posted in self.alerts.posted]
        return [(one.alertname, one.service, one.status, one.request, one.summary) for one in alerts]

    def nodes(self, role: str = "worker") -> list[Node]:
        """The nodes of a role."""
        return [node for node in self.swarm.cluster.nodes.values() if node.role == role]

    def node(self, instance: str) -> Node:
        """An instance's node."""
        return self.swarm.cluster.nodes[self.launcher.nodes[instance]]

    def host(self, instance: str) -> str:
        """Its hostname."""
        return self.node(instance).hostname

    def service(self, name: str) -> Service:
        """A service as it stands."""
        return next(one for one in self.swarm.cluster.services.values() if one.name == name)

    def running(self, name: str) -> int:
        """How many of its tasks run on machines that live."""
        service_id = self.service(name).id
        tasks = (task for task in self.swarm.cluster.tasks if task.service_id == service_id)
        return sum(task.state == "running" and wanted(task) for task in tasks)

    @property
    def desired(self) -> list[int]:
        """The workers' desired capacity, every value it had."""
        return self.groups.groups["workers"].desired_history

    async def settled(self, name: str, number: int) -> None:
        """So many tasks of a service run."""
        await self.until(lambda: self.running(name) == number)


@asynccontextmanager
async def scenario(**options: Any) -> AsyncIterator[Scenario]:
    """A scenario, and its end."""
    made = Scenario(**options)
    try:
        yield made
    finally:
        for process in made.processes:
            await process.close()

"""The Swarm in memory: the worker's own adapter over the simulated engine, on the loop's time and without HTTP."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any, Self, cast

from infra.local.engine import Faults, SimulatedSwarm, SwarmConfig
from infra.local.engine.feed import ServiceChanged
from infra.local.engine.identity import Identities
from infra.local.engine.model import Availability as EngineAvailability
from infra.local.engine.model import TaskState
from shared.fields import Role
from tests.fakes.clock import START
from tests.fakes.cluster import Cluster
from tests.fakes.engine import InProcessEngine
from tests.fakes.hooks import Hooks, Port, hooked
from tests.fakes.specs import as_spec
from worker.adapters import engine as adapter
from worker.adapters.swarm import DockerSwarm
from worker.ports.swarm import Availability, ServiceMode, Task

GIB = 1024**3
START_NS = int(START.timestamp()) * 10**9


def quick() -> SwarmConfig:
    """Times of a Swarm in memory."""
    return SwarmConfig(down_detection_seconds=1.0, role_change_seconds=0.3, update_begin_seconds=0.05, job_seconds=1e6)


class ReadableIdentities(Identities):
    """Identifiers that people can tell apart when they read a trace: `node-7`."""

    def __init__(self) -> None:
        super().__init__(seed=1)
        self._numbers = count(1)

    def swarm_id(self, kind: str) -> str:
        """Its kind, and a number."""
        return f"{kind}-{next(self._numbers)}"


def wanted(task: Task) -> bool:
    """It has not been asked to stop."""
    return task.desired in {"ready", "running", "complete"}


class InMemorySwarm(DockerSwarm, Port):
    """The Swarm and SwarmChanges ports."""

    port = "swarm"

    def __init__(
        self,
        hooks: Hooks | None = None,
        *,
        times: SwarmConfig | None = None,
        ids: Identities | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        Port.__init__(self, hooks)  # DockerSwarm's own would open a connection
        running = loop or asyncio.get_running_loop()
        self.simulated = SimulatedSwarm(
            times or quick(), now_ns=lambda: START_NS + int(running.time() * 1e9), ids=ids or ReadableIdentities()
        )
        self.simulated.start(running)
        self.cluster = Cluster(self.simulated)
        self.rollouts: Counter[str] = Counter()
        """Service ids, and how many specifications their tasks have had."""
        self.simulated.feed.watch(ServiceChanged, self._count_rollout, at_once=True)
        self._connect(None)

    def _connect(self, node_id: str | None) -> None:
        self.in_process = InProcessEngine(self.simulated, node_id)
        self._engine = cast("adapter.Engine", self.in_process)

    def through(self, hooks: Hooks, node_id: str | None = None) -> Self:
        """As another process sees it: over the socket of a node, or without one over the leader's."""
        view = super().through(hooks)
        view._connect(node_id)
        return view

    def changes(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Events of nodes and services."""
        return self._changes()

    @asynccontextmanager
    async def _changes(self) -> AsyncIterator[AsyncIterator[None]]:
        await self.hooks.before("swarm.changes")
        async with super().changes() as changes:
            yield changes

    # --- What tests set up and look at --------------------------------------------------------------------------

    @property
    def times(self) -> SwarmConfig:
        """How long things take. May be changed at any moment."""
        return self.simulated.config

    def join(self, hostname: str, role: Role = "worker", *, engine_labels: dict[str, str] | None = None) -> str:
        """A node with 4 CPUs and 8 GiB joins, and is Ready. The first one must be a manager. Its id."""
        return self.simulated.add_node(
            hostname, role=role, engine_labels=engine_labels, nano_cpus=4 * 10**9, memory_bytes=8 * GIB
        )

    def lose(self, node_id: str) -> None:
        """The machine dies, without a word."""
        self.simulated.lose_node(node_id)

    def revive(self, node_id: str) -> None:
        """It boots again."""
        self.simulated.return_node(node_id)

    def create(self, name: str, replicas: int = 1, mode: ServiceMode = "replicated", **wishes: Any) -> str:
        """A service; `wishes` are fields of Service. Its id."""
        return self.simulated.control.create_service(as_spec(name, replicas, mode=mode, **wishes)).id

    def remove(self, service_id: str) -> None:
        """A person removes a service."""
        self.simulated.control.remove_service(service_id)

    def scale(self, name: str, replicas: int) -> None:
        """A person sets the number of replicas."""
        service = self.simulated.control.service(name)
        body = {**service.spec.body, "Mode": {"Replicated": {"Replicas": replicas}}}
        self.simulated.control.update_service(service.id, service.meta.version, body, rollback=False)

    def label(self, node_id: str, **labels: str) -> None:
        """A person sets labels of a node; `_` in a key stands for a dot."""
        named = {key.replace("_", "."): value for key, value in labels.items()}
        self._respecify(node_id, labels={**self.simulated.store.nodes[node_id].spec.labels, **named})

    def set_availability(self, node_id: str, availability: Availability) -> None:
        """A person sets it."""
        self._respecify(node_id, availability=EngineAvailability(availability))

    def disguise(self, node_id: str, hostname: str) -> None:
        """Nothing about the node tells which instance it is."""
        node = self.simulated.store.nodes[node_id]
        self.simulated.store.put_node(replace(node, machine=replace(node.machine, hostname=hostname, engine_labels={})))

    def running_on(self, node_id: str) -> list[Task]:
        """The tasks that run there."""
        return [task for task in self.cluster.tasks if task.node_id == node_id and task.state == "running"]

    def refills(self, task_id: str) -> bool:
        """Whether Swarm would start a task again elsewhere, were it stopped now."""
        task = self.simulated.store.tasks[task_id]
        return self.simulated.restarts.is_due(task, self.simulated.store.services[task.service_id])

    def fail(self, task_id: str) -> None:
        """The task's container ends badly."""
        self.simulated.store.set_status(self.simulated.store.tasks[task_id], TaskState.FAILED, "started", "exit 1")

    def count_attempts(self, name: str) -> None:
        """Each of a service's slots has used a restart attempt, of which Swarm shows no task any more."""
        service = next(each for each in self.simulated.store.services.values() if each.spec.name == name)
        for task in list(self.simulated.store.tasks.values()):
            if task.service_id == service.id:
                self.simulated.restarts.note_attempt(task, service)

    @property
    def faults(self) -> Faults:
        """What goes wrong in the Swarm."""
        return self.simulated.faults

    def hang_up(self) -> None:
        """The engine of this view goes away for a moment: its subscriptions end."""
        self.in_process.hang_up()

    # --- How it works -------------------------------------------------------------------------------------------

    def _respecify(self, node_id: str, **changes: Any) -> None:
        node = self.simulated.store.nodes[node_id]
        self.simulated.store.put_node(replace(node, spec=replace(node.spec, **changes)))

    def _count_rollout(self, change: ServiceChanged) -> None:
        before, after = change.before, change.after
        self.rollouts[after.id] += before is None or after.spec.tasks_differ(before.spec)


# A process's hooks come before and after each of its calls.
for _call in (
    "identity",
    "nodes",
    "services",
    "service",
    "tasks",
    "workload",
    "update_node",
    "remove_node",
    "update_service",
):
    setattr(InMemorySwarm, _call, hooked(getattr(DockerSwarm, _call)))

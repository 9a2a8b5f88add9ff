"""The simulated Swarm: everything wired together, and what its environment may do to it.

    async with SimulatedSwarm(SwarmConfig()) as swarm:
        manager = swarm.add_node("ip-10-0-1-11", role="manager", engine_labels={"instance_id": "i-1"})
        worker = swarm.add_node("ip-10-0-3-12")
        async with serve(swarm, Path("docker.sock")):                   # speaks through the present leader
            async with serve(swarm, Path("m1.sock"), node_id=manager):  # an engine, and down with its machine
                swarm.lose_node(worker)                                 # the machine dies, without a word
                swarm.return_node(worker)                               # the same machine boots again

Everything happens on the event loop that entered the context; call it from nowhere else. `swarm.config` and
`swarm.faults` may be changed at any time.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Self

from infra.local.engine.agents import Agents
from infra.local.engine.clock import Clock, NowNs
from infra.local.engine.config import SwarmConfig
from infra.local.engine.control import Control
from infra.local.engine.events import EventLog
from infra.local.engine.faults import Faults
from infra.local.engine.feed import Feed
from infra.local.engine.identity import Identities
from infra.local.engine.jobs import Jobs
from infra.local.engine.membership import Membership
from infra.local.engine.model import Availability, Machine, Node, NodeSpec, Role, Service, Task, TaskState
from infra.local.engine.networks import Networks
from infra.local.engine.occupancy import OccupancyBook
from infra.local.engine.orchestrator import Orchestrator
from infra.local.engine.raft import Raft
from infra.local.engine.reaper import Reaper
from infra.local.engine.restarts import Restarts
from infra.local.engine.scheduler import Scheduler
from infra.local.engine.store import Store
from infra.local.engine.tasks import TaskMaker
from infra.local.engine.update_desk import UpdateDesk
from infra.local.engine.updater import Spawn, Updates

GIB = 1024**3


class SimulatedSwarm:
    """A Swarm in memory. Enter its context on the event loop that it is to live on."""

    def __init__(
        self, config: SwarmConfig | None = None, *, now_ns: NowNs = time.time_ns, ids: Identities | None = None
    ) -> None:
        self.config = config or SwarmConfig()
        self.faults = Faults()
        self._ids = ids or Identities(self.config.seed)
        self._now_ns = now_ns
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        group = await self._exits.enter_async_context(asyncio.TaskGroup())
        self.start(asyncio.get_running_loop(), group.create_task)
        self._exits.callback(self._close)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._exits.aclose()

    def start(self, loop: asyncio.AbstractEventLoop, spawn: Spawn | None = None) -> None:
        """Wire everything up, for a Swarm that lives as long as its loop. `spawn` owns the tasks of updates."""
        clock = self.clock = Clock(loop, self._now_ns)
        ids = self._ids
        feed = self.feed = Feed(clock)
        store = self.store = Store(clock, feed)
        book = OccupancyBook(feed)
        self.events = EventLog(feed, clock)
        self.raft = Raft(clock, self._leader_changed)
        self.networks = Networks(clock, self.events, ids)
        self.cluster_id = ids.swarm_id("swarm")
        self.created_ns = clock.now_ns()
        tasks = TaskMaker(store, ids)
        restarts = self.restarts = Restarts(store, feed, clock, tasks)
        desk = UpdateDesk(store, feed, clock, tasks, restarts, self.faults)
        self._updates = Updates(store, feed, clock, desk, self.config, spawn or loop.create_task)
        self._orchestrator = Orchestrator(
            store, feed, tasks, restarts, self._updates, Jobs(store, tasks), self._has_leader
        )
        self._scheduler = Scheduler(store, feed, clock, book, self._has_leader)
        agents = Agents(store, feed, clock, self.config, self.faults, ids)
        Reaper(store, feed, self.config)
        self.membership = Membership(store, feed, clock, self.config, self.raft, agents, ids)
        self.control = Control(store, self.raft, self.membership, clock, ids)

    def _close(self) -> None:
        self._updates.cancel_all()
        self.clock.close()

    def _has_leader(self) -> bool:
        return self.raft.leader is not None

    def _leader_changed(self, old: str | None, new: str | None) -> None:
        for node_id, leads in ((old, False), (new, True)):
            node = self.store.nodes.get(node_id or "")
            if node is not None:
                self.events.leader_changed(node, leads=leads)
        if new is not None:
            self.membership.resume()
            self._orchestrator.resume()
            self._scheduler.run_soon()

    # What the environment does

    def add_node(
        self,
        hostname: str,
        *,
        role: Role | str = Role.WORKER,
        address: str = "127.0.0.1",
        engine_labels: dict[str, str] | None = None,
        availability: Availability | str = Availability.ACTIVE,
        nano_cpus: int = 2 * 10**9,
        memory_bytes: int = 4 * GIB,
        engine_version: str = "28.2.2",
    ) -> str:
        """A machine joins; its node is ready at once. The first one must be a manager. Answers the node's id."""
        machine = Machine(hostname, address, nano_cpus, memory_bytes, engine_labels or {}, engine_version)
        return self.membership.join(machine, NodeSpec(Role(role), Availability(availability))).id

    def lose_node(self, node_id: str) -> None:
        """The machine dies hard: its node is down after `down_detection_seconds`."""
        self.membership.lose(node_id)

    def return_node(self, node_id: str) -> None:
        """The machine that died boots again; what ran there does not run any more."""
        self.membership.revive(node_id)

    # Views for a display

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(self.store.nodes.values())

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(self.store.services.values())

    def running_on(self, node_id: str) -> tuple[Task, ...]:
        """The tasks that run on the node at this moment, those included that are asked to stop."""
        return tuple(task for task in self.store.tasks_on(node_id) if task.state is TaskState.RUNNING)

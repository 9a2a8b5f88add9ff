"""What the worker asks of the Docker Swarm. What it may change there is left to `swarm_changes`.

Every call may raise `Unavailable` (no answer, or "later": it may have taken effect) or `Refused` (a definite no);
`NotFound` is a `Refused`. Facts are snapshots: they were true when they were read.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from shared.fields import Role

Availability = Literal["active", "pause", "drain"]

PROTECT_LABEL = "com.df.scaler.protect"
"""The node label that, when `true`, keeps a node from ever being chosen."""
MOVABLE_LABEL = "com.df.scaler.movable"
"""The service label that, when `true`, allows moving tasks that write a volume of their node."""


@dataclass(frozen=True, slots=True)
class Manager:
    """What only managers have."""

    leader: bool = False
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the Swarm."""

    id: str
    hostname: str
    role: Role
    """The wanted role; `manager` tells what it is now."""
    availability: Availability = "active"
    state: str = "ready"
    """ready, down, unknown, disconnected."""
    labels: Mapping[str, str] = field(default_factory=dict)
    engine_labels: Mapping[str, str] = field(default_factory=dict)
    manager: Manager | None = None
    cpus: int = 0
    """NanoCPUs."""
    memory: int = 0
    """Bytes."""
    generic: Mapping[str, int] = field(default_factory=dict)
    """Generic resources: kind to how many."""
    os: str = "linux"
    architecture: str = "x86_64"
    address: str = ""
    """As the managers see it."""
    created_at: datetime | None = None
    """When it joined: one that leaves and joins again is a new node."""

    @property
    def ready(self) -> bool:
        """The Swarm says Ready."""
        return self.state == "ready"


ServiceMode = Literal["replicated", "global", "replicated-job", "global-job"]


@dataclass(frozen=True, slots=True)
class Service:
    """A service's wishes, and how its last update went."""

    id: str
    name: str
    version: int
    mode: ServiceMode
    replicas: int = 0
    """Wanted replicas; 0 for global ones."""
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    platforms: tuple[tuple[str, str], ...] = ()
    """(os, architecture) pairs that its image runs on; empty: any."""
    max_per_node: int = 0
    """0: no limit."""
    cpus: int = 0
    memory: int = 0
    generic: Mapping[str, int] = field(default_factory=dict)
    host_ports: frozenset[tuple[str, int]] = frozenset()
    """(protocol, port) pairs published on the node itself."""
    restarts: bool = True
    """False: a task that ends is not replaced (restart condition `none`)."""
    restarts_completed: bool = True
    """False: one that ends well is not replaced (`on-failure`)."""
    max_attempts: int = 0
    """How often Swarm replaces the task of a slot, drains included. 0: no limit."""
    attempts_window: timedelta = timedelta(0)
    """Only replacements within it, before the task began to run, count against `max_attempts`. 0: all of them."""
    local_volumes: tuple[str, ...] = ()
    """Named volumes that its tasks write and that stay on their node (driver `local`, no network file system)."""
    start_first: bool = False
    """The update order."""
    stop_grace: timedelta | None = None
    """How long a container may take to stop. None: it sets nothing, and the engine's default counts."""
    update_state: str | None = None
    """updating, paused, completed, rollback_started, rollback_paused, rollback_completed; None: never updated."""
    update_message: str = ""
    updated_at: datetime | None = None
    """When its last update began, by the managers' clocks; before it has begun, when the service was written."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a service."""

    id: str
    service_id: str
    node_id: str | None
    slot: int
    """0 for tasks of global services."""
    state: str
    """new, pending, assigned, ..., running, complete, shutdown, failed, rejected, orphaned ..."""
    desired: str
    """running, shutdown, remove, complete (jobs)."""
    error: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    """Equal for tasks of one specification, placement aside. With the two times only where attempts are limited."""
    created_at: datetime | None = None
    since: datetime | None = None
    """When its present state began, by its node's clock."""

    @property
    def alive(self) -> bool:
        """It holds its node: it runs, or is on its way there, or has not stopped yet."""
        return self.node_id is not None and self.state in _ALIVE

    @property
    def told_to_stop(self) -> bool:
        """Swarm wants it to end; what runs on all the same is a container that does not stop."""
        return self.desired in {"shutdown", "remove"}


OVER = frozenset({"complete", "shutdown", "failed", "rejected", "remove", "orphaned"})
"""States of tasks that hold nothing any more."""
_ALIVE = frozenset({"assigned", "accepted", "preparing", "ready", "starting", "running"})


@dataclass(frozen=True, slots=True)
class Workload:
    """What was asked for of some nodes and services: a small part of what a large Swarm runs."""

    tasks: Sequence[Task]
    """All that are on the nodes, and all of the services, old ones too."""
    services: Sequence[Service]
    """Those that were named, and those of which a task on the nodes has not ended."""


@dataclass(frozen=True, slots=True)
class SwarmIdentity:
    """Which Swarm the socket leads to, and through which node."""

    cluster_id: str
    node_id: str


class Swarm(Protocol):
    """Questions to the Swarm."""

    async def identity(self) -> SwarmIdentity:
        """Raises Unavailable unless the socket answers as a manager of a Swarm that has a leader."""

    async def nodes(self, ids: Collection[str] | None = None) -> Sequence[Node]:
        """All nodes, or those of some ids."""

    async def services(self, label: str | None = None) -> Sequence[Service]:
        """All services, or those with a label (`key` or `key=value`)."""

    async def service(self, name: str) -> Service:
        """One service, by its exact name or id. Raises NotFound with the engine's own words."""

    async def tasks(self, *, service_id: str | None = None, node_id: str | None = None) -> Sequence[Task]:
        """Tasks, also old ones, all or of one service or on one node."""

    async def workload(self, node_ids: Collection[str], service_ids: Collection[str] = ()) -> "Workload":
        """What concerns some nodes and some services, and nothing else. What is gone is left out."""

    def changes(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Subscribed from entering on: one item for one or more events of nodes and services since the last.

        Ends, without an error, when the engine goes away.
        """

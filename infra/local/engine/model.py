"""What a Swarm consists of: nodes, services, tasks, and the specifications they follow.

Nodes and services are values: a change makes a new one, so that a watcher can compare. Tasks are many and change
often: they are mutable, and only the store writes to them. Timestamps are nanoseconds of the wall clock.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from infra.local.engine.specs import ServiceSpec


class TaskState(IntEnum):
    """In the order that a task passes through; beyond RUNNING it has ended."""

    NEW = 0
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    ORPHANED = 832


class Role(StrEnum):
    WORKER = "worker"
    MANAGER = "manager"


class Availability(StrEnum):
    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


class NodeState(StrEnum):
    UNKNOWN = "unknown"
    DOWN = "down"
    READY = "ready"
    DISCONNECTED = "disconnected"


class UpdateState(StrEnum):
    UPDATING = "updating"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_PAUSED = "rollback_paused"
    ROLLBACK_COMPLETED = "rollback_completed"


@dataclass(frozen=True, slots=True)
class Meta:
    """The version of the write that made this value, and its timestamps."""

    version: int = 0
    created_ns: int = 0
    updated_ns: int = 0


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What people may change about a node."""

    role: Role = Role.WORKER
    availability: Availability = Availability.ACTIVE
    labels: dict[str, str] = field(default_factory=dict)
    name: str = ""
    accepted: bool = True
    """The API knows no membership, so that its updates take it away; it shows in the filter only."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node says about the machine it is."""

    hostname: str
    address: str
    nano_cpus: int
    memory_bytes: int
    engine_labels: dict[str, str] = field(default_factory=dict)
    engine_version: str = "28.2.2"
    os: str = "linux"
    architecture: str = "x86_64"


@dataclass(frozen=True, slots=True)
class Node:
    """A member of the Swarm. `role` is the effective one; it follows the wanted one in `spec`."""

    id: str
    spec: NodeSpec
    machine: Machine
    role: Role
    state: NodeState = NodeState.READY
    message: str = ""
    meta: Meta = Meta()

    @property
    def takes_tasks(self) -> bool:
        return self.state is NodeState.READY and self.spec.availability is Availability.ACTIVE

    @property
    def keeps_tasks(self) -> bool:
        return self.state is not NodeState.DOWN and self.spec.availability is not Availability.DRAIN


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """How far a rolling update has come."""

    state: UpdateState
    message: str
    started_ns: int = 0
    completed_ns: int = 0


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Which execution of a job this is."""

    iteration: int
    last_execution_ns: int


@dataclass(frozen=True, slots=True)
class Service:
    """A service. `spec_version` identifies the specification, not the value as a whole."""

    id: str
    spec: ServiceSpec
    spec_version: int = 0
    previous_spec: ServiceSpec | None = None
    previous_spec_version: int = 0
    update_status: UpdateStatus | None = None
    job_status: JobStatus | None = None
    meta: Meta = Meta()


@dataclass(slots=True, eq=False)
class Task:
    """One attempt to run a container for one slot (replicated) or node (global) of a service."""

    id: str
    service_id: str
    spec: ServiceSpec
    spec_version: int
    slot: int
    node_id: str
    desired: TaskState
    state: TaskState = TaskState.NEW
    message: str = "created"
    error: str = ""
    status_ns: int = 0
    created_ns: int = 0
    updated_ns: int = 0
    version: int = 0
    container_id: str = ""
    exit_code: int = 0
    job_iteration: int = 0
    active_on_node: bool = False
    holds_room: bool = False

    @property
    def place(self) -> int | str:
        """What the task fills: its slot, or for a global service its node."""
        return self.slot or self.node_id

    @property
    def wanted(self) -> bool:
        """Not asked to stop (a job's task is wanted until it is complete)."""
        return self.desired <= TaskState.COMPLETE

    @property
    def ended(self) -> bool:
        """Will never run again: it stopped, or was called off before any node had it."""
        return self.state > TaskState.RUNNING or (not self.wanted and self.state < TaskState.ASSIGNED)

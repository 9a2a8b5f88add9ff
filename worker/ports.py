"""What the worker needs from outside, as small protocols, and the facts they hand over.

Every call may raise `Unavailable` (no answer, or "later": it may have taken effect) or `Refused` (a definite no);
`NotFound` is a `Refused`. Facts are snapshots: they were true when they were read.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from shared.alertmanager import Alert
from shared.errors import Unavailable
from shared.messages import Role
from shared.records import Record

Availability = Literal["active", "pause", "drain"]

REQUEST_LABEL = "com.df.scaler.request"
"""The service label that names the request which changed the service's replicas last."""
RESCHEDULE_LABEL = "com.df.scaler.reschedule"
"""The same for what moved its tasks. A key of its own: neither may wipe out the other's proof."""
PROTECT_LABEL = "com.df.scaler.protect"
"""The node label that, when `true`, keeps a node from ever being chosen."""


# --- Auto Scaling -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Instance:
    """An EC2 instance of an Auto Scaling group."""

    id: str
    lifecycle: str
    """The group's word: Pending, InService, Terminating, Terminating:Wait, Standby, Detached ..."""
    protected: bool = False
    """Protected from scale-in."""
    zone: str = ""
    private_dns_name: str = ""
    launched_at: datetime | None = None

    @property
    def leaving(self) -> bool:
        """On its way out: it counts for nothing any more."""
        return self.lifecycle.startswith(("Terminat", "Detach"))


@dataclass(frozen=True, slots=True)
class Group:
    """An Auto Scaling group."""

    name: str
    desired: int
    min_size: int
    max_size: int
    instances: tuple[Instance, ...] = ()
    suspended: frozenset[str] = frozenset()
    """Names of suspended processes: Launch, Terminate ..."""
    protects_new: bool = True
    """NewInstancesProtectedFromScaleIn."""

    @property
    def staying(self) -> tuple[Instance, ...]:
        """The instances that are not on their way out."""
        return tuple(instance for instance in self.instances if not instance.leaving)


@dataclass(frozen=True, slots=True)
class Activity:
    """A scaling activity of a group."""

    id: str
    status: str
    """Successful, InProgress, Failed, Cancelled, ..."""
    description: str
    reason: str
    """AWS's own sentence (StatusMessage), empty where all is well."""
    started_at: datetime

    lowered_to: int | None = None
    """It shrank the group: the desired capacity that a termination by name left. None: it lowered nothing."""

    @property
    def failed_launch(self) -> bool:
        """The group tried to launch an instance and could not."""
        return self.status == "Failed" and self.description.startswith("Launching")

    @property
    def ends_instance(self) -> bool:
        """An instance, named in the description, is being terminated, or was."""
        return self.status not in {"Failed", "Cancelled"} and self.description.startswith("Terminating")


class Groups(Protocol):
    """The Auto Scaling groups."""

    async def describe(self, name: str) -> Group:
        """The group with its instances. Raises NotFound."""
        ...

    async def activities(self, name: str) -> Sequence[Activity]:
        """The newest activities, newest first."""
        ...

    async def refreshing(self, name: str) -> bool:
        """Whether an instance refresh runs."""
        ...

    async def gone(self, instance_ids: Sequence[str]) -> frozenset[str]:
        """Those of the instances that EC2 calls terminated or does not know."""
        ...


class GroupChanges(Protocol):
    """What may be done to a group. Capacity is lowered by naming instances only."""

    async def set_desired(self, name: str, desired: int) -> None:
        """Set the desired capacity. Raises Refused with AWS's reason."""
        ...

    async def terminate(self, instance_id: str) -> int | None:
        """Terminate one instance and lower the desired capacity with it: to what, unless AWS does not say.

        Raises Refused with AWS's reason.
        """
        ...


# --- Docker Swarm -----------------------------------------------------------------------------------------------


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
    plugins: frozenset[tuple[str, str]] = frozenset()
    """(type, name) of the engine's plugins."""

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
    start_first: bool = False
    """The update order."""
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

    @property
    def alive(self) -> bool:
        """It holds its node: it runs, or is on its way there, or has not stopped yet."""
        return self.node_id is not None and self.state in _ALIVE


_ALIVE = frozenset({"assigned", "accepted", "preparing", "ready", "starting", "running"})


@dataclass(frozen=True, slots=True)
class SwarmIdentity:
    """Which Swarm the socket leads to, and through which node."""

    cluster_id: str
    node_id: str


class Swarm(Protocol):
    """Questions to the Swarm."""

    async def identity(self) -> SwarmIdentity:
        """Raises Unavailable unless the socket answers as a manager of a Swarm that has a leader."""
        ...

    async def nodes(self) -> Sequence[Node]:
        """All nodes."""
        ...

    async def services(self, label: str | None = None) -> Sequence[Service]:
        """All services, or those with a label (`key` or `key=value`)."""
        ...

    async def service(self, name: str) -> Service:
        """One service, by its exact name or id. Raises NotFound with the engine's own words."""
        ...

    async def tasks(self, *, service_id: str | None = None, node_id: str | None = None) -> Sequence[Task]:
        """Tasks, also old ones, all or of one service or on one node."""
        ...

    def changes(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Subscribed from entering on: one item for one or more events of nodes and services since the last.

        Ends, without an error, when the engine goes away.
        """
        ...


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """One change of a service. What is None stays."""

    request_id: str
    """Goes into a label in the same update: the proof that it was done."""
    replicas: int | None = None
    env: tuple[str, str] | None = None
    force: bool = False
    """Replace the tasks though nothing else changes."""

    @property
    def label(self) -> str:
        """The label that proves this kind of change."""
        return REQUEST_LABEL if self.replicas is not None else RESCHEDULE_LABEL


class SwarmChanges(Protocol):
    """What may be done to the Swarm. Versions are read afresh, and "out of sequence" is tried again, inside."""

    async def update_node(
        self, node_id: str, *, availability: Availability | None = None, role: Role | None = None
    ) -> None:
        """Set one or both. Nothing happens where it is so already. Raises NotFound."""
        ...

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """Remove a Down node. One that is not there any more is no error. Raises Refused."""
        ...

    async def idle(self) -> None:
        """Return when no call is on its way any more, not even one that was cancelled or gave no answer in time."""
        ...

    async def update_service(self, service_id: str, change: ServiceChange) -> None:
        """Change one field and the label that proves it, if that does not name this request yet. Raises NotFound."""
        ...


# --- Inbox, journal, lease, alerts ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the inbox, and the handle to delete it with."""

    id: str
    body: str
    receipt: str
    sent_at: datetime


class Inbox(Protocol):
    """The queue that requests come in through."""

    async def receive(self) -> Sequence[Message]:
        """Some messages, or none after a long poll."""
        ...

    async def delete(self, message: Message) -> None:
        """Take a message out of the queue for good."""
        ...

    async def dead_letter(self, message: Message, error: str) -> None:
        """Put a copy into the dead-letter queue, with the reason. The message itself stays."""
        ...


@dataclass(frozen=True, slots=True)
class GroupMemory:
    """What must be remembered of a node type between requests: our own last result, and the ends of changes."""

    desired: int | None = None
    desired_at: datetime | None = None
    up_ended_at: datetime | None = None
    down_ended_at: datetime | None = None
    revision: int = 0
    """Rises with every write, also with one whose answer never came: it may arrive late, and must not come last."""


class Overtaken(Unavailable):
    """A record was not written: an earlier write of ours, whose answer was lost, had been done after all."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"An earlier write of record {record.id} had been done")
        self.record = record
        """As it stands there."""


class Journal(Protocol):
    """The records of this cluster. Every write is one item, conditional on the token."""

    async def create(self, record: Record) -> Record | None:
        """Put a new record down. None: done; else the record that stands under this id already."""
        ...

    async def save(self, record: Record) -> Record:
        """Overwrite the revision that a record was made from, if it carries our token. What stands there then.

        Raises Fenced where it carries another token, and Overtaken where another revision stands there.
        """
        ...

    async def get(self, request_id: str) -> Record | None:
        """One record, strongly consistent."""
        ...

    async def open(self) -> Sequence[Record]:
        """All records that are not settled, oldest first, strongly consistent."""
        ...

    async def claim(self, request_id: str, token: int) -> Record | None:
        """Put our token on a record with a lower one, and read it. None: it carries a higher one, or is gone."""
        ...

    async def first_of(self, key: str, request_id: str, expected: str | None = None) -> str:
        """The id of the request that holds a dedup key: ours, if nobody or `expected` held it."""
        ...

    async def recall(self, node_type: Role, token: int) -> GroupMemory:
        """What is remembered of a node type; claims it for our token. Raises Fenced."""
        ...

    async def remember(self, node_type: Role, memory: GroupMemory, token: int) -> None:
        """Write it down, over an earlier revision of our token or a lower token. Raises Fenced.

        A write that arrives after a later one of ours changes nothing, and raises Unavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class LeaseItem:
    """The lease as it stands in the table."""

    owner: str | None
    """None: released."""
    token: int
    renewals: int
    swarm: str
    """The Swarm's cluster id: a worker on another Swarm has no business here."""


class LeaseStore(Protocol):
    """The one item that says who is active."""

    async def read(self) -> LeaseItem | None:
        """The item, strongly consistent. None: never written."""
        ...

    async def replace(self, expected: LeaseItem | None, item: LeaseItem) -> bool:
        """Write the item if what stands there has the expected token, renewals and owner. False: it has not.

        False also where an earlier call has written the same: when that was, the caller must find out or assume.
        """
        ...


class AlertSink(Protocol):
    """Where alerts go."""

    async def post(self, alert: Alert, now: datetime, timeout: timedelta) -> None:
        """Hand one alert over. Raises Unavailable or Refused."""
        ...

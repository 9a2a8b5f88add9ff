"""The journal and the lease: what is kept in the table, and the conditions of each write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.errors import Unavailable
from shared.fields import Role
from shared.pause import Pause
from shared.records import Record
from shared.status import Heartbeat, Status
from worker.ports.swarm import Availability


@dataclass(frozen=True, slots=True)
class Drained:
    """A node that a request has drained, and that stays so until somebody gives it back."""

    request: str
    """The id of the request."""
    was: Availability
    """Its availability before."""


@dataclass(frozen=True, slots=True)
class GroupMemory:
    """What must be remembered of a node type between requests: our own last result, and the ends of changes."""

    desired: int | None = None
    desired_at: datetime | None = None
    up_ended_at: datetime | None = None
    down_ended_at: datetime | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    """Instances that were seen in the group, those of today last: their ids, and the hostnames that EC2 gave them."""
    drained: Mapping[str, Drained] = field(default_factory=dict)
    """Ids of the nodes of this type that requests have drained."""
    abandoned: tuple[str, ...] = ()
    """The instances that were abandoned since one has joined last, because they never joined the Swarm."""
    revision: int = 0
    """Rises with every write, also with one whose answer never came: it may arrive late, and must not come last."""


@dataclass(frozen=True, slots=True)
class PauseMemory:
    """Who paused or resumed the cluster last. The one that was requested last counts, in whatever order they come."""

    request: str = ""
    """The id of the request."""
    requested_at: datetime | None = None
    """None: nobody ever did."""
    pause: Pause | None = None
    """None: it was resumed."""
    revision: int = 0
    """As in `GroupMemory`."""


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

    async def save(self, record: Record) -> Record:
        """Overwrite the revision that a record was made from, if it carries our token. What stands there then.

        Raises Fenced where it carries another token, and Overtaken where another revision stands there.
        """

    async def get(self, request_id: str) -> Record | None:
        """One record, strongly consistent."""

    async def open(self) -> Sequence[Record]:
        """All records that are not settled, oldest first, strongly consistent."""

    async def claim(self, request_id: str, token: int) -> Record | None:
        """Put our token on a record with a lower one, and read it. None: it carries a higher one, or is gone."""

    async def first_of(self, key: str, request_id: str, expected: str | None = None) -> str:
        """The id of the request that holds a dedup key: ours, if nobody or `expected` held it."""

    async def recall(self, node_type: Role, token: int) -> GroupMemory:
        """What is remembered of a node type; claims it for our token. Raises Fenced."""

    async def remember(self, node_type: Role, memory: GroupMemory, token: int) -> None:
        """Write it down, over an earlier revision of our token or a lower token. Raises Fenced.

        A write that arrives after a later one of ours changes nothing, and raises Unavailable.
        """

    async def recall_pause(self, token: int) -> PauseMemory:
        """Who paused or resumed last; claims it for our token. Raises Fenced."""

    async def remember_pause(self, memory: PauseMemory, token: int) -> None:
        """Write it down, as `remember` does."""

    async def publish(self, document: Status | Heartbeat, token: int, revision: int) -> None:
        """Put the status document or the heartbeat down, for those who look; the same conditions. Raises Fenced.

        Raises Refused where it is too large for the table.
        """


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

    async def replace(self, expected: LeaseItem | None, item: LeaseItem) -> bool:
        """Write the item if what stands there has the expected token, renewals and owner. False: it has not.

        False also where an earlier call has written the same: when that was, the caller must find out or assume.
        """

"""What ingest reads of the table for those who look: the worker's documents and the lease, with fencing tokens."""

from dataclasses import dataclass, field

from shared.status import Heartbeat, Status


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease as it stands in the table."""

    owner: str | None
    """None: released."""
    token: int
    renewals: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What one read of the table finds."""

    status: Status | None = None
    status_token: int = 0
    status_revision: int = 0
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    heartbeat_token: int = 0
    lease: Lease | None = None

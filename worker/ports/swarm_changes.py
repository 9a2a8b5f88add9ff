"""The few changes that the worker makes to the Docker Swarm.

Every call may raise `Unavailable` (no answer, or "later": it may have taken effect) or `Refused` (a definite no);
`NotFound` is a `Refused`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from shared.fields import Role
from worker.ports.swarm import Availability

REQUEST_LABEL = "com.df.scaler.request"
"""The service label that names the request which changed the service's replicas last."""
RESCHEDULE_LABEL = "com.df.scaler.reschedule"
"""The same for what moved its tasks. A key of its own: neither may wipe out the other's proof."""


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """One change of a service. What is None stays."""

    request_id: str
    """Goes into a label in the same update: the proof that it was done."""
    replicas: int | None = None
    env: tuple[str, str] | None = None
    force: bool = False
    """Replace the tasks though nothing else changes."""
    avoid: tuple[str, ...] = ()
    """Ids of nodes that its tasks have to leave. Only they are replaced, and no restart attempt is used up
    (https://github.com/moby/swarmkit/blob/master/manager/orchestrator/task.go, `IsTaskDirty`).
    No label is written: the constraint itself proves it."""
    allow: tuple[str, ...] = ()
    """Ids of nodes that it may use again. Nothing moves."""

    @property
    def label(self) -> str:
        """The label that proves this kind of change; `avoid` and `allow` prove themselves."""
        return REQUEST_LABEL if self.replicas is not None else RESCHEDULE_LABEL


class SwarmChanges(Protocol):
    """What may be done to the Swarm. Versions are read afresh, and "out of sequence" is tried again, inside."""

    async def update_node(
        self,
        node_id: str,
        *,
        availability: Availability | None = None,
        role: Role | None = None,
        expected: Collection[Availability] | None = None,
    ) -> None:
        """Set one or both. Nothing happens where it is so already.

        `expected`: what the availability may be until then. Raises Revised where somebody has set another one, and
        NotFound.
        """

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """Remove a Down node. One that is not there any more is no error. Raises Refused."""

    async def idle(self) -> None:
        """Return when no call is on its way any more, not even one that was cancelled or gave no answer in time."""

    async def update_service(self, service_id: str, change: ServiceChange) -> None:
        """Change one field and the label that proves it, if that does not name this request yet. Raises NotFound."""

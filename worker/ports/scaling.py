"""What the worker asks of Auto Scaling and EC2, and the two changes it may make there.

Every call may raise `Unavailable` (no answer, or "later": it may have taken effect) or `Refused` (a definite no);
`NotFound` is a `Refused`. Facts are snapshots: they were true when they were read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


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

"""What a check asks of AWS and of Alertmanager, beside what the worker asks anyway (`ports`).

Every call may raise `Unavailable`, `Refused` or `NotFound`. None changes anything.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

Trial = Callable[[], Awaitable[None]]
"""A call that proves something, and raises one of our errors where it does not."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """How the table was made."""

    status: str
    key: tuple[str, ...]
    """The attributes of its primary key, the partition's first."""
    indexes: Mapping[str, tuple[str, ...]]
    """Its local indexes: name to key."""
    expiry: str | None
    """The attribute by which items expire; None: they do not."""


class Aws(Protocol):
    """AWS, as far as the worker's ports do not ask it."""

    async def queue(self, url: str) -> Mapping[str, str]:
        """A queue's attributes."""

    async def table(self) -> TableFacts:
        """The table."""

    async def clock_ahead(self) -> timedelta | None:
        """How far this machine's clock is ahead of AWS's, to a second or two. None: AWS does not say its time."""

    def trials(self, groups: Sequence[str]) -> Mapping[str, Trial]:
        """By IAM's name of what is to be allowed: a call that needs it."""

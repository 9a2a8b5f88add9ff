"""What ingest needs from outside, as small protocols. A call may raise Unavailable or Refused."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from ingest.stored import Stored
from shared.alertmanager import Alert
from shared.records import Record, State
from shared.status import Queue


class Inbox(Protocol):
    """Where requests go."""

    async def send(self, message: Mapping[str, Any]) -> None:
        """Return once the message is safe."""

    async def check(self) -> None:
        """Return if a message could be sent now."""


class Journal(Protocol):
    """Where the worker writes what became of requests."""

    async def records(self, ids: Collection[str]) -> Mapping[str, Record]:
        """The records of these requests (at most 100), without those that no worker has taken yet."""

    async def newest(self, limit: int, state: State | None = None) -> Sequence[Record]:
        """The newest records of the cluster, those in one state if it is said; the newest first."""

    async def status(self) -> Stored:
        """What the active worker has written for those who look, and the lease."""


class Counts(Protocol):
    """How full the queues are."""

    @property
    def newest(self) -> Queue | None:
        """As it was seen last; None: it could not be seen."""

    async def look(self) -> Queue:
        """What there is now."""

    async def run(self) -> None:
        """Keep an eye on them, for ever."""


class Alerts(Protocol):
    """Where people are told."""

    async def post(self, alert: Alert, now: datetime, timeout: timedelta) -> None:
        """Hand one alert over."""

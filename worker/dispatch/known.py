"""What the active worker knows, for its metrics: asked at each scrape, without a call to anywhere."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.records import State
from shared.status import Status
from worker.leadership.lease import HeldLease, Lease
from worker.leadership.period import Leadership
from worker.requests import notices
from worker.requests.open_requests import OpenRequests
from worker.requests.outbox import Outbox
from worker.requests.request import OpenRequest

_AWAY: Final = {notices.AWS: "aws", notices.DOCKER: "docker"}
TURN: Final = "turn"
"""The reason of a request that waits for another one, or has not begun."""


@dataclass(frozen=True, slots=True)
class Known:
    """One leadership period's."""

    leadership: Leadership
    requests: OpenRequests
    outbox: Outbox
    lease: Lease
    held: HeldLease
    status: Callable[[], Status | None]
    """The newest status document; None before the first."""

    def oldest_age(self) -> timedelta:
        """Zero without one."""
        return self.requests.oldest_age()

    def lease_age(self) -> timedelta:
        """How long ago the lease was renewed."""
        whole = self.leadership.settings.lease_seconds
        return max(whole - timedelta(seconds=self.lease.left(self.held)), timedelta())

    def pending_notices(self) -> int:
        """Notices that Alertmanager has not taken yet."""
        return self.outbox.waiting

    def open_requests(self) -> Mapping[str, int]:
        """By state; one that has ended and is about to leave is none."""
        open_ones = (*self.requests.queued, *self.requests.running)
        states = Counter({str(State.QUEUED): 0, str(State.RUNNING): 0})
        states.update(str(request.record.state) for request in open_ones if not request.ended)
        return states

    def waiting_requests(self) -> Mapping[str, int]:
        """By a code: `turn`, `aws`, `docker`, or the step that waits."""
        reasons = Counter({TURN: len(self.requests.queued), "aws": 0, "docker": 0})
        reasons.update(filter(None, map(reason, self.requests.running)))
        return reasons

    def cooldown_ends(self) -> Iterator[tuple[str, str, datetime]]:
        """Of those pools that are remembered already."""
        for role, memory in self.leadership.memory.known.items():
            cooldowns = self.leadership.pools[role].cooldowns
            if memory.up_ended_at is not None and cooldowns["up"]:
                yield role, "up", memory.up_ended_at + cooldowns["up"]
            if memory.down_ended_at is not None and cooldowns["down"]:
                yield role, "down", memory.down_ended_at + cooldowns["down"]


def reason(request: OpenRequest) -> str | None:
    """Why a request that has begun waits, as one of a few codes. None: it works."""
    waiting = request.waiting
    if waiting is None:
        return None
    if waiting.behind is not None:
        return TURN
    return _AWAY.get(waiting.what) or request.record.step or TURN

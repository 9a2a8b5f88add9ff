"""The situation: what the worker's status document says, how old that is, and who is active. Pure.

Whether a worker is active is told by the lease: the heartbeat says how often it had been renewed at a certain time,
so how often it has been since says when that was last. The clocks of two machines are compared here, which is good
enough for people who look; nobody acts on it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ingest.problems import problems
from ingest.stored import Lease, Stored
from ingest.turned_away import TurnedAway
from shared.status import Active, Heartbeat, Queue, Status, Trouble

_RENEWALS = 3
"""The lease is renewed so many times within its duration."""
_SLACK_SECONDS = 2.5


def situation(
    cluster: str,
    stored: Stored,
    queue: Queue | None,
    troubles: Sequence[Trouble],
    now: datetime,
    turned_away: TurnedAway | None = None,
) -> Status:
    """The status to show. `troubles`: what did not answer ingest itself; `turned_away`: who came without the token."""
    said = stored.status or Status()
    as_of = _as_of(stored)
    active = _active(stored, now)
    pause = said.paused
    if pause is not None and pause.until is not None and pause.until <= now:
        pause = None
    status = said.but(
        cluster=cluster,
        active=active,
        paused=pause,
        queue=queue,
        as_of=as_of,
        age=None if as_of is None else max(0.0, round((now - as_of).total_seconds(), 1)),
        troubles=(*said.troubles, *troubles),
    )
    return status.but(problems=tuple(problems(status, stored, turned_away)))


def _as_of(stored: Stored) -> datetime | None:
    """When a worker said last that the document is true."""
    said = None if stored.status is None else stored.status.as_of
    confirmed = (stored.heartbeat_token, stored.heartbeat.revision) == (stored.status_token, stored.status_revision)
    known = [moment for moment in (said, stored.heartbeat.at if confirmed else None) if moment is not None]
    return max(known, default=None)


# --- Who is active ----------------------------------------------------------------------------------------------


def _active(stored: Stored, now: datetime) -> Active | None:
    lease, heartbeat = stored.lease, stored.heartbeat
    if lease is None or lease.owner is None:
        return None
    if stored.heartbeat_token != lease.token or heartbeat.renewed_at is None:
        return Active(worker=lease.owner)  # it has taken over just now
    age = _lease_age(lease, heartbeat, now)
    if age > heartbeat.lease_seconds + _SLACK_SECONDS:
        return None
    return Active(worker=lease.owner, since=heartbeat.since, lease_age=age)


def _lease_age(lease: Lease, heartbeat: Heartbeat, now: datetime) -> float:
    """Seconds since the lease was renewed, by how many renewals came after those that the heartbeat knew of."""
    renewed = (lease.renewals - heartbeat.renewals) * heartbeat.lease_seconds / _RENEWALS
    moment = (heartbeat.renewed_at or now) + timedelta(seconds=renewed)
    return max(0.0, round((now - moment).total_seconds(), 1))

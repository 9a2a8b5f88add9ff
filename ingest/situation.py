"""The situation: what the worker's status document says, how old that is, and what is wrong. Pure.

Whether a worker is active is told by the lease: the heartbeat says how often it had been renewed at a certain time,
so how often it has been since says when that was last. The clocks of two machines are compared here, which is good
enough for people who look; nobody acts on it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.clock import rfc3339
from shared.status import Active, Heartbeat, Problem, Queue, Status, Trouble

OLD_SECONDS = 150.0
"""A heartbeat comes each minute: two have failed to."""
QUEUE_OLD_SECONDS = 60.0
NOT_JOINED_SECONDS = 300.0
_RENEWALS = 3
"""The lease is renewed so many times within its duration."""
_SLACK_SECONDS = 2.5
_NAMES = 5
"""So many nodes are named in one sentence."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease as it stands in the table."""

    owner: str | None
    """None: released."""
    token: int
    renewals: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What one read of the table finds, each with its fencing token."""

    status: Status | None = None
    status_token: int = 0
    status_revision: int = 0
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    heartbeat_token: int = 0
    lease: Lease | None = None


def situation(cluster: str, stored: Stored, queue: Queue | None, troubles: Sequence[Trouble], now: datetime) -> Status:
    """The status to show. `troubles`: what did not answer ingest itself."""
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
    return status.but(problems=tuple(_problems(status, stored)))


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


# --- What is wrong ----------------------------------------------------------------------------------------------


def _problems(status: Status, stored: Stored) -> Iterator[Problem]:
    """The gravest first."""
    yield from _of_the_worker(status, stored)
    yield from _of_others(status)
    yield from _of_the_queue(status.queue or Queue())
    yield from _of_the_groups(status)
    yield from _of_the_nodes(status)


def _of_the_worker(status: Status, stored: Stored) -> Iterator[Problem]:
    if status.active is None:
        yield Problem(code="no-worker", sentence=_no_worker(status, stored))
    elif (status.active.lease_age or 0.0) > stored.heartbeat.lease_seconds / 2 + 1:
        yield Problem(
            code="lease-not-renewed",
            sentence=f"The active worker has not renewed its lease for {_duration(status.active.lease_age or 0.0)}: it "
            "may have died. Another one takes over when the lease has run out.",
        )
    if status.active is not None and (status.age is None or status.age > OLD_SECONDS):
        since = "A worker is active and has said nothing yet" if status.age is None else _says_nothing(status.age)
        yield Problem(code="old", sentence=f"{since}. Look at its log for status_not_written.")
    if status.paused is not None:
        yield Problem(code="paused", sentence=_paused(status))


def _no_worker(status: Status, stored: Stored) -> str:
    if stored.lease is None:
        what = f"No worker has ever been active in cluster {status.cluster}"
    elif stored.lease.owner is None:
        what = "No worker is active: the last one has stopped"
    else:
        what = "No worker is active: the lease has not been renewed"
        if stored.heartbeat_token == stored.lease.token:
            what += f" since {_time(stored.heartbeat.renewed_at)}"
    return f"{what}. Requests are queued and nothing is done; start a worker, or see what keeps it from starting."


def _says_nothing(age: float) -> str:
    return f"What is shown is {_duration(age)} old, though a worker is active"


def _paused(status: Status) -> str:
    pause = status.paused
    assert pause is not None  # noqa: S101 - asked for only then
    until = "until somebody resumes" if pause.until is None else f"until {_time(pause.until)}"
    by, reason = f" by {pause.by}" if pause.by else "", f": {pause.reason}" if pause.reason else ""
    return f"Node scales and replacements are paused{by} {until}{reason}."


def _of_others(status: Status) -> Iterator[Problem]:
    for trouble in status.troubles:
        since = "" if trouble.since is None else f" since {_time(trouble.since)}"
        error = f": {trouble.last_error}" if trouble.last_error else ""
        yield Problem(code=f"{trouble.what.lower()}-silent", sentence=f"{trouble.what} has not answered{since}{error}.")


def _of_the_queue(queue: Queue) -> Iterator[Problem]:
    if queue.oldest is not None and queue.oldest >= QUEUE_OLD_SECONDS:
        yield Problem(
            code="queue-old",
            sentence=f"{_counted(queue.waiting or 0, 'message')} in the queue, which has not been empty for "
            f"{_duration(queue.oldest)}: no worker takes requests.",
        )
    if queue.dead_letters:
        yield Problem(
            code="dead-letters",
            sentence=f"{_counted(queue.dead_letters, 'dead letter')}: messages that could never be valid, or that no "
            "worker survived. Look at them, then drop them or send them again.",
        )


def _of_the_groups(status: Status) -> Iterator[Problem]:
    for group in status.groups:
        if group.debt > 0 and group.debt_reason is not None:
            yield Problem(
                code="launch-failed",
                sentence=f"AWS could not launch {group.debt} of {group.desired} instances of {group.name}: "
                f"{group.debt_reason.strip().rstrip('.')}.",
            )
        if group.suspended:
            processes = " and ".join(group.suspended)
            yield Problem(code="group-suspended", sentence=f"{processes} of {group.name} is suspended. Resume it.")


def _of_the_nodes(status: Status) -> Iterator[Problem]:
    now = status.as_of
    late = [
        node.instance or ""
        for node in status.nodes
        if node.state == "not joined"
        and now is not None
        and node.launched_at is not None
        and (now - node.launched_at).total_seconds() >= NOT_JOINED_SECONDS
    ]
    if late:
        yield Problem(
            code="not-joined",
            sentence=f"{_named(late)} run and are no nodes of the Swarm: look at their cloud-init log. The next "
            "scale-down takes them first.",
        )
    down = [node.hostname or node.id for node in status.nodes if node.id and node.state not in {"ready", ""}]
    if down:
        yield Problem(code="node-down", sentence=f"Not Ready: {_named(down)}.")
    if not any(request.scale == "down" or request.node for request in status.requests):
        idle = [node.hostname or node.id for node in status.nodes if node.availability not in {"active", ""}]
        if idle:
            yield Problem(
                code="out-of-use",
                sentence=f"Drained or paused, though no open request has asked for it: {_named(idle)}. "
                "`docker node update --availability active NODE` gives a node back.",
            )


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES])
    return shown if len(names) <= _NAMES else f"{shown} and {len(names) - _NAMES} more"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _time(moment: datetime | None) -> str:
    return "an unknown time" if moment is None else rfc3339(moment)[:19].replace("T", " ") + " UTC"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"

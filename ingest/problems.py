"""What is wrong, in sentences for an operator: what it is, and what to do about it. Pure.

Each has a stable code, which the page, the command line and the metrics share; docs/reference.md has the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from ingest.stored import Stored
from ingest.turned_away import TurnedAway
from shared.clock import rfc3339
from shared.status import Problem, Queue, Status

OLD_SECONDS = 150.0
"""A heartbeat comes each minute: two have failed to."""
QUEUE_OLD_SECONDS = 60.0
NOT_JOINED_SECONDS = 300.0
_NAMES = 5
"""So many nodes are named in one sentence."""
_ADVICE: Mapping[str, str] = {
    "Docker": "Requests wait for it; does `docker node ls` answer on the managers?",
    "AWS": "Requests wait for it and go on by themselves; look at the role's rights, the network, AWS's health page.",
    "SQS": "Requests are answered 503 until it does; look at the queue's URL, the role's rights and the network.",
    "Alertmanager": "Requests go on, and nobody is told; look at it, and at ALERTMANAGER_ADDRESS.",
}


def unreadable(error: Exception) -> str:
    """The table does not answer, so that nothing else can be said."""
    return (
        f"The table cannot be read: {str(error).rstrip('.')}. Nothing is known of the cluster meanwhile; look at "
        "DYNAMODB_TABLE, the role's rights, and the network."
    )


def problems(status: Status, stored: Stored, turned_away: TurnedAway | None = None) -> Iterator[Problem]:
    """The gravest first."""
    yield from _of_the_worker(status, stored)
    yield from _of_others(status)
    yield from _of_the_queue(status.queue or Queue())
    if turned_away is not None:
        yield _without_the_token(turned_away)
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
        since = "A worker is active and has said nothing yet"
        if status.age is not None:
            since = f"What is shown is {_duration(status.age)} old, though a worker is active"
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
        advice = _ADVICE.get(trouble.what, "What hangs on it is tried again and again.")
        sentence = f"{trouble.what} has not answered{since}{error.rstrip('.')}. {advice}"
        yield Problem(code=f"{trouble.what.lower()}-silent", sentence=sentence)


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


def _without_the_token(turned_away: TurnedAway) -> Problem:
    return Problem(
        code="wrong-token",
        sentence=f"{_counted(turned_away.count, 'request')} without the token, or with a wrong one, in the last 5 "
        f"minutes, the last at {_time(turned_away.last)} from {turned_away.address} for {turned_away.path}: "
        "nothing was done. Give that caller the secret that WEBHOOK_TOKEN has here.",
    )


def _of_the_groups(status: Status) -> Iterator[Problem]:
    for group in status.groups:
        if group.debt > 0 and group.debt_reason is not None:
            yield Problem(
                code="launch-failed",
                sentence=f"AWS could not launch {group.debt} of {group.desired} instances of {group.name}: "
                f"{group.debt_reason.strip().rstrip('.')}. It goes on trying; a quota, another instance type or "
                "another zone helps, or a smaller desired capacity.",
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
        and (node.removable == "yes" or (now - node.launched_at).total_seconds() >= NOT_JOINED_SECONDS)
    ]
    if late:
        yield Problem(
            code="not-joined",
            sentence=f"In service, and no node of the Swarm: {_named(late)}. Look at the cloud-init log; the next "
            "scale-down takes it first.",
        )
    down = [node.hostname or node.id for node in status.nodes if node.id and node.state not in {"ready", ""}]
    if down:
        yield Problem(
            code="node-down",
            sentence=f"Not Ready: {_named(down)}. Look at the machine and its engine; one that is gone is removed with "
            "the next scale-down, or by `docker node rm NODE`.",
        )
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

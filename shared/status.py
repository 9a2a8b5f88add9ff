"""The status document: what the active worker sees and does, for everyone who looks.

The worker keeps two items in the table: the document, written anew when something in it has changed, and a small
heartbeat, which says each minute that it still holds. ingest puts them together, adds what SQS says and what is
wrong, and shows the result as `GET /v1/status`, which the page and the command line read.
What a newer version has written is passed on; what this version cannot read has its default.
"""

import json
import zlib
from typing import Any, Literal

from shared.documents import Document, Moment

MOST_REQUESTS = 200
"""So many open requests stand in a document, those that have begun first."""
MOST_REASONS, LONGEST_SENTENCE = 3, 300
"""So many reasons for a node, and so many characters for each."""
LONGEST_PACKED = 350 * 1024
"""Bytes. An item of DynamoDB is 400 KB at most, its keys and names included."""


class Active(Document):
    """The worker that holds the lease."""

    worker: str = ""
    since: Moment | None = None
    lease_age: float | None = None
    """Seconds since the lease was renewed, as far as can be told."""


class PauseStatus(Document):
    """Somebody has stopped node scales and replacements."""

    since: Moment | None = None
    until: Moment | None = None
    """None: until somebody resumes."""
    by: str | None = None
    reason: str | None = None


class GroupStatus(Document):
    """An Auto Scaling group."""

    type: str = ""
    name: str = ""
    desired: int = 0
    instances: int = 0
    """Its members: booting or in service."""
    ready: int = 0
    """Those of them that are Ready nodes of the Swarm."""
    min: int = 0
    max: int = 0
    min_from: str = ""
    """Who says so: a setting, or the group's own MinSize."""
    max_from: str = ""
    protected: bool = True
    """New instances are protected from scale-in."""
    suspended: tuple[str, ...] = ()
    """Processes of Auto Scaling that somebody has suspended: Launch, Terminate."""
    debt: int = 0
    """Instances that it desires and has not got."""
    debt_reason: str | None = None
    """Why AWS could not launch them, in its own sentence."""


class Obstacle(Document):
    """Why a node would not go if the group were scaled down now."""

    code: str = ""
    """Stable; docs/reference.md says what each means."""
    sentence: str = ""


class NodeStatus(Document):
    """A node of the Swarm, or an instance of a group that is none yet."""

    hostname: str = ""
    id: str = ""
    """Of the Swarm's node. Empty: the instance has not joined."""
    instance: str | None = None
    type: str = ""
    zone: str = ""
    state: str = ""
    """ready, down, unknown, disconnected; of an instance that has not joined, `not joined` or what AWS says of it."""
    availability: str = ""
    """active, pause, drain."""
    launched_at: Moment | None = None
    """When the machine was started, or came into service."""
    leader: bool = False
    tasks: int = 0
    protected: bool = False
    removable: Literal["yes"] | tuple[Obstacle, ...] | None = None
    """`yes`, or why it would not go if the group were scaled down by one now. None: it was not judged."""


class StepStatus(Document):
    """A step of a request."""

    name: str = ""
    started_at: Moment | None = None
    ended_at: Moment | None = None


class RequestStatus(Document):
    """An open request."""

    id: str = ""
    action: str = ""
    scale: str | None = None
    type: str | None = None
    by: int | None = None
    service: str | None = None
    node: str | None = None
    state: str = ""
    step: str | None = None
    steps: tuple[StepStatus, ...] = ()
    waiting_for: dict[str, Any] | None = None
    """`what`, `since`, `until`, `behind` (the id of another request), `last_error`; None while it works."""
    message: str = ""
    source: str = ""
    asked_by: dict[str, Any] | None = None
    reason: str | None = None
    requested_at: Moment | None = None
    started_at: Moment | None = None


class Queue(Document):
    """What SQS says."""

    waiting: int | None = None
    oldest: float | None = None
    """Seconds for which messages have been waiting without the queue having been seen empty. None: none waits."""
    dead_letters: int | None = None
    """None: ingest does not know the dead-letter queue."""


class Trouble(Document):
    """Something outside that does not answer."""

    what: str = ""
    """Docker, AWS, SQS, DynamoDB."""
    since: Moment | None = None
    last_error: str = ""


class Problem(Document):
    """Something that is wrong, in a sentence for an operator."""

    code: str = ""
    sentence: str = ""


class Status(Document):
    """The whole document. What stands behind `as_of` is ingest's part."""

    cluster: str = ""
    active: Active | None = None
    paused: PauseStatus | None = None
    groups: tuple[GroupStatus, ...] = ()
    nodes: tuple[NodeStatus, ...] = ()
    pending_tasks: int = 0
    """Tasks of services that no node has taken yet, when `removable` was judged."""
    requests: tuple[RequestStatus, ...] = ()
    requests_more: int = 0
    """Open requests beyond MOST_REQUESTS."""
    troubles: tuple[Trouble, ...] = ()
    as_of: Moment | None = None
    """When the active worker said last that it is so. None: no worker has said anything yet."""
    judged_at: Moment | None = None
    """When tasks were counted and `removable` was judged."""
    queue: Queue | None = None
    age: float | None = None
    """Seconds since `as_of`."""
    problems: tuple[Problem, ...] = ()


class Heartbeat(Document):
    """That a worker is active, and that the document of a revision still holds."""

    worker: str = ""
    since: Moment | None = None
    """When it became active."""
    at: Moment | None = None
    revision: int = 0
    """Of the document that still holds; 0: none of this worker's yet."""
    lease_seconds: float = 15.0
    renewals: int = 0
    renewed_at: Moment | None = None
    """When the lease was renewed for the last time before `at`, and how often it had been until then."""


def packed(document: Document) -> bytes:
    """A document as it stands in the table: JSON, compressed."""
    return zlib.compress(json.dumps(document.document(), separators=(",", ":")).encode(), 6)


def unpacked(data: bytes) -> dict[str, Any]:
    """The reverse of `packed`, to be parsed. Raises ValueError for what nobody has packed."""
    try:
        return dict(json.loads(zlib.decompress(data)))
    except (zlib.error, TypeError) as error:
        raise ValueError("not a compressed document") from error

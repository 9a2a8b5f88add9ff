"""The journal's records: what one request was, did and said, as ingest shows it and the worker writes it.

A record is one item of the table: what conditions and indexes need stands in attributes of its own, the rest is
one JSON document. `Layout` names the keys; reading and writing them is left to the adapters of each process.

==================  ===========================================================================================
`pk`                `cluster#NAME`: everything of one cluster is one partition
`sk`                `request#ID`, `dedup#HASH`, `lease`, `group#worker`, `group#manager`
`token`             fencing token of the worker that may write the record
`revision`          rises with every write of the record; each write names the one it was made from
`open_at`           requested_at and id; only while the worker still has to do something (sparse index `open`)
`listed_at`         requested_at and id (index `by-time`)
`state`             the record's state, so that lists can be filtered; items of the first version lack it
`expires_at`        epoch seconds after which DynamoDB may delete the item (its TTL)
`document`          the record
==================  ===========================================================================================
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from shared.clock import parse_rfc3339, rfc3339

KEPT = timedelta(days=90)
"""How long records live after a worker took them up. Not after `requested_at`: callers write what they like there."""

OPEN_INDEX = "open"
TIME_INDEX = "by-time"


class State(StrEnum):
    """Where a request stands. The last three are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Nothing more will be changed for this request."""
        return self in {State.SUCCEEDED, State.FAILED, State.SKIPPED}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a request, with when it began and ended."""

    name: str
    started_at: datetime
    ended_at: datetime | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        ended = None if self.ended_at is None else rfc3339(self.ended_at)
        return {"name": self.name, "started_at": rfc3339(self.started_at), "ended_at": ended}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The reverse of `document`."""
        return cls(document["name"], parse_rfc3339(document["started_at"]), _moment(document["ended_at"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request in the journal."""

    id: str
    action: str
    requested_at: datetime
    source: str
    request: Mapping[str, Any]
    """The message as it came, with the fields that nobody here knows."""

    received_at: datetime | None = None
    """When a worker took it out of the queue."""
    state: State = State.QUEUED
    message: str = ""
    step: str | None = None
    steps: tuple[Step, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    scale: str | None = None
    type: str | None = None
    by: int | None = None
    service: str | None = None
    nodes_before: int | None = None
    nodes_after: int | None = None
    asked_by: Mapping[str, Any] | None = None
    """Alert names, receiver and group of Alertmanager; address and user of an HTTP caller. Never a secret."""
    reason: str | None = None
    """Why it was asked for, in the words of who did."""
    waiting_for: Mapping[str, Any] | None = None
    """While open: `what`, `since`, `until`, `behind` (the id of another request), `last_error`; None while working."""
    limited_by: str | None = None
    """The bound that cut the request short."""
    duplicate_of: str | None = None
    warnings: tuple[str, ...] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    """The worker's own notes: what it decided and what it has done of it."""
    notices: tuple[Mapping[str, Any], ...] = ()
    """Alerts that Alertmanager has not taken yet, oldest first."""
    notified: bool = True
    """False while an ended request still has notices to offer, and for good if they were never taken."""
    settled: bool = False
    """Ended, and nothing left to offer: the record leaves the index of open ones."""
    token: int = 0
    revision: int = 0

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def view(self) -> dict[str, Any]:
        """As `GET /v1/requests/{id}` shows it: the fields of the message that nobody here knows stand beside ours."""
        document = self.document()
        unknown = {key: value for key, value in self.request.items() if key not in document}
        return {**unknown, **document, **{name: document[name] or self.request.get(name) for name in _OF_THE_SENDER}}

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "action": self.action,
            "state": str(self.state),
            "message": self.message,
            "step": self.step,
            "steps": [step.document() for step in self.steps],
            **{name: _text(getattr(self, name)) for name in ("requested_at", "received_at", "started_at", "ended_at")},
            **{name: getattr(self, name) for name in _PLAIN},
            "warnings": list(self.warnings),
            "plan": dict(self.plan),
            "notices": [dict(notice) for notice in self.notices],
            "request": dict(self.request),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any], token: int = 0, revision: int = 0) -> Self:
        """The reverse of `document`. Fields that a newer version may have added are passed over."""
        known = {key: value for key, value in document.items() if key in _NAMES}
        return cls(
            **{
                **known,
                "state": State(document["state"]),
                "steps": tuple(Step.parse(step) for step in document["steps"]),
                "requested_at": parse_rfc3339(document["requested_at"]),
                "received_at": _moment(document.get("received_at")),
                "started_at": _moment(document["started_at"]),
                "ended_at": _moment(document["ended_at"]),
                "warnings": tuple(document["warnings"]),
                "notices": tuple(document["notices"]),
                "token": token,
                "revision": revision,
            }
        )


_OF_THE_SENDER = ("asked_by", "reason")
"""Where the worker has nothing to say about them, the message's own words count."""
_PLAIN = (
    *("source", "asked_by", "reason", "scale", "type", "by", "service", "nodes_before", "nodes_after"),
    *("duplicate_of", "notified", "settled", "waiting_for", "limited_by"),
)
_NAMES = frozenset(item.name for item in fields(Record))


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one cluster's items."""

    cluster: str

    @property
    def partition(self) -> str:
        """The partition key of all of them."""
        return f"cluster#{self.cluster}"

    def key(self, sort: str) -> dict[str, Any]:
        """A primary key in DynamoDB's JSON."""
        return {"pk": {"S": self.partition}, "sk": {"S": sort}}

    def request(self, request_id: str) -> dict[str, Any]:
        """The primary key of a request's record."""
        return self.key(f"request#{request_id}")

    def item(self, record: Record) -> dict[str, Any]:
        """A record as an item in DynamoDB's JSON."""
        moment = f"{rfc3339(record.requested_at)}#{record.id}"
        item = {
            **self.request(record.id),
            "token": {"N": str(record.token)},
            "revision": {"N": str(record.revision)},
            "state": {"S": str(record.state)},
            "listed_at": {"S": moment},
            "expires_at": {"N": str(int(((record.received_at or record.requested_at) + KEPT).timestamp()))},
            "document": {"S": json.dumps(record.document(), separators=(",", ":"))},
        }
        return item if record.settled else {**item, "open_at": {"S": moment}}


def record_of(item: Mapping[str, Any]) -> Record:
    """The record in an item as DynamoDB hands it out."""
    return Record.parse(
        json.loads(item["document"]["S"]),
        token=int(item["token"]["N"]),
        revision=int(item.get("revision", {"N": "0"})["N"]),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_rfc3339(text)

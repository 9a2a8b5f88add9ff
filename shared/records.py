"""The journal's records: what one request was, did and said, as ingest shows it and the worker writes it.

Where a record lies in the table is `shared.table`'s; reading and writing it is left to the adapters of each process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from shared.clock import rfc3339
from shared.reading import each_of, moment, of_kind, readable


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
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """Fields that a newer version has written: kept, and written back as they came."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        own = {"name": self.name, "started_at": rfc3339(self.started_at), "ended_at": _text(self.ended_at)}
        return {**self.unknown, **own}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The reverse of `document`. Raises KeyError, ValueError, TypeError where its name or beginning is missing."""
        unknown = {key: value for key, value in document.items() if key not in {"name", "started_at", "ended_at"}}
        ended = readable("ended_at", moment, document.get("ended_at"))
        return cls(of_kind(str)(document["name"]), moment(document["started_at"]), ended, unknown)


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
    node: str | None = None
    """The node that it is about: as it was asked for, and its hostname once that is known."""
    nodes_before: int | None = None
    nodes_after: int | None = None
    asked_by: Mapping[str, Any] | None = None
    """Alert names, receiver and group of Alertmanager; address and user of an HTTP caller. Never a secret."""
    reason: str | None = None
    """Why it was asked for, in the words of who did."""
    waiting_for: Mapping[str, Any] | None = None
    """While open: `what`, `since`, `until`, `behind` (the id of another request), `last_error`; None while working."""
    cancelled: Mapping[str, Any] | None = None
    """Who cancelled it, and why (`shared.cancellation`). Written before it is stopped: who takes it over stops it."""
    limited_by: str | None = None
    """The bound that cut the request short."""
    dry_run: bool = False
    """Nothing is changed for it: it says what would be done."""
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
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """Fields that a newer version has written: kept, and written back as they came."""

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def view(self) -> dict[str, Any]:
        """As `GET /v1/requests/{id}` shows it: the fields of the message that nobody here knows stand beside ours."""
        document = self.document()
        unknown = {key: value for key, value in self.request.items() if key not in document}
        return {
            **unknown,
            **document,
            "action": self.action,
            **{name: document[name] or self.request.get(name) for name in _OF_THE_SENDER},
        }

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **self.unknown,
            "id": self.id,
            "action": f"{_TRIED}{self.action}" if self.dry_run and not self.state.ended else self.action,
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
        """The reverse of `document`. What nobody here knows is kept; what cannot be read has its default."""
        known = {name: readable(name, read, document.get(name)) for name, read in _READERS.items()}
        known = {name: value for name, value in known.items() if value is not None}
        known["action"] = known.get("action", "").removeprefix(_TRIED)
        moments = (known.get(name) for name in ("requested_at", "received_at", "started_at"))
        return cls(
            **{
                "id": "",
                "action": "",
                "source": "",
                "request": {},
                "state": _likely_state(known),
                **known,
                "requested_at": next((when for when in moments if when is not None), _LONG_AGO),
                "token": token,
                "revision": revision,
                "unknown": {key: value for key, value in document.items() if key not in _READERS},
            }
        )


_TRIED = "dry run of "
"""Before the action of an open dry run: a worker that knows of no dry runs knows no such action, and does nothing."""
_OF_THE_SENDER = ("asked_by", "reason")
"""Where the worker has nothing to say about them, the message's own words count."""


def _likely_state(known: Mapping[str, Any]) -> State:
    """Where a request stands whose state cannot be read: nothing that has ended is done again."""
    if known.get("ended_at") is not None:
        return State.FAILED
    return State.QUEUED if known.get("step") is None else State.RUNNING


_PLAIN = (
    *("source", "asked_by", "reason", "scale", "type", "by", "service", "node", "nodes_before", "nodes_after"),
    *("duplicate_of", "notified", "settled", "waiting_for", "cancelled", "limited_by", "dry_run"),
)
_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("id", "action", "message", "step", "source", "scale", "type", "service", "node", "duplicate_of"), of_kind(str)
    ),
    **dict.fromkeys(("by", "nodes_before", "nodes_after"), of_kind(int)),
    **dict.fromkeys(("reason", "limited_by"), of_kind(str)),
    **dict.fromkeys(("asked_by", "waiting_for", "cancelled"), of_kind(dict)),
    **dict.fromkeys(("notified", "settled", "dry_run"), of_kind(bool)),
    **dict.fromkeys(("plan", "request"), of_kind(dict)),
    **dict.fromkeys(("requested_at", "received_at", "started_at", "ended_at"), moment),
    "state": State,
    "steps": each_of("steps", Step.parse),
    "warnings": each_of("warnings", of_kind(str)),
    "notices": each_of("notices", of_kind(dict)),
}
"""How each field of a record is read."""
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def asker(asked_by: Mapping[str, Any] | None) -> str:
    """Who asked, in a word or two: the alerts, or a person at an address. Empty where nobody says."""
    asked = asked_by or {}
    alerts, user, address = asked.get("alerts"), asked.get("user"), asked.get("address")
    if isinstance(alerts, (list, tuple)) and alerts:
        return ", ".join(map(str, alerts))
    return f"{user} at {address}" if user and address else str(user or address or "")

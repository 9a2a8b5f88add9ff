"""A request in the queue, from the models that read it, and its record, from the class that shows it."""

from datetime import UTC, datetime
from typing import Any

from infra.reference.markdown import code, table
from shared.action import Request
from shared.actions import ACTIONS
from shared.fields import MAX_BY
from shared.records import Record

_FIELDS = {
    "action": "What is asked for.",
    "scale": "`up` or `down`.",
    "type": "`worker` or `manager`.",
    "by": f"How many: a whole number, or a string of digits, from 1 to {MAX_BY}. Without it, what the service's labels "
    "or the defaults say.",
    "service": "The service. Of `scale-nodes`: the one whose labels hold the bounds.",
    "node": "The node: its hostname or id, or the id of its instance.",
    "back": "`true`: give it back. Else, and where it is absent: drain it.",
    "id": "The request's id; the same id is the same request. Else the SNS message's id, else the SQS message's.",
    "idempotency_key": "The same key within 24 hours is the same request.",
    "dedup_key": "Like it, but for `DEDUP_WINDOW`.",
    "requested_at": "RFC 3339. Else, and where it is later, when SQS took the message.",
    "source": "Where it came from, for the record. Else `sqs` or `sns`.",
    "asked_by": "Who asked, for the record: an object.",
    "reason": "Why it was asked for, for the record.",
    "version": "The version of this format: 1, or 2 (of which `dry_run` is).",
    "dry_run": "`true`: say what would be done, and do nothing. Then `version` must be 2.",
}

_RECORD = {
    "id": "The request's id.",
    "action": "What was asked for.",
    "state": "`queued`, `running`, `succeeded`, `failed` or `skipped` (nothing was changed).",
    "message": "What became of it, in sentences joined by `; `.",
    "step": "The step that it is in, or ended in.",
    "steps": "Each with `name`, `started_at`, `ended_at`. Up: `plan`, `apply`, `wait`, `reschedule`; down: `plan`, "
    "`drain`, `terminate`, `remove`; and `undo`. `drain-node`: `plan`, `drain`, or `restore`; "
    "`replace-node`: `plan`, `drain`, `terminate`, `remove`, `wait`, `reschedule`.",
    "requested_at": "When it was asked for.",
    "received_at": "When a worker took it out of the queue.",
    "started_at": "When its first step began.",
    "ended_at": "When it ended.",
    "source": (
        "`alertmanager`, `http`, `sqs`, `sns`, `eventbridge`, `autoscaling`, `swarm`, `worker`, or what the message "
        "says."
    ),
    "asked_by": "Who asked: alert names, receiver and group of Alertmanager; address and user of an HTTP caller. Never "
    "a secret.",
    "reason": "Why: what the caller says, else the alerts' summary.",
    "waiting_for": "While it is open: `what`, `since`, `until`, `behind` (the request before it), `last_error`; `null` "
    "while it works.",
    "scale": "`up` or `down`.",
    "type": "`worker` or `manager`.",
    "by": "How many, once it is decided.",
    "service": "The service that was named.",
    "node": "The node that it is about: its hostname, once that is known.",
    "nodes_before": "Desired capacity before.",
    "nodes_after": "Desired capacity after; while it runs, as planned.",
    "dry_run": "Whether it only says what would be done.",
    "cancelled": "Who cancelled it: `request` (the id of the one that did), `by`, `reason`, `at`; else `null`.",
    "limited_by": "The bound that cut it short.",
    "duplicate_of": "The id of the request that it repeats.",
    "warnings": "What was passed over on the way: labels that make no sense, a group that protects nothing.",
    "plan": "The worker's own notes: what it decided, and what it has done of it. They may change in any version.",
    "notices": "Alerts that Alertmanager has not taken yet.",
    "notified": "`false` while an ended request has notices left to offer, and for good if they were never taken.",
    "settled": "Ended, with no notices left to offer.",
    "request": "The message as it came, with the fields that nobody knows.",
}


def fields() -> str:
    """The fields of a message."""
    rows = [(code(name), _of(name), _meaning(name)) for name in _names()]
    return table(("field", "of", "means"), rows)


def record() -> str:
    """The fields of a record, in the order in which it is shown."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    shown = Record(id="1", action="scale-nodes", requested_at=moment, source="http", request={}).view()
    return table(("field", "means"), [(code(name), _RECORD[name]) for name in shown])


def _names() -> list[str]:
    """`action` first, then what is asked, then what every request may say."""
    every = list(Request.model_fields)
    own = [name for action in ACTIONS.values() for name in action.fields if name not in every]
    return ["action", *dict.fromkeys(own), *(name for name in every if name != "action")]


def _meaning(name: str) -> str:
    """In our own words, else in those of the registry."""
    known = {item.name: item.description for action in ACTIONS.values() for item in action.parameters} | _FIELDS
    return known[name]


def _of(name: str) -> str:
    if name in Request.model_fields:
        return "every request"
    models = {action.name: action.fields for action in ACTIONS.values()}
    users = {action: fields[name] for action, fields in models.items() if name in fields}
    return ", ".join(f"{code(action)}{_needed(field)}" for action, field in users.items())


def _needed(field: Any) -> str:
    return " (required)" if field.is_required() else ""

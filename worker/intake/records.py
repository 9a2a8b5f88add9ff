"""From a message to the record of its request. Pure."""

import json
from datetime import UTC, datetime

from pydantic import ValidationError

from shared.action import Request
from shared.errors import InvalidRequest
from shared.messages import parse_body, parse_request
from shared.records import Record, State
from worker.intake import autoscaling, eventbridge, plain, sns
from worker.intake.envelope import Envelope, Event
from worker.ports.queue import Message
from worker.requests.events import EVENTS


def unwrap(message: Message) -> Envelope | Event:
    """What the message says, out of the envelope of its source. Raises InvalidRequest."""
    body = parse_body(message.body)
    inside = sns.envelope(body, message) if sns.recognises(body) else plain.envelope(body, message)
    if eventbridge.recognises(inside.body):
        return eventbridge.event(inside.body, message)
    return autoscaling.event(inside.body, message) if autoscaling.recognises(inside.body) else inside


def request_of(envelope: Envelope, *, event: bool) -> Request:
    """The request in it. Raises InvalidRequest; only what AWS says by itself may be a request about an event."""
    if not event:
        return parse_request(envelope.body)
    try:
        return EVENTS[envelope.body["action"]].model.model_validate(envelope.body)
    except ValidationError as error:
        raise InvalidRequest(f"Incorrect event: {error.errors()[0]['msg']}") from error


def record_of(envelope: Envelope, request: Request, message: Message, token: int, now: datetime) -> Record:
    """The record of a request that was just received."""
    # SQS's own time counts where a caller's clock runs ahead of it.
    requested = min(request.requested_at or message.sent_at, message.sent_at).astimezone(UTC)
    return Record(
        id=request.id or envelope.fallback_id,
        action=request.action,
        requested_at=requested,
        received_at=now,
        source=request.source or envelope.source,
        request=envelope.body,
        scale=getattr(request, "scale", None),
        type=getattr(request, "type", None),
        by=getattr(request, "by", None),
        service=getattr(request, "service", None),
        node=getattr(request, "node", None),
        asked_by=request.asked_by,
        reason=request.reason,
        dry_run=request.dry_run is True,
        token=token,
    )


def duplicate(record: Record, first: str, now: datetime) -> Record:
    """The record of a request that repeats an earlier one."""
    return record.but(
        state=State.SKIPPED,
        message=f"Duplicate of request {first}",
        duplicate_of=first,
        started_at=now,
        ended_at=now,
        settled=True,
    )


def named_action(body: str) -> object:
    """The action that a bad message names, itself or in its SNS envelope, if it can be read."""
    try:
        value = json.loads(body)
        if isinstance(value, dict) and "action" not in value and isinstance(value.get("Message"), str):
            value = json.loads(value["Message"])
    except (ValueError, RecursionError):
        return None
    return value.get("action") if isinstance(value, dict) else None

"""AWS Health: what is planned for machines, days before it happens.

https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from shared.clock import rfc3339
from shared.errors import InvalidRequest
from shared.fields import shown
from worker.intake.envelope import Envelope, Event
from worker.intake.fields import instance_id, moment, text
from worker.ports.queue import Message

KIND = "scheduled-change"


def scheduled_change(detail: Mapping[str, Any], body: Mapping[str, Any], message: Message) -> Event:
    """An event about a machine. One that is closed, or a copy for another region, says nothing new."""
    planned = (detail.get("service"), detail.get("eventTypeCategory")) == ("EC2", "scheduledChange")
    copied = str(detail.get("backupEvent")).lower() == "true"
    if not planned or copied or detail.get("statusCode") == "closed":
        return Event("health")
    instances = _instances(detail)
    page = str(detail.get("page") or "1")
    request = {
        "action": "scheduled-change",
        "instances": list(instances),
        "what": text(detail, "eventTypeCode"),
        "starts_at": _starts_at(detail),
        "requested_at": rfc3339(moment(body.get("time"), message.sent_at)),
        "event": dict(body),
    }
    name = f"health-{text(detail, 'communicationId')}-{page}"
    return Event(KIND, Envelope(request, name, "eventbridge"), instances=instances)


def _instances(detail: Mapping[str, Any]) -> tuple[str, ...]:
    entities = detail.get("affectedEntities")
    if not isinstance(entities, list) or not entities:
        raise InvalidRequest("The event has no affectedEntities")
    known = [entity for entity in entities if isinstance(entity, dict)]
    return tuple(dict.fromkeys(instance_id(entity, "entityValue") for entity in known))


def _starts_at(detail: Mapping[str, Any]) -> str:
    """The date as mail writes it, in AWS's examples."""
    given = text(detail, "startTime")
    try:
        read = parsedate_to_datetime(given)
    except ValueError as error:
        raise InvalidRequest(f"Incorrect startTime: {shown(given)}") from error
    return rfc3339(read if read.tzinfo is not None else read.replace(tzinfo=UTC))

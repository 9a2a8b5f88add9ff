"""SNS: a notification whose `Message` holds the request.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

from shared.errors import InvalidRequest
from shared.fields import MAX_ID_BYTES
from shared.messages import parse_body
from worker.intake.envelope import Envelope
from worker.ports.queue import Message


def recognises(body: Mapping[str, Any]) -> bool:
    """Whether a body is an SNS notification."""
    return body.get("Type") == "Notification" and "action" not in body


def envelope(body: Mapping[str, Any], message: Message) -> Envelope:
    """The request inside. Raises InvalidRequest."""
    inner, sns_id = body.get("Message"), body.get("MessageId")
    if not isinstance(inner, str):
        raise InvalidRequest("The SNS notification has no Message")
    return Envelope(parse_body(inner), sns_id if _is_id(sns_id) else message.id, "sns")


def _is_id(value: object) -> TypeGuard[str]:
    """Whether the table takes it as a key: anybody can write what looks like a notification."""
    return isinstance(value, str) and 0 < len(value.encode()) <= MAX_ID_BYTES

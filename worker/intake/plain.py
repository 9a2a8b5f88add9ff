"""Plain messages: the body is the request (docs/reference.md, "The queue")."""

from collections.abc import Mapping
from typing import Any

from worker.intake.envelope import Envelope
from worker.ports.queue import Message


def envelope(body: Mapping[str, Any], message: Message) -> Envelope:
    """The request is the body itself."""
    return Envelope(body, message.id, "sqs")

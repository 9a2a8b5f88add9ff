"""The inbox over SQS: a long poll, deleting, and copies to the dead-letter queue.

What a body means is left to intake.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.aws import calling
from shared.clock import Clock
from shared.errors import Refused
from worker.ports.queue import Message

POLL = timedelta(seconds=20)
"""The longest that SQS lets a poll wait. The polling client's read time-out must be longer."""

ATTRIBUTE = "error"
MAX_ERROR_BYTES = 64 * 1024

# Body and attributes together: 1 MiB, and 256 KiB for queues that were made before August 2025 and kept their size.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MESSAGE_BYTES = (1024 * 1024, 256 * 1024)

# What SQS takes, of all that a string can hold.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_NOT_TAKEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class SqsInbox:
    """The Inbox port. The poll has a client of its own, so that it never holds a connection that others wait for."""

    def __init__(
        self, client: Any, poll_client: Any, queue_url: str, dlq_url: str, clock: Clock, call_timeout: timedelta
    ) -> None:
        self._client = client
        self._poll_client = poll_client
        self._queue_url = queue_url
        self._dlq_url = dlq_url
        self._clock = clock
        self._call_timeout = call_timeout

    async def receive(self) -> Sequence[Message]:
        """Some messages, or none after a long poll."""
        async with calling("SQS ReceiveMessage", POLL + self._call_timeout):
            answer = await self._poll_client.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=int(POLL.total_seconds()),
                MessageSystemAttributeNames=["SentTimestamp"],
            )
        return [self._message(found) for found in answer.get("Messages", [])]

    async def delete(self, message: Message) -> None:
        """Take a message out of the queue for good."""
        async with calling("SQS DeleteMessage", self._call_timeout):
            await self._client.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message.receipt)

    async def discard(self, messages: Sequence[Message]) -> None:
        """Take messages out of the queue, at most ten, in one call. What SQS could not delete comes again."""
        entries = [{"Id": str(number), "ReceiptHandle": each.receipt} for number, each in enumerate(messages)]
        async with calling("SQS DeleteMessageBatch", self._call_timeout):
            await self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)

    async def dead_letter(self, message: Message, error: str) -> None:
        """Put a copy into the dead-letter queue, with the reason. The message itself stays."""
        reason = as_attribute(error)
        largest, older = MESSAGE_BYTES
        try:
            await self._send_dead_letter(message.body, reason, largest)
        except Refused:
            if len(message.body) + len(reason) < older // 4:  # in bytes under the limit, whatever the characters
                raise
            await self._send_dead_letter(message.body, reason, older)

    async def _send_dead_letter(self, body: str, reason: str, limit: int) -> None:
        room = limit - sum(len(part.encode()) for part in (ATTRIBUTE, "String", reason))
        async with calling("SQS SendMessage to the dead-letter queue", self._call_timeout):
            await self._client.send_message(
                QueueUrl=self._dlq_url,
                MessageBody=as_body(body, room),
                MessageAttributes={ATTRIBUTE: {"DataType": "String", "StringValue": reason}},
            )

    def _message(self, found: Mapping[str, Any]) -> Message:
        sent = found.get("Attributes", {}).get("SentTimestamp")
        return Message(
            id=found["MessageId"],
            body=found.get("Body", ""),
            receipt=found["ReceiptHandle"],
            sent_at=self._clock.now() if sent is None else datetime.fromtimestamp(int(sent) / 1000, UTC),
        )


def as_attribute(error: str) -> str:
    """A reason as SQS takes it: on one line, without control characters, never empty, and short enough."""
    line = _NOT_TAKEN.sub("\ufffd", _CONTROL.sub(" ", error)).strip()
    return _cut(line, MAX_ERROR_BYTES) or "no reason given"


def as_body(body: str, room: int) -> str:
    """A body as SQS takes it: never empty, in so many bytes of UTF-8, and only characters that it allows."""
    return _cut(_NOT_TAKEN.sub("\ufffd", body), room) or "(empty)"


def _cut(text: str, most: int) -> str:
    """The beginning of a text that fits into so many bytes, whole characters only."""
    return text.encode()[:most].decode(errors="ignore")

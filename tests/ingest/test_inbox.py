"""The SQS inbox over a client that answers as SQS does."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.inbox import SqsInbox
from shared.errors import Refused

URL = "https://sqs.example/1/inbox"


class Client:
    """What stands in for the SDK's client."""

    def __init__(self, arn: str = "arn:aws:sqs:us-east-1:1:inbox") -> None:
        self.arn = arn

    async def get_queue_attributes(self, **asked: Any) -> dict[str, Any]:
        assert asked == {"QueueUrl": URL, "AttributeNames": ["QueueArn"]}
        return {"Attributes": {"QueueArn": self.arn}}


async def test_a_standard_queue_is_ready() -> None:
    await SqsInbox(Client(), URL).check()


async def test_a_fifo_queue_whose_url_does_not_tell_is_named() -> None:
    with pytest.raises(Refused, match="the queue is a FIFO queue; a standard one is needed"):
        await SqsInbox(Client("arn:aws:sqs:us-east-1:1:inbox.fifo"), URL).check()

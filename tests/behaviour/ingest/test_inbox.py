"""The SQS inbox over a client that answers as SQS does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ingest.inbox import open_inbox
from shared.errors import Refused

URL = "https://sqs.example/1/inbox"


@dataclass
class Client:
    """What stands in for the SDK's client. `failed` says what becomes of messages, by their number in a batch."""

    arn: str = "arn:aws:sqs:us-east-1:1:inbox"
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    unnamed: set[str] = field(default_factory=set)
    error: Exception | None = None
    calls: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    async def get_queue_attributes(self, **asked: Any) -> dict[str, Any]:
        assert asked == {"QueueUrl": URL, "AttributeNames": ["QueueArn"]}
        return {"Attributes": {"QueueArn": self.arn}}

    async def send_message(self, **asked: Any) -> dict[str, Any]:
        self._called("send_message", [asked["MessageBody"]])
        return {"MessageId": "m"}

    async def send_message_batch(self, **asked: Any) -> dict[str, Any]:
        entries = asked["Entries"]
        assert asked["QueueUrl"] == URL
        assert len({entry["Id"] for entry in entries}) == len(entries) <= 10
        self._called("send_message_batch", [entry["MessageBody"] for entry in entries])
        names = [entry["Id"] for entry in entries if entry["Id"] not in self.unnamed]
        safe = [{"Id": name} for name in names if name not in self.failed]
        failed = [{"Id": name, **self.failed[name]} for name in names if name in self.failed]
        return {**({"Successful": safe} if safe else {}), **({"Failed": failed} if failed else {})}

    def _called(self, name: str, bodies: list[str]) -> None:
        self.calls.append(name)
        self.bodies += bodies
        if self.error is not None:
            raise self.error


async def outcomes(client: Client, number: int) -> list[str]:
    """What so many callers that come together are told."""
    async with open_inbox(client, URL) as inbox:
        answers = await asyncio.gather(*[inbox.send({"n": n}) for n in range(number)], return_exceptions=True)
    return ["" if answer is None else f"{type(answer).__name__}: {answer}" for answer in answers]


async def test_one_message_is_sent_by_itself() -> None:
    client = Client()
    assert await outcomes(client, 1) == [""]
    assert (client.calls, client.bodies) == (["send_message"], ['{"n":0}'])


async def test_several_share_a_call() -> None:
    client = Client()
    assert await outcomes(client, 12) == [""] * 12
    assert client.calls == ["send_message_batch"] * 2
    assert sorted(json.loads(body)["n"] for body in client.bodies) == list(range(12))


async def test_what_sqs_says_of_one_message_is_told_its_caller_alone() -> None:
    failed = {
        "1": {"Code": "InternalError", "Message": "try later", "SenderFault": False},
        "2": {"Code": "InvalidMessageContents", "Message": "bad character", "SenderFault": True},
        "3": {"Code": "RequestThrottled", "SenderFault": True},
        "4": {"Code": "Strange", "SenderFault": False},
    }
    assert await outcomes(Client(failed=failed, unnamed={"5"}), 7) == [
        "",
        "Unavailable: SQS: try later (InternalError)",
        "Refused: SQS: bad character (InvalidMessageContents)",
        "Unavailable: SQS: RequestThrottled (RequestThrottled)",
        "Unavailable: SQS: Strange (Strange)",
        "Unavailable: SQS: the answer does not name this message",
        "",
    ]


@pytest.mark.parametrize("number", [1, 3])
async def test_a_call_that_fails_is_told_everyone_in_it(number: int) -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SendMessage")
    assert await outcomes(Client(error=denied), number) == ["Refused: SQS: no (AccessDenied)"] * number
    assert await outcomes(Client(error=TimeoutError()), number) == ["Unavailable: SQS: no answer in time"] * number


async def test_a_standard_queue_is_ready() -> None:
    async with open_inbox(Client(), URL) as inbox:
        await inbox.check()


async def test_a_fifo_queue_whose_url_does_not_tell_is_named() -> None:
    async with open_inbox(Client("arn:aws:sqs:us-east-1:1:inbox.fifo"), URL) as inbox:
        with pytest.raises(Refused, match="the queue is a FIFO queue; a standard one is needed"):
            await inbox.check()

"""What load tests are made of: a stub of SQS that counts, and callers that ask as often as they were told."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.local.callers import call
from infra.local.stub_sqs import StubSqs, stub_sqs

pytestmark = pytest.mark.asyncio


async def asked(url: str, action: str, body: Mapping[str, object]) -> dict[str, Any]:
    """What the stub answers, read as a client of AWS would."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    text = json.dumps(body).encode()
    head = f"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.{action}\r\nContent-Length: {len(text)}\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    writer.write(text)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    found: dict[str, Any] = json.loads(await reader.readexactly(length))
    writer.close()
    return found


async def test_the_stub_answers_sends_and_batches_and_counts_calls_and_messages() -> None:
    async with stub_sqs(0.0) as stub:
        assert (await asked(stub.url, "SendMessage", {"MessageBody": "{}"}))["MessageId"]
        entries = [{"Id": str(number), "MessageBody": "{}"} for number in range(3)]
        answer = await asked(stub.url, "SendMessageBatch", {"Entries": entries})
        assert [each["Id"] for each in answer["Successful"]] == ["0", "1", "2"]
        attributes = (await asked(stub.url, "GetQueueAttributes", {}))["Attributes"]
        assert str(attributes["QueueArn"]).endswith(":load")
        assert (stub.calls, stub.messages) == (2, 4)


async def test_callers_ask_so_often_in_all_and_hear_every_answer() -> None:
    async with stub_sqs(0.0) as stub:
        heard = await call(stub.url, "/", b"{}", connections=5, times=23)
        assert (sum(heard.codes.values()), len(heard.taken)) == (23, 23)
        assert heard.codes == {200: 23}
        assert heard.rate > 0
        assert heard.slowest_of(0.99) == max(heard.taken)


async def test_an_answer_takes_as_long_as_was_set() -> None:
    async with stub_sqs(0.05) as stub:
        heard = await call(stub.url, "/", b"{}", connections=2, times=4)
        assert min(heard.taken) >= 0.05
        assert isinstance(stub, StubSqs)

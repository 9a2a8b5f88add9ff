"""A stub of SQS for load tests: answers each send after a settable time, keeps nothing, and counts.

The embedded SQS is an emulation in Python that costs more than what is measured; this one costs next to nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

QUEUE_PATH: Final = "/123456789012/load"


@dataclass(slots=True)
class StubSqs:
    """What it was asked, and how long it takes."""

    latency_seconds: float = 0.01
    calls: int = 0
    messages: int = 0
    url: str = field(default="", init=False)

    def answer(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """What SQS says, in the JSON protocol."""
        if action == "SendMessage":
            self.calls, self.messages = self.calls + 1, self.messages + 1
            return {"MessageId": f"m-{self.messages}", "MD5OfMessageBody": ""}
        if action == "SendMessageBatch":
            self.calls, self.messages = self.calls + 1, self.messages + len(body["Entries"])
            said = ({"Id": each["Id"], "MessageId": each["Id"], "MD5OfMessageBody": ""} for each in body["Entries"])
            return {"Successful": list(said), "Failed": []}
        numbers = dict.fromkeys((f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")), "0")
        return {"Attributes": {"QueueArn": "arn:aws:sqs:ca-west-1:123456789012:load", **numbers}}


@asynccontextmanager
async def stub_sqs(latency_seconds: float) -> AsyncIterator[StubSqs]:
    """Listening on 127.0.0.1 until the context ends."""
    stub = StubSqs(latency_seconds)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(stub), "127.0.0.1", 0, backlog=512)
    stub.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stub
    finally:
        server.close()


class _Connection(asyncio.Protocol):
    """One client's connection: one request after the other."""

    def __init__(self, stub: StubSqs) -> None:
        self._stub = stub
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP's are
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request that is complete."""
        self._received += data
        head, found, rest = bytes(self._received).partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        length = int(headers.get(b"content-length", b"0"))
        if not found or len(rest) < length:
            return
        del self._received[: len(head) + 4 + length]
        action = headers.get(b"x-amz-target", b"").rpartition(b".")[2].decode()
        actions = {"sendmessage": "SendMessage", "sendmessagebatch": "SendMessageBatch"}
        answer = json.dumps(self._stub.answer(actions.get(action, action), json.loads(rest[:length] or b"{}"))).encode()
        asyncio.get_running_loop().call_later(self._stub.latency_seconds, self._send, answer)

    def _send(self, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(head % len(body) + body)

"""The queue that requests go to: SQS."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from ingest.batches import Batches
from shared.aws import calling, translated
from shared.errors import Refused, ScalerError, Unavailable

ATTEMPT = timedelta(seconds=1.5)
"""The longest time for one attempt of a call (the client's own time-out)."""
SEND = timedelta(seconds=3.5)
"""The longest time for a send, waiting and a second attempt included: callers get their 503 within 5 seconds."""
CHECK = timedelta(seconds=1.8)
"""The longest time to find out that SQS answers, so that `/readyz` says within 2 seconds that it does not."""

_COMPACT = json.JSONEncoder(separators=(",", ":"))


@asynccontextmanager
async def open_inbox(client: Any, queue_url: str) -> AsyncIterator["SqsInbox"]:
    """The queue, over a client that the process's entry opened. What is still on its way at the end is given up."""
    async with asyncio.TaskGroup() as group:
        inbox = SqsInbox(client, queue_url, group)
        yield inbox
        inbox.stop()


class SqsInbox:
    """One SQS queue. What is sent at the same time shares its calls."""

    def __init__(self, client: Any, queue_url: str, group: asyncio.TaskGroup) -> None:
        self._client = client
        self._queue_url = queue_url
        self._batches = Batches(self._deliver, group, SEND)
        self.stop = self._batches.stop

    async def send(self, message: Mapping[str, Any]) -> None:
        """Return once SQS has the message. After Unavailable it may have it too."""
        await self._batches.send(_COMPACT.encode(message))

    async def check(self) -> None:
        """Return if SQS knows the queue and lets us ask. Raises Refused for a FIFO queue, which takes no request."""
        answer = await self._call(CHECK, "get_queue_attributes", AttributeNames=["QueueArn"])
        if str(answer.get("Attributes", {}).get("QueueArn", "")).endswith(".fifo"):
            raise Refused("SQS: the queue is a FIFO queue; a standard one is needed")

    async def _deliver(self, bodies: Sequence[str]) -> Sequence[ScalerError | None]:
        """Send messages together; what SQS says of each of them."""
        if len(bodies) == 1:
            await self._call(SEND, "send_message", MessageBody=bodies[0])
            return [None]
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        answer = await self._call(SEND, "send_message_batch", Entries=entries)
        safe = {entry.get("Id") for entry in answer.get("Successful", [])}
        failed = {entry.get("Id"): entry for entry in answer.get("Failed", [])}
        return [None if entry["Id"] in safe else _error(failed.get(entry["Id"])) for entry in entries]

    async def _call(self, limit: timedelta, name: str, **parameters: Any) -> Any:
        async with calling("SQS", limit):
            return await getattr(self._client, name)(QueueUrl=self._queue_url, **parameters)


def _error(failed: Mapping[str, Any] | None) -> ScalerError:
    """What SQS says of one message of a batch, as it would have said it of a message alone."""
    if failed is None:
        return Unavailable("SQS: the answer does not name this message")
    said = {"Code": failed.get("Code", ""), "Message": failed.get("Message", "")}
    status = {"HTTPStatusCode": 400 if failed.get("SenderFault") else 500}
    return translated(ClientError({"Error": said, "ResponseMetadata": status}, "SendMessageBatch"), "SQS")

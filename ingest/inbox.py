"""The queue that requests go to: SQS."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.aws import CALL_ERRORS, translated
from shared.errors import Refused

ATTEMPT = timedelta(seconds=1.5)
"""The longest time for one attempt of a call (the client's own time-out)."""
SEND = timedelta(seconds=3.5)
"""The longest time for a send, its second attempt included: callers get their 503 within 5 seconds."""
CHECK = timedelta(seconds=1.8)
"""The longest time to find out that SQS answers, so that `/readyz` says within 2 seconds that it does not."""


class SqsInbox:
    """One SQS queue, over a client that the process's entry opened."""

    def __init__(self, client: Any, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    async def send(self, message: Mapping[str, Any]) -> None:
        """Return once SQS has the message. After Unavailable it may have it too."""
        body = json.dumps(message, separators=(",", ":"))
        await self._call(SEND, "send_message", MessageBody=body)

    async def check(self) -> None:
        """Return if SQS knows the queue and lets us ask. Raises Refused for a FIFO queue, which takes no request."""
        answer = await self._call(CHECK, "get_queue_attributes", AttributeNames=["QueueArn"])
        if str(answer.get("Attributes", {}).get("QueueArn", "")).endswith(".fifo"):
            raise Refused("SQS: the queue is a FIFO queue; a standard one is needed")

    async def _call(self, limit: timedelta, name: str, **parameters: Any) -> Any:
        try:
            async with asyncio.timeout(limit.total_seconds()):
                return await getattr(self._client, name)(QueueUrl=self._queue_url, **parameters)
        except CALL_ERRORS as error:
            raise translated(error, "SQS") from error

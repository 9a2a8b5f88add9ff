"""How many messages wait in the queue, and since when; how many are dead letters. Asked of SQS.

SQS tells numbers, no ages, so the age is that of what was seen here: since when every look has found the queue not
empty. A look now and then, whether anybody asks or not, keeps it true to that interval.
"""

import asyncio
from datetime import timedelta
from typing import Any

import structlog

from shared.aws import calling
from shared.errors import ScalerError
from shared.status import Queue

LOOK = timedelta(seconds=1.8)
"""The longest time for one look."""
INTERVAL = timedelta(seconds=15)

_WAITING = "ApproximateNumberOfMessages"
"""Those that nobody has in hand: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html"""

_log = structlog.get_logger(__name__)


class SqsCounts:
    """Both queues, over a client that the process's entry opened.

    `run` looks for ever; whoever starts it, cancels it.
    """

    def __init__(
        self, client: Any, queue_url: str, dead_letters_url: str | None, interval: timedelta = INTERVAL
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._dead_letters_url = dead_letters_url
        self._interval = interval.total_seconds()
        self._waiting_since: float | None = None
        self.newest: Queue | None = None
        """As SQS said it last; None while it does not answer."""

    async def run(self) -> None:
        """Keep an eye on both."""
        while True:
            try:
                await self.look()
            except ScalerError as error:
                _log.info("queue_not_counted", error=str(error))
            await asyncio.sleep(self._interval)

    async def look(self) -> Queue:
        """What SQS says now. Raises Unavailable, Refused."""
        try:
            waiting, dead_letters = await asyncio.gather(self._waiting(), self._dead_letters())
        except ScalerError:
            self.newest = None
            raise
        since = self._waiting_since
        oldest = None if since is None else round(asyncio.get_running_loop().time() - since, 1)
        self.newest = Queue(waiting=waiting, oldest=oldest, dead_letters=dead_letters)
        return self.newest

    async def _waiting(self) -> int:
        waiting = await self._count(self._queue_url)
        if not waiting:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = asyncio.get_running_loop().time()
        return waiting

    async def _dead_letters(self) -> int | None:
        return None if self._dead_letters_url is None else await self._count(self._dead_letters_url)

    async def _count(self, url: str) -> int:
        async with calling("SQS", LOOK):
            answer = await self._client.get_queue_attributes(QueueUrl=url, AttributeNames=[_WAITING])
            return int(answer["Attributes"][_WAITING])

"""Sends that share a round trip: what waits while others are under way goes together.

A message that finds a free sender goes at once, alone or with those that came in the same turn of the event loop; so
a lone message waits for nobody. While all senders are busy, messages gather for the next one that is free. How one
batch is sent, and what became of each message in it, is left to whoever makes this.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.errors import ScalerError, Unavailable

SENDERS = 4
"""Batches under way at once: more of them share less, fewer let a message wait longer for its turn."""
MOST_MESSAGES = 10
MOST_BYTES = 1024 * 1024
"""Of all messages in a batch; both limits are SendMessageBatch's:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html"""

Deliver = Callable[[Sequence[str]], Coroutine[Any, Any, Sequence[ScalerError | None]]]
"""Sends ASCII texts together: the error of each, None for those that are safe. Raises ScalerError for all of them."""


@dataclass(slots=True, eq=False)
class _Entry:
    """One message and the caller that waits for it; whoever has gone away has cancelled the future."""

    body: str
    safe: asyncio.Future[None]

    def settle(self, error: ScalerError | None) -> None:
        if self.safe.done():
            return
        if error is None:
            self.safe.set_result(None)
        else:
            self.safe.set_exception(error)


class Batches:
    """Messages on their way. Its senders belong to a task group that outlives the callers."""

    def __init__(self, deliver: Deliver, group: asyncio.TaskGroup, longest: timedelta) -> None:
        self._deliver = deliver
        self._group = group
        self._longest = longest.total_seconds()
        self._waiting: deque[_Entry] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._starting = False

    async def send(self, body: str) -> None:
        """Return once this message is safe. Raises what became of it, Unavailable after the longest time for a send."""
        entry = _Entry(body, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._start_sender()
        try:
            async with asyncio.timeout(self._longest):
                await entry.safe
        except TimeoutError as error:
            raise Unavailable("SQS: no answer in time") from error

    def stop(self) -> None:
        """Give up what is under way: nobody waits for it any more."""
        for sender in self._senders:
            sender.cancel()

    def _start_sender(self) -> None:
        """One more for what waits, if there may be; one that is about to start takes what has come until then."""
        if not self._waiting or self._starting or len(self._senders) >= SENDERS:
            return
        self._starting = True
        sender = self._group.create_task(self._send_all())
        self._senders.add(sender)
        sender.add_done_callback(self._senders.discard)

    async def _send_all(self) -> None:
        """Send batch after batch until nothing waits."""
        self._starting = False
        while batch := self._next_batch():
            self._start_sender()
            await self._send_batch(batch)

    def _next_batch(self) -> list[_Entry]:
        """The oldest that fit together, without those whose callers have gone."""
        batch: list[_Entry] = []
        size = 0
        while self._waiting and len(batch) < MOST_MESSAGES:
            entry = self._waiting[0]
            size += len(entry.body)
            if batch and size > MOST_BYTES:
                break
            self._waiting.popleft()
            if entry.safe.done():
                size -= len(entry.body)
            else:
                batch.append(entry)
        return batch

    async def _send_batch(self, batch: Sequence[_Entry]) -> None:
        outcomes: Sequence[ScalerError | None] = [Unavailable("SQS: the send was given up")] * len(batch)
        try:
            outcomes = await self._deliver([entry.body for entry in batch])
        except ScalerError as error:
            outcomes = [error] * len(batch)
        finally:
            for entry, outcome in zip(batch, outcomes, strict=True):
                entry.settle(outcome)

"""The inbox in memory: at least once, with visibility, receipts and a backstop, like a standard queue of SQS."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.clock import Clock
from tests.fakes.hooks import Hooks, Port, hooked
from worker.adapters.sqs import as_attribute, as_body
from worker.ports.queue import Message


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up, and why. No reason: it was received too often."""

    body: str
    error: str | None


@dataclass(slots=True)
class _Copy:
    """A message in the queue; a message that is delivered twice has two."""

    message: Message
    visible_at: float
    received: int = 0


@dataclass(slots=True)
class _Queue:
    copies: dict[int, _Copy] = field(default_factory=dict)
    sent: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        """Wake everybody who polls."""
        self.arrived.set()
        self.arrived = asyncio.Event()


class InMemoryInbox(Port):
    """The Inbox port. Times in seconds."""

    port = "inbox"

    def __init__(
        self,
        clock: Clock,
        hooks: Hooks | None = None,
        *,
        visibility: float = 30.0,
        poll: float = 20.0,
        max_receives: int = 20,
    ) -> None:
        super().__init__(hooks)
        self._clock = clock
        self._visibility = visibility
        self._poll = poll
        self._max_receives = max_receives
        self._queue = _Queue()
        self.dead: list[DeadLetter] = []

    @property
    def waiting(self) -> list[Message]:
        """What is in the queue, visible or not."""
        return [copy.message for copy in self._queue.copies.values()]

    def send(self, body: str, message_id: str | None = None, sent_at: datetime | None = None) -> str:
        """Put a message into the queue; under an id that is there already, a second copy of it."""
        self._queue.sent += 1
        number = self._queue.sent
        identity = message_id or f"message-{number}"
        message = Message(identity, body, receipt="", sent_at=sent_at or self._clock.now())
        self._queue.copies[number] = _Copy(message, visible_at=0.0)
        self._queue.ring()
        return identity

    @hooked
    async def receive(self) -> list[Message]:
        """Some messages, or none after a long poll."""
        try:
            async with asyncio.timeout(self._poll):
                while not (taken := self._take()):
                    await self._queue.arrived.wait()
        except TimeoutError:
            return []
        return taken

    @hooked
    async def delete(self, message: Message) -> None:
        """Take a message out of the queue. One that is not there any more is no error."""
        self._queue.copies.pop(int(message.receipt.partition("/")[0]), None)

    @hooked
    async def dead_letter(self, message: Message, error: str) -> None:
        """Keep a copy, with the reason."""
        reason = as_attribute(error)
        self.dead.append(DeadLetter(as_body(message.body, 1024 * 1024 - len(reason.encode()) - 11), reason))

    def _take(self) -> list[Message]:
        loop = asyncio.get_running_loop()
        now = loop.time() + _RESOLUTION
        visible = [(number, copy) for number, copy in self._queue.copies.items() if copy.visible_at <= now]
        taken = []
        for number, copy in visible[:10]:
            if copy.received >= self._max_receives:
                del self._queue.copies[number]
                self.dead.append(DeadLetter(copy.message.body, None))
                continue
            copy.received += 1
            copy.visible_at = loop.time() + self._visibility
            loop.call_at(copy.visible_at, self._queue.ring)
            taken.append(replace(copy.message, receipt=f"{number}/{copy.received}"))
        return taken


_RESOLUTION = 0.001
"""A loop may run what is due a moment early."""

"""The queue: at least once, in any order, late, twice, and again after it was deleted."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from tests.simulation.loops import SimulatedLoop
from tests.simulation.trace import Trace
from worker.ports.queue import Message

VISIBILITY_SECONDS = 30.0
POLL_SECONDS = 20.0
MOST_RECEIVES = 20


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up. No reason: it was received too often."""

    message_id: str
    body: str
    reason: str | None


@dataclass(slots=True)
class _Copy:
    message: Message
    received: int = 0
    hidden: bool = False


@dataclass(slots=True)
class Queue:
    """The inbox and its dead-letter queue, as SQS keeps them."""

    loop: SimulatedLoop
    random: Random
    trace: Trace
    now: Callable[[], datetime]
    twice_share: float = 0.0
    """Of the receives, how many hand out something that somebody else has in hand."""
    ghost_share: float = 0.0
    """Of the deletes, how many come too late for a copy that is handed out once more."""
    copies: dict[int, _Copy] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    polls: "list[tuple[asyncio.Future[list[Message]], Callable[[], bool]]]" = field(default_factory=list)
    number: int = 0

    def send(self, body: str, message_id: str, delay: float = 0.0) -> None:
        """Put a message in; under an id that is there already, a second copy of it."""
        message = Message(message_id, body, receipt="", sent_at=self.now())
        self.loop.call_later(delay, self._put, message)

    def receive(self, wanted: Callable[[], bool]) -> "list[Message] | asyncio.Future[list[Message]]":
        """Some messages at once, or some or none after a long poll. `wanted`: somebody still waits for them."""
        taken = self._take()
        if taken:
            return taken
        poll = self.loop.create_future()
        self.polls.append((poll, wanted))
        self.loop.call_later(POLL_SECONDS, self._hang_up, poll)
        return poll

    def delete(self, message: Message) -> None:
        """Take a message out for good, or nearly so."""
        copy = self.copies.pop(int(message.receipt.partition("/")[0]), None)
        if copy is not None and self.random.random() < self.ghost_share:
            self.trace.counts["message: again after its delete"] += 1
            self.loop.call_later(5 * self.random.random(), self._put, copy.message)

    def bury(self, message: Message, reason: str) -> None:
        """Put a copy into the dead-letter queue."""
        self.dead.append(DeadLetter(message.id, message.body, reason))

    def _put(self, message: Message) -> None:
        self.number += 1
        self.copies[self.number] = _Copy(message)
        self._ring()

    def _ring(self) -> None:
        """Serve those who poll, if there is anything to serve."""
        while self.polls and (taken := self._take()):
            poll, wanted = self.polls.pop(0)
            if not poll.done():
                poll.set_result(taken)
            if not wanted():
                self.trace.counts["message: handed to nobody"] += 1

    def _hang_up(self, poll: "asyncio.Future[list[Message]]") -> None:
        self.polls = [entry for entry in self.polls if entry[0] is not poll]
        if not poll.done():
            poll.set_result([])

    def _take(self) -> list[Message]:
        visible = [number for number, copy in self.copies.items() if not copy.hidden or self._twice()]
        oldest_first = list(visible)
        self.random.shuffle(visible)
        self.trace.counts["message: out of order"] += visible != oldest_first
        return [taken for number in visible[: 1 + int(4 * self.random.random())] if (taken := self._hand_out(number))]

    def _twice(self) -> bool:
        if self.twice_share and self.random.random() < self.twice_share:
            self.trace.counts["message: in two hands"] += 1
            return True
        return False

    def _hand_out(self, number: int) -> Message | None:
        copy = self.copies[number]
        if copy.received >= MOST_RECEIVES:
            del self.copies[number]
            self.dead.append(DeadLetter(copy.message.id, copy.message.body, None))
            return None
        copy.received += 1
        copy.hidden = True
        self.loop.call_later(VISIBILITY_SECONDS, self._show, number, copy.received)
        message = copy.message
        return Message(message.id, message.body, f"{number}/{copy.received}", message.sent_at)

    def _show(self, number: int, received: int) -> None:
        copy = self.copies.get(number)
        if copy is not None and copy.received == received:
            copy.hidden = False
            self.trace.counts["message: visible again"] += 1
            self._ring()

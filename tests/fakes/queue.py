"""A standard queue of SQS in memory: at least once, with visibility, receipts, long polls and a dead-letter queue."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count

from worker.ports.queue import Message

VISIBILITY_SECONDS = 30.0
POLL_SECONDS = 20.0
MOST_RECEIVES = 20
MOST_AT_ONCE = 10

Poll = asyncio.Future[list[Message]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up, and why. No error: it was received too often."""

    message_id: str
    body: str
    error: str | None


@dataclass(slots=True)
class Copy:
    """A message in the queue; a message that is delivered twice has two."""

    message: Message
    received: int = 0
    hidden: bool = False


class StandardQueue:
    """The queue and its dead letters. Without a loop it lives on the one that runs."""

    def __init__(
        self,
        now: Callable[[], datetime],
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        visibility: float = VISIBILITY_SECONDS,
        max_receives: int = MOST_RECEIVES,
    ) -> None:
        self._now = now
        self._own_loop = loop
        self._visibility = visibility
        self._max_receives = max_receives
        self.copies: dict[int, Copy] = {}
        self.dead: list[DeadLetter] = []
        self.counts: Counter[str] = Counter()
        self._polls: list[tuple[Poll, Callable[[], bool]]] = []
        self._identities, self._numbers = count(1), count(1)

    def send(
        self, body: str, message_id: str | None = None, sent_at: datetime | None = None, *, delay: float = 0.0
    ) -> str:
        """Put a message in; under an id that is there already, a second copy of it. `delay`: it takes so long."""
        message = Message(message_id or f"message-{next(self._identities)}", body, "", sent_at or self._now())
        if delay:
            self._loop.call_later(delay, self._put, message)
        else:
            self._put(message)
        return message.id

    def receive(self, wanted: Callable[[], bool] = lambda: True) -> list[Message] | Poll:
        """Some messages at once, or some or none after a long poll. `wanted`: somebody still waits for them."""
        taken = self._take()
        if taken:
            return taken
        poll: Poll = self._loop.create_future()
        self._polls.append((poll, wanted))
        self._loop.call_later(POLL_SECONDS, self._hang_up, poll)
        return poll

    def delete(self, message: Message) -> Message | None:
        """Take a message out; what was taken out. One that is not there any more is no error."""
        copy = self.copies.pop(int(message.receipt.partition("/")[0]), None)
        return None if copy is None else copy.message

    def bury(self, message: Message, error: str | None) -> None:
        """Put a copy into the dead-letter queue."""
        self.dead.append(DeadLetter(message.id, message.body, error))

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._own_loop or asyncio.get_running_loop()

    def _put(self, message: Message) -> None:
        self.copies[next(self._numbers)] = Copy(message)
        self._ring()

    def _ring(self) -> None:
        """Serve those who poll, if there is anything to serve."""
        self._polls = [entry for entry in self._polls if not entry[0].done()]
        while self._polls and (taken := self._take()):
            poll, wanted = self._polls.pop(0)
            poll.set_result(taken)
            self.counts["message: handed to nobody"] += not wanted()

    def _hang_up(self, poll: Poll) -> None:
        if not poll.done():
            poll.set_result([])

    def _take(self) -> list[Message]:
        return [taken for number in self.chosen() if (taken := self._hand_out(number))]

    def _hand_out(self, number: int) -> Message | None:
        copy = self.copies[number]
        if copy.received >= self._max_receives:
            self.bury(self.copies.pop(number).message, None)
            return None
        copy.received += 1
        copy.hidden = True
        self._loop.call_later(self._visibility, self._show, number, copy.received)
        return replace(copy.message, receipt=f"{number}/{copy.received}")

    def _show(self, number: int, received: int) -> None:
        copy = self.copies.get(number)
        if copy is not None and copy.received == received:
            copy.hidden = False
            self.counts["message: visible again"] += 1
            self._ring()

    def chosen(self) -> Sequence[int]:
        """The copies to be handed out next. A queue with a will of its own chooses otherwise."""
        return [number for number, copy in self.copies.items() if not copy.hidden][:MOST_AT_ONCE]

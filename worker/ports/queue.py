"""The inbox: the queue that requests come in through."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the inbox, and the handle to delete it with."""

    id: str
    body: str
    receipt: str
    sent_at: datetime


class Inbox(Protocol):
    """The queue that requests come in through."""

    async def receive(self) -> Sequence[Message]:
        """Some messages, or none after a long poll."""

    async def delete(self, message: Message) -> None:
        """Take a message out of the queue for good."""

    async def discard(self, messages: Sequence[Message]) -> None:
        """Take messages out of the queue, at most ten, in one call. One that stays is no error: it comes again."""

    async def dead_letter(self, message: Message, error: str) -> None:
        """Put a copy into the dead-letter queue, with the reason. The message itself stays."""

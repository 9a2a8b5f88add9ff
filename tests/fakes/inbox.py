"""The inbox in memory: a queue, and the texts that SQS would take."""

from collections.abc import Sequence

from shared.clock import Clock
from tests.fakes.hooks import Hooks, Port, hooked
from tests.fakes.queue import MOST_AT_ONCE, MOST_RECEIVES, VISIBILITY_SECONDS, DeadLetter, StandardQueue
from worker.adapters.sqs import as_attribute, as_body
from worker.ports.queue import Message


class InMemoryInbox(Port):
    """The Inbox port. Times in seconds."""

    port = "inbox"

    def __init__(
        self,
        clock: Clock,
        hooks: Hooks | None = None,
        *,
        visibility: float = VISIBILITY_SECONDS,
        max_receives: int = MOST_RECEIVES,
    ) -> None:
        super().__init__(hooks)
        self._queue = StandardQueue(clock.now, visibility=visibility, max_receives=max_receives)
        self.send = self._queue.send

    @property
    def waiting(self) -> list[Message]:
        """What is in the queue, visible or not."""
        return [copy.message for copy in self._queue.copies.values()]

    @property
    def dead(self) -> list[DeadLetter]:
        """What was given up."""
        return self._queue.dead

    @hooked
    async def receive(self) -> list[Message]:
        """Some messages, or none after a long poll."""
        taken = self._queue.receive()
        return taken if isinstance(taken, list) else await taken

    @hooked
    async def delete(self, message: Message) -> None:
        """Take a message out of the queue. One that is not there any more is no error."""
        self._queue.delete(message)

    @hooked
    async def discard(self, messages: Sequence[Message]) -> None:
        """Take some out of the queue."""
        assert 0 < len(messages) <= MOST_AT_ONCE
        for message in messages:
            self._queue.delete(message)

    @hooked
    async def dead_letter(self, message: Message, error: str) -> None:
        """Keep a copy, with the reason."""
        reason = as_attribute(error)
        body = as_body(message.body, 1024 * 1024 - len(reason.encode()) - 11)
        self._queue.bury(Message(message.id, body, "", message.sent_at), reason)

"""The queue with a will of its own: in any order, late, twice, and again after a message was deleted."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from random import Random

from tests.fakes.queue import StandardQueue
from tests.simulation.loops import SimulatedLoop
from worker.ports.queue import Message

GHOST_SECONDS = 5.0


class Queue(StandardQueue):
    """What SQS may do, it does now and then, and it is counted."""

    def __init__(self, loop: SimulatedLoop, random: Random, counts: Counter[str], now: Callable[[], datetime]) -> None:
        super().__init__(now, loop)
        self._random = random
        self.counts = counts
        self.twice_share = 0.0
        """Of the receives, how many hand out something that somebody else has in hand."""
        self.ghost_share = 0.0
        """Of the deletes, how many come too late for a copy that is handed out once more."""

    def delete(self, message: Message) -> Message | None:
        """Take a message out for good, or nearly so."""
        deleted = super().delete(message)
        if deleted is not None and self._random.random() < self.ghost_share:
            self.counts["message: again after its delete"] += 1
            self._loop.call_later(GHOST_SECONDS * self._random.random(), self._put, deleted)
        return deleted

    def chosen(self) -> Sequence[int]:
        """A few of those that are visible, or as good as that, in any order."""
        visible = [number for number, copy in self.copies.items() if not copy.hidden or self._twice()]
        oldest_first = list(visible)
        self._random.shuffle(visible)
        self.counts["message: out of order"] += visible != oldest_first
        return visible[: 1 + int(4 * self._random.random())]

    def _twice(self) -> bool:
        twice = bool(self.twice_share) and self._random.random() < self.twice_share
        self.counts["message: in two hands"] += twice
        return twice

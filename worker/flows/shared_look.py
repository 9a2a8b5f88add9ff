"""One look for all who wait for nodes of a group: an event of the Swarm wakes every scale-up of a burst at once.

Whoever asks first looks; who asks meanwhile, or a moment later, and has heard of no newer event, gets the same answer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shared.at_once import AtOnce
from worker.leadership.period import Leadership
from worker.ports.scaling import Group
from worker.ports.swarm import Node

SHARED_SECONDS = 0.2
"""So long after its beginning a look is handed out, if the Swarm has told of no change since."""

Seen = tuple[Group, Sequence[Node]]


@dataclass(frozen=True, slots=True)
class _Look:
    generation: int
    """Of the Swarm's events, when it began."""
    began: float
    answer: "asyncio.Future[Seen]"


class SharedLook:
    """The looks of one leadership period."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._last: dict[str, _Look] = {}

    async def at(self, group: str) -> Seen:
        """The group as AWS describes it, and the nodes. Raises Unavailable, Refused."""
        look = self._last.get(group)
        if look is None or not self._is_new(look):
            return await self._look(group)
        try:
            return await asyncio.shield(look.answer)
        except asyncio.CancelledError:
            if not look.answer.cancelled():
                raise
            return await self._look(group)  # who looked was stopped

    def _is_new(self, look: _Look) -> bool:
        age = asyncio.get_running_loop().time() - look.began
        return look.generation == self._leadership.events.generation and age < SHARED_SECONDS

    async def _look(self, group: str) -> Seen:
        loop = asyncio.get_running_loop()
        look = _Look(self._leadership.events.generation, loop.time(), loop.create_future())
        self._last[group] = look
        try:
            async with AtOnce() as at_once:
                describing = at_once.ask(self._leadership.groups.describe(group))
                listing = at_once.ask(self._leadership.swarm.nodes())
            seen = describing.result(), listing.result()
        except Exception as error:
            look.answer.set_exception(error)
            look.answer.exception()  # nobody else may have asked
            raise
        except BaseException:
            look.answer.cancel()
            raise
        look.answer.set_result(seen)
        return seen

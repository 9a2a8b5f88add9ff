"""Waves: scale-ups that wait for the lane at the same moment are raised together.

Each plans on top of the target of the one before it, and writes its own down. So what the journal holds at any moment
are the targets of the first so many, and a worker that takes over goes on from there. Whoever comes first to the raise
waits for those behind it, a moment each, and for the messages that were received together and are not requests yet;
then it raises the group to the highest target, and the others find it raised.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from shared.actions import ACTIONS
from worker.flows.nodes import node_type
from worker.flows.survey import Survey
from worker.leadership.period import TICK_SECONDS, Leadership
from worker.requests.open_requests import OpenRequests
from worker.requests.request import OpenRequest

NEXT_SECONDS = 0.5
"""How long the raise waits for the next scale-up behind it to be planned."""
MOST_SECONDS = 3.0
"""How long it waits for all of them."""
LOOK_AGAIN_SECONDS = 1.0
"""What was read so long ago is read again before a plan or a raise goes by it."""


class Wave:
    """The scale-ups of a leadership period whose targets are written down, or about to be, and not raised to yet."""

    def __init__(self, leadership: Leadership, requests: OpenRequests) -> None:
        self._leadership = leadership
        self._requests = requests
        self._turn = asyncio.Lock()
        self._raised: dict[str, datetime] = {}
        self._full: set[str] = set()
        """Those that the targets of the wave leave no room for: whether that is so, the raise will tell."""
        self._survey: tuple[float, Survey] | None = None

    def members(self, request: OpenRequest) -> Sequence[OpenRequest]:
        """Those of a request's type, itself among them, that are to be raised to their targets."""
        alike = self._requests.scale_ups(node_type(request))
        return [each for each in alike if each.record.step == "apply" and each.id not in self._raised]

    def target(self, request: OpenRequest) -> int:
        """The highest target of the wave, on top of which a request plans. 0: there is none."""
        return max((int(each.record.nodes_after or 0) for each in self.members(request)), default=0)

    def survey(self, request: OpenRequest) -> Survey | None:
        """What the wave has seen of the group a moment ago. None: look."""
        if self._survey is None or not self.members(request):
            return None
        seen, survey = self._survey
        fresh = self._leadership.clock.uptime() - seen < LOOK_AGAIN_SECONDS
        return survey if fresh and survey.kind == node_type(request) else None

    def seen(self, at: float, survey: Survey) -> None:
        """This was read, at an uptime, by one that is about to write its target down."""
        self._survey = at, survey

    def moved(self) -> None:
        """A request has been planned, or has ended."""
        self._requests.moved.set()

    @asynccontextmanager
    async def turn(self, request: OpenRequest) -> AsyncIterator[None]:
        """One at a time comes to the raise."""
        with self._leadership.watchdog.suspended(request.id):
            await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    async def gathered(self, request: OpenRequest) -> None:
        """Wait for those behind the request to be planned, for a bounded time. A lone one waits for nobody."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MOST_SECONDS):
                while self._others_come(request):
                    self._requests.moved.clear()
                    async with asyncio.timeout(NEXT_SECONDS):
                        await self._requests.moved.wait()

    async def over(self, request: OpenRequest) -> None:
        """Wait until the wave that leaves no room for the request is raised, or has failed."""
        self._full.add(request.id)
        self.moved()
        try:
            while self.members(request):
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        await self._requests.moved.wait()
                self._leadership.watchdog.heartbeat(request.id)
                self._requests.moved.clear()
        finally:
            self._full.discard(request.id)

    def raised(self, request: OpenRequest) -> datetime | None:
        """When the group was raised to the request's target, by itself or another of the wave. None: it was not."""
        return self._raised.get(request.id)

    def forget(self, request: OpenRequest) -> None:
        """It is no part of a wave any more."""
        self._raised.pop(request.id, None)

    def note_raised(self, request: OpenRequest, desired: int, now: datetime) -> None:
        """The group was raised for the request, to a capacity that others of the wave wanted, too."""
        for each in self.members(request):
            if int(each.record.nodes_after or 0) <= desired:
                self._raised[each.id] = now
        self.moved()

    def _others_come(self, request: OpenRequest) -> bool:
        """Whether messages are being taken, or others of its type are being planned, or are next in the lane."""
        if self._requests.arriving:
            return True
        for other in self._requests.running:
            if self._may_join(other, request):
                return True
        for other in self._requests.queued:
            action = ACTIONS.get(other.record.action)
            if action is not None and action.lane == "nodes":
                return self._may_join(other, request)
        return False

    def _may_join(self, other: OpenRequest, request: OpenRequest) -> bool:
        kind = (request.record.action, request.record.scale, request.record.type)
        alike = (other.record.action, other.record.scale, other.record.type) == kind
        return alike and other.record.step in {None, "plan"} and other.id not in self._full

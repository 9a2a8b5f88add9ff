"""Waves: scale-ups that wait for the lane at the same moment are raised together.

Each plans on top of the target of the one before it, and writes its own down. So what the journal holds at any moment
are the targets of the first so many, and a worker that takes over goes on from there. Whoever comes first to the raise
waits for those behind it, a moment each, and raises the group to the highest target; the others find it raised. Where
one ends unraised, cancelled or refused, those that had planned on top of its target plan anew.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime

from shared.actions import ACTIONS
from shared.errors import Refused
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
        self._planning = asyncio.Lock()
        self._moved = asyncio.Event()
        self._raised: dict[str, datetime] = {}
        self._full: set[str] = set()
        """Those that the targets of the wave leave no room for: whether that is so, the raise will tell."""
        self._outdated: set[str] = set()
        """Those whose targets count no more: they have ended unraised, or stand on one that has."""
        self._unsent: set[str] = set()
        """Those that were planned in this period, and whose targets AWS cannot have been asked for yet."""
        self.fallen = 0
        """How many have ended unraised."""
        self._survey: tuple[float, Survey] | None = None

    def members(self, request: OpenRequest) -> Sequence[OpenRequest]:
        """Those of a request's type, itself among them, that are to be raised to their targets."""
        alike = self._requests.scale_ups(node_type(request))
        settled = self._raised.keys() | self._outdated
        return [each for each in alike if each.record.step == "apply" and each.id not in settled]

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
        self._moved.set()

    def turn(self, request: OpenRequest) -> AbstractAsyncContextManager[None]:
        """One at a time comes to the raise."""
        return self._alone(self._turn, request)

    def planning(self, request: OpenRequest) -> AbstractAsyncContextManager[None]:
        """One at a time plans on top of the others: the lane says whose turn it is, but not to those that plan anew."""
        return self._alone(self._planning, request)

    @asynccontextmanager
    async def _alone(self, lock: asyncio.Lock, request: OpenRequest) -> AsyncIterator[None]:
        with self._leadership.watchdog.suspended(request.id):
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    async def gathered(self, request: OpenRequest) -> None:
        """Wait for those behind the request to be planned, for a bounded time. A lone one waits for nobody."""
        try:
            async with asyncio.timeout(MOST_SECONDS):
                while self._others_come(request):
                    self._moved.clear()
                    async with asyncio.timeout(NEXT_SECONDS):
                        await self._moved.wait()
        except TimeoutError:
            return

    async def over(self, request: OpenRequest) -> None:
        """Wait until the wave that leaves no room for the request is raised, or has failed."""
        self._full.add(request.id)
        self.moved()
        try:
            while self.members(request):
                try:
                    async with asyncio.timeout(TICK_SECONDS):
                        await self._moved.wait()
                except TimeoutError:
                    pass
                self._leadership.watchdog.heartbeat(request.id)
                self._moved.clear()
        finally:
            self._full.discard(request.id)

    def raised(self, request: OpenRequest) -> datetime | None:
        """When the group was raised to the request's target, by itself or another of the wave. None: it was not."""
        return self._raised.get(request.id)

    def forget(self, request: OpenRequest) -> None:
        """It is no part of a wave any more. Where it was to be raised and was not, others may have counted on it."""
        members, own = self.members(request), int(request.record.nodes_after or 0)
        if request in members:
            self.fallen += 1
            self._outdated &= {each.id for each in self._requests.scale_ups(node_type(request))}
            above = {each.id for each in members if int(each.record.nodes_after or 0) > own}
            self._outdated |= (above & self._unsent) | {request.id}
        self._raised.pop(request.id, None)
        self._unsent.discard(request.id)

    def outdated(self, request: OpenRequest) -> bool:
        """Whether its target stands on one that nobody raises to: it has to be planned anew."""
        return request.id in self._outdated

    def planned(self, request: OpenRequest, fallen: int) -> None:
        """Its target is written down, planned when so many had fallen. More may have fallen since."""
        self._unsent.add(request.id)
        if fallen == self.fallen:
            self._outdated.discard(request.id)
        else:
            self._outdated.add(request.id)

    def note_raised(self, request: OpenRequest, desired: int, now: datetime) -> None:
        """The group was raised for the request, to a capacity that others of the wave wanted, too."""
        for each in self.members(request):
            if int(each.record.nodes_after or 0) <= desired:
                self._raised[each.id] = now
        self.moved()

    @contextmanager
    def sending(self, request: OpenRequest, desired: int) -> Iterator[None]:
        """AWS is asked for a capacity. Unless it refuses, nobody knows whether the targets up to it come true yet."""
        asked = {each.id for each in self.members(request) if int(each.record.nodes_after or 0) <= desired}
        asked &= self._unsent
        self._unsent -= asked
        try:
            yield
        except Refused:
            self._unsent |= asked
            raise

    def _others_come(self, request: OpenRequest) -> bool:
        """Whether others of its type are being planned, or are next in the lane."""
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

"""The desired capacity that counts: one rule for what a description of a group shows.

Describe lags behind our own last change, and descriptions come from several places: one may go back behind another
that was read before it. So for LAG after a change of ours

- a description that does not show it counts for nothing: our own result does;
- a description that does not show it though an earlier one did, or that does not show the last result of the worker
  before us (who may have seen what came after it), is asked for again.

After LAG, Describe is right.
"""

from datetime import datetime, timedelta

import structlog

from shared.errors import Unavailable
from shared.fields import Role
from worker.decisions.preflight import EVER
from worker.flows.nodes import group_name, node_type
from worker.leadership.deadline import Deadline
from worker.leadership.period import Leadership
from worker.ports.scaling import Group
from worker.requests.request import OpenRequest

log = structlog.get_logger()

LAG = timedelta(seconds=30)
"""The longest that Describe lags behind a change of ours."""
CLOCKS_APART = timedelta(seconds=60)
"""A change that another worker made so much longer ago than LAG, by the wall clock, is certainly shown by now."""
STALE_SECONDS = 0.5
"""How soon a description is asked for again that is older than what is known already."""


class CapacityView:
    """What is known of the desired capacities within one leadership period."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._unconfirmed: set[Role] = set()
        """Pools whose last change no description has shown yet."""
        self._lag: dict[Role, Deadline] = {}

    async def look(self, request: OpenRequest, *, fresh: bool = False) -> tuple[Group, int]:
        """The group, and the desired capacity that counts.

        `fresh`: the instances are needed too, so the first description that shows our last result is waited for.
        """

        async def described() -> tuple[Group, int] | None:
            group = await self._leadership.groups.describe(group_name(self._leadership, request))
            if await self.confirm(kind, group) or not await self._lags(kind):
                return group, group.desired
            if not fresh and kind in self._unconfirmed:
                return group, int((await self._leadership.memory.of(kind)).desired or 0)
            return None

        kind = node_type(request)
        with request.waiting_for(f"AWS to describe {group_name(self._leadership, request)} as it was changed last"):
            found = await self._leadership.poll(request.id, described, every=STALE_SECONDS, on_events=False)
        assert found is not None  # noqa: S101 - without a deadline it always answers
        return found

    async def confirm(self, kind: Role, group: Group) -> bool:
        """A description was read: whether it shows our own last result."""
        await self._lags(kind)
        shows = group.desired == (await self._leadership.memory.of(kind)).desired
        if shows:
            self._unconfirmed.discard(kind)
        return shows

    async def observe(self, request: OpenRequest) -> None:
        """See whether Describe shows our own last result yet. No matter if it cannot be read now."""
        name = group_name(self._leadership, request)
        try:
            await self.confirm(node_type(request), await self._leadership.groups.describe(name))
        except Unavailable as error:
            log.info("group_not_described", group=name, error=str(error))

    async def changed(self, kind: Role, desired: int, *, just_now: bool = True) -> datetime:
        """The desired capacity is our doing: remember it. When that was.

        Where it was not done just now, but found done, somebody else may have changed it since: then a description
        that disagrees does not count as old at once, but is asked for again.
        """
        now = self._leadership.clock.now()
        await self._leadership.memory.update(kind, desired=desired, desired_at=now)
        if just_now:
            self._unconfirmed.add(kind)
        else:
            self._unconfirmed.discard(kind)
        self._lag[kind] = self._leadership.deadline(now, LAG)
        return now

    async def _lags(self, kind: Role) -> bool:
        """Whether Describe may still be older than our own last result.

        By the loop's time, for a wall clock may step. A change by the worker before us counts from our first look.
        """
        memory = await self._leadership.memory.of(kind)
        if memory.desired is None or memory.desired_at is None:
            return False
        if kind not in self._lag:
            now = self._leadership.clock.now()
            long_ago = abs(now - memory.desired_at) >= LAG + CLOCKS_APART
            self._lag[kind] = self._leadership.deadline(EVER if long_ago else now, LAG)
        return not self._lag[kind].passed

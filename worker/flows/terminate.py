"""Terminating: exactly the chosen instances, one at a time, each with its part of the desired capacity.

The intent is journaled before each call. Who finds an intent does not know whether the call was made: it looks at
the instance. One that is leaving or gone is never called for again, and never replaced by a second victim; whether
it was our call that ended it, the group's activities tell.
"""

from typing import Any, NoReturn

import structlog

from shared.errors import Refused
from worker.errors import GaveUp
from worker.flows.capacity import LAG, STALE_SECONDS
from worker.flows.flow import Context
from worker.flows.last_look import LastLook
from worker.flows.nodes import group_name, node_type
from worker.leadership.deadline import Deadline
from worker.leadership.period import TICK_SECONDS
from worker.ports.scaling import Fate, Group, Instance
from worker.requests import departures
from worker.requests.plans import DepartingNode, DownPlan, Intent
from worker.requests.request import OpenRequest

log = structlog.get_logger()


class Termination:
    """Terminates those of a request's instances that have not been terminated."""

    def __init__(self, context: Context, request: OpenRequest) -> None:
        self._leadership = context.leadership
        self._capacity = context.capacity
        self._request = request
        self._kind = node_type(request)
        self._group_name = group_name(context.leadership, request)
        self._last_look = LastLook(context, request)

    @property
    def _plan(self) -> DownPlan:
        return DownPlan.parse(self._request.record.plan)

    async def _note(self, **changes: Any) -> None:
        await self._request.save(plan=self._plan.but(**changes))

    async def run(self) -> None:
        """Return when all are terminated. Raises GaveUp."""
        if self._plan.lost:
            raise GaveUp(self._plan.why)  # the worker before us had written that down, and came no further
        for node in self._plan.remaining:
            if await self._is_terminated(node):
                continue
            await self._last_look.prepare(node)
            while not await self._intend(node):
                await self._last_look.prepare(node)
            await self._call(node)
            await self._count(node, just_now=True)

    async def _is_terminated(self, node: DepartingNode) -> bool:
        """Whether an intent that was found has been carried out; if so, it is counted now. Raises GaveUp."""
        intent = self._plan.intent
        if intent is None or intent.instance_id != node.instance_id:
            return False
        if node.instance_id in self._leadership.terminated:  # AWS had answered, and the write after it failed
            await self._count(node, just_now=True)
            return True
        desired = await self._desired_after_call(node)
        if desired is None:
            await self._note(intent=None)  # time has told: it was not called for
            return False
        self._leadership.terminated[node.instance_id] = desired
        await self._count(node, just_now=False)
        return True

    async def _intend(self, node: DepartingNode) -> bool:
        """Journal that the call will be made. False: not yet, for meanwhile something runs there again, or misses."""
        desired = await self._capacity_with(node)
        now = self._leadership.clock.now()
        await self._note(intent=Intent(instance_id=node.instance_id, desired=desired, at=now))
        self._call_lag(node, anew=True)
        return await self._last_look.confirms(node)

    async def _capacity_with(self, node: DepartingNode) -> int:
        """The desired capacity, with the instance in it. Raises GaveUp where it is on its way out already, or where
        somebody has lowered the capacity since the plan: it would end below what was asked for, and the minimum.

        A description without the instance may only be older than the instance is, and so may one with a low number;
        what ends an instance is recorded.
        """

        async def described() -> int | None:
            group, desired = await self._capacity.look(self._request)
            fate, member = await self._fate(node), _member(group, node)
            if member is not None and not member.leaving and fate is None:
                if desired < self._expected and grace.passed:
                    raise GaveUp(self._lowered(group, desired))
                return desired if desired >= self._expected else None
            if member is not None or fate is not None or grace.passed:
                raise GaveUp(await self._taken(group, node))
            return None

        # Named after the capacity too: an earlier victim, or an earlier round, has had a grace of its own.
        grace = self._leadership.grace(f"capacity {self._expected} with {node.instance_id}", LAG)
        with self._request.waiting_for(f"AWS to describe {node.name} in its group", seconds=grace.remaining):
            desired = await self._leadership.poll(
                self._request.id, described, every=lambda: min(STALE_SECONDS, grace.remaining), on_events=False
            )
        return int(desired or 0)

    @property
    def _expected(self) -> int:
        """The desired capacity as it should be now, by the plan and what has been terminated since."""
        return int(self._request.record.nodes_before or 0) - len(self._plan.terminated)

    def _lowered(self, group: Group, desired: int) -> str:
        asked = int(self._request.record.nodes_after or 0)
        return departures.lowered(self._kind, group.name, desired, self._expected, asked)

    async def _taken(self, group: Group, node: DepartingNode) -> str:
        asked = int(self._request.record.nodes_after or 0)
        if node.instance_id in (await self._leadership.memory.of(self._kind)).abandoned:
            return departures.not_joined(self._kind, node.name, group.name, group.desired, asked)
        return departures.taken(self._kind, node.name, group.name, group.desired, asked)

    def _call_lag(self, node: DepartingNode, *, anew: bool = False) -> Deadline:
        """For how long a call for this instance may have been made though Describe does not show it.

        By the loop's time, for a wall clock that steps must not shorten it. An intent of the worker before us
        counts from our first look: a second call for an instance that is going already could lower the capacity twice.
        """
        return self._leadership.grace(f"termination of {node.instance_id}", LAG, anew=anew)

    async def _call(self, node: DepartingNode) -> None:
        """Terminate it, and keep AWS's answer: no write may fail between the two."""
        try:
            desired = await self._leadership.change_groups.terminate(node.instance_id)
        except Refused:
            await self._note(intent=None)  # it was certainly not done
            raise
        self._leadership.terminated[node.instance_id] = desired

    async def _desired_after_call(self, node: DepartingNode) -> int | None:
        """The desired capacity that our call for the instance left. None: there was no call, and it is untouched.
        Raises GaveUp where somebody else ended it.

        An instance that looks untouched was either not called for, or Describe lags: only time tells them apart. It
        also tells whether one that looks gone is not only too young for what Describe shows, or its end not recorded.
        A call for an instance that AWS was ending already may have taken its part of the capacity all the same; so
        nothing is said of it, and nothing planned after it, before Describe is certain to show that.
        """

        async def described() -> int | None:
            fate = await self._fate(node)
            if fate is not None and fate.lowered_to is not None:
                return fate.lowered_to
            group = await self._leadership.groups.describe(self._group_name)
            member = _member(group, node)
            if not lag.passed or (fate is None and member is not None and not member.leaving):
                return None
            return await self._record_foreign_end(node, group)

        lag = self._call_lag(node)
        with self._request.waiting_for(f"AWS to say what became of {node.name}", seconds=lag.remaining):
            return await self._leadership.poll(
                self._request.id, described, every=TICK_SECONDS / 5, deadline=lag, on_events=False
            )

    @property
    def _left(self) -> int:
        """The desired capacity that the call of the journaled intent leaves."""
        return (self._plan.intent or Intent()).desired - 1

    async def _record_foreign_end(self, node: DepartingNode, group: Group) -> NoReturn:
        """Somebody else ended the instance: no second one goes for it. Raises GaveUp."""
        plan = self._plan
        why = departures.ended_by_others(self._kind, node.name, group.name, group.desired, self._left)
        await self._note(
            terminated=(*plan.terminated, node.instance_id),
            lost=(*plan.lost, node.name),
            desired_after=group.desired,
            why=why,
        )
        raise GaveUp(why)

    async def _fate(self, node: DepartingNode) -> Fate | None:
        """What ends the instance, as the group's activities have it; ours is what lowered the capacity."""
        return (await self._leadership.groups.activities(self._group_name)).fate_of(node.instance_id)

    async def _count(self, node: DepartingNode, *, just_now: bool) -> None:
        """It is terminated. The intent's capacity may come from an old description: what is reckoned from it is no
        more than a guess, which Describe has to confirm."""
        plan, told = self._plan, self._leadership.terminated[node.instance_id]
        desired = self._left if told is None else told
        await self._capacity.changed(self._kind, desired, just_now=just_now and told is not None)
        await self._note(terminated=(*plan.terminated, node.instance_id), intent=None, desired_after=desired)
        log.info("instance_terminated", request=self._request.id, instance=node.instance_id, node=node.name)


def _member(group: Group, node: DepartingNode) -> Instance | None:
    return next((instance for instance in group.instances if instance.id == node.instance_id), None)

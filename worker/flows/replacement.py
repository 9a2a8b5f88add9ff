"""Terminating the instance of one node, without its part of the desired capacity: its group launches another.

The intent is journaled before the call. Who finds an intent does not know whether the call was made, and looks at the
instance: one that is leaving or gone is not called for again. By whose hand it goes makes no difference here: the group
replaces it. A second call could only name the same instance, and lowers nothing.
"""

from typing import Any

import structlog

from shared.errors import Refused
from worker.flows.capacity import LAG
from worker.flows.flow import Context
from worker.flows.last_look import LastLook
from worker.flows.nodes import group_name
from worker.leadership.deadline import Deadline
from worker.leadership.period import TICK_SECONDS
from worker.requests.plans import DepartingNode, Intent, ReplacePlan
from worker.requests.request import OpenRequest

log = structlog.get_logger()


class Replacement:
    """Terminates the instance of a request's node."""

    def __init__(self, context: Context, request: OpenRequest) -> None:
        self._leadership = context.leadership
        self._request = request
        self._group_name = group_name(context.leadership, request)
        self._last_look = LastLook(context, request)

    @property
    def _plan(self) -> ReplacePlan:
        return ReplacePlan.parse(self._request.record.plan)

    async def _note(self, **changes: Any) -> None:
        await self._request.save(plan=self._plan.but(**changes))

    async def run(self) -> None:
        """Return when it is being terminated. Raises GaveUp."""
        for node in self._plan.remaining:
            if not await self._goes(node):
                await self._last_look.prepare(node)
                while not await self._intend(node):
                    await self._last_look.prepare(node)
                await self._call(node)
            await self._note(terminated=(node.instance_id,), intent=None)
            log.info("instance_terminated", request=self._request.id, instance=node.instance_id, node=node.name)

    async def _intend(self, node: DepartingNode) -> bool:
        """Journal that the call will be made. False: not yet, for meanwhile something runs there again, or misses."""
        now = self._leadership.clock.now()
        await self._note(intent=Intent(instance_id=node.instance_id, at=now))
        self._grace(node, anew=True)
        return await self._last_look.confirms(node)

    async def _call(self, node: DepartingNode) -> None:
        try:
            await self._leadership.change_groups.replace(node.instance_id)
        except Refused:
            await self._note(intent=None)  # it was certainly not done
            self._grace(node, anew=True)
            if not await self._goes(node):
                raise
        self._leadership.terminated[node.instance_id] = None

    async def _goes(self, node: DepartingNode) -> bool:
        """Whether the instance is on its way out already, by whatever hand.

        An intent of the worker before us may have been followed by its call, though no description shows it yet; and
        an instance that no description has may only be younger than that. Time tells, at most LAG.
        """

        async def looked() -> bool | None:
            activities = await self._leadership.groups.activities(self._group_name)
            if activities.fate_of(node.instance_id) is not None:
                return True
            group = await self._leadership.groups.describe(self._group_name)
            stays = any(each.id == node.instance_id for each in group.staying)
            if stays and self._plan.intent is None:
                return False
            return not stays if grace.passed else None

        if node.instance_id in self._leadership.terminated:
            return True
        grace = self._grace(node)
        with self._request.waiting_for(f"AWS to say what became of {node.name}", seconds=grace.remaining):
            gone = await self._leadership.poll(
                self._request.id, looked, every=TICK_SECONDS / 5, deadline=grace, on_events=False
            )
        if not gone and self._plan.intent is not None:
            await self._note(intent=None)  # time has told: it was not called for
        return bool(gone)

    def _grace(self, node: DepartingNode, *, anew: bool = False) -> Deadline:
        return self._leadership.grace(f"replacement of {node.instance_id}", LAG, anew=anew)

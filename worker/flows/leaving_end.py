"""The end of a departure: the node is removed once it is Down, or given back where AWS did not take the machine."""

from datetime import timedelta
from functools import partial

from shared.errors import Refused, Unavailable
from shared.records import State
from worker.decisions.leaving import KEPT, UNTAKEN
from worker.errors import GaveUp
from worker.flows.flow import Context
from worker.flows.give_back import give_back
from worker.flows.gone_nodes import remove_gone_node
from worker.flows.holding import let_go
from worker.flows.leaving_node import LeavingNode
from worker.leadership.deadline import Deadline
from worker.leadership.period import TICK_SECONDS
from worker.ports.scaling import Phase
from worker.requests import departures, happenings
from worker.requests.events import is_recommended
from worker.requests.owners import taken_by
from worker.requests.plans import LeavingPlan
from worker.requests.request import OpenRequest

SOON_SECONDS = 2.0
"""How soon a node is looked at again that is Down, while its instance still ends."""


class LeavingEnd:
    """The last step of `node-leaving`."""

    def __init__(self, context: Context, node: LeavingNode | None = None) -> None:
        """`node` sees to an engine that joins again; without it nobody does."""
        self._node = node
        self._context = context
        self._leadership = context.leadership
        self._down: set[str] = set()
        """Requests whose node was Down at the last look."""

    async def remove(self, request: OpenRequest) -> None:
        """Return when the record has its end."""
        plan = LeavingPlan.parse(request.record.plan)
        deadline = self._deadline(request, plan)

        removed = partial(self._removed, request, plan)
        with request.waiting_for(f"{plan.nodes[0].name} to be Down", seconds=deadline.remaining):
            if await self._leadership.poll(request.id, removed, every=partial(self._pause, request), deadline=deadline):
                if request.record.step == "remove":  # else another node has to be drained first
                    await self._ended(request, "its node is removed")
                return
        if await self._serves(plan):
            await give_back(self._context, request, plan)
            await self._ended(request, "AWS did not take the machine, so the node was given back")
        else:
            await self._ended(request, "its node is removed once it is Down")

    def _pause(self, request: OpenRequest) -> float:
        """Of a node that is Down, AWS says soon that its instance has ended; that it is, Swarm's events tell."""
        return SOON_SECONDS if request.id in self._down else TICK_SECONDS

    def retry_budget(self, request: OpenRequest) -> timedelta:
        """Until AWS may not take the machine any more; giving it back then may fail for a while, too."""
        plan = LeavingPlan.parse(request.record.plan)
        waits = KEPT if is_recommended(request.record) else _untaken(request, plan)
        return waits + self._leadership.settings.reschedule_timeout

    def _deadline(self, request: OpenRequest, plan: LeavingPlan) -> Deadline:
        """Until when AWS may take the machine."""
        if is_recommended(request.record):
            return self._leadership.deadline(request.entered("drain"), KEPT)
        return self._leadership.deadline(request.entered("remove"), _untaken(request, plan))

    async def fail(self, request: OpenRequest, reason: str) -> None:
        """It cannot go on. AWS takes the machine all the same, so its hook is completed."""
        try:
            await let_go(self._leadership, request, "CONTINUE")
        except (Unavailable, Refused) as error:
            reason = f"{reason}; its hook could not be completed either ({error}), and runs out by itself"
        plan = LeavingPlan.parse(request.record.plan)
        name = plan.nodes[0].name if plan.nodes else str(request.record.request.get("instance"))
        await request.end(State.FAILED, reason, happenings.left(request.record, name, "error", reason))

    async def _removed(self, request: OpenRequest, plan: LeavingPlan) -> bool | None:
        """Raises GaveUp where another departure has taken the node over: a recommendation gives way to it."""
        node_id, other = plan.nodes[0].node_id, taken_by(self._context.requests, request, plan.nodes[0])
        if other is not None and is_recommended(request.record):
            raise GaveUp(departures.taken_over(plan.nodes[0].name, other))
        nodes = await self._leadership.swarm.nodes()
        if self._node is not None and await self._node.joined_again(request, nodes):
            return True
        node = next((each for each in nodes if each.id == node_id), None)
        if node is None:
            return True
        if node.state != "down":
            self._down.discard(request.id)
            return None
        self._down.add(request.id)
        if await self._in_service(plan):
            return None
        return await remove_gone_node(self._leadership, request, node) or None

    async def _serves(self, plan: LeavingPlan) -> bool:
        """Whether the machine is still a member, and its node Ready."""
        nodes = await self._leadership.swarm.nodes()
        ready = any(each.id == plan.nodes[0].node_id and each.ready for each in nodes)
        return ready and await self._in_service(plan)

    async def _in_service(self, plan: LeavingPlan) -> bool:
        groups = {pool.group for pool in self._leadership.pools.values() if pool.group}
        members = await self._leadership.groups.members(groups) if groups else ()
        return any(each.id == plan.nodes[0].instance_id and each.phase is not Phase.LEAVING for each in members)

    async def _ended(self, request: OpenRequest, how: str) -> None:
        plan = LeavingPlan.parse(request.record.plan)
        name = plan.nodes[0].name
        message = happenings.leaving_over(request.record, name, plan.cut_off, how)
        if plan.cut_off:
            await request.end(State.FAILED, message, happenings.left(request.record, name, "error", message))
        else:
            await request.end(State.SUCCEEDED, message, happenings.left(request.record, name, "success", message))


def _untaken(request: OpenRequest, plan: LeavingPlan) -> timedelta:
    """From the beginning of the last step until a machine counts as not taken; its deadline may be still to come."""
    entered = request.entered("remove")
    return max((plan.until or entered) - entered, timedelta()) + UNTAKEN

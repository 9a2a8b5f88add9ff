"""A node whose machine EC2 recommends to replace: drained as for a scale-down, then given up to AWS, or given back.

Nothing is lost yet, so nothing is forced: the refusals of a scale-down count, and what does not move undoes it. The
group launches another machine by itself, and then takes this one; until it does, the node only stands empty. A cause
that cannot wait takes the node over meanwhile, and this request ends.
"""

from shared.at_once import AtOnce
from shared.records import State
from worker.decisions.leaving import RECOMMENDED
from worker.decisions.named import find, keeps
from worker.decisions.preflight import EVER, replace_obstacle
from worker.decisions.refusals import Refusal
from worker.flows.admission import paused
from worker.flows.drain import drain_asked_for
from worker.flows.flow import Context
from worker.flows.give_back import abandoned, give_back
from worker.flows.leaving_end import LeavingEnd
from worker.flows.named_node import Found, departing_node, pool_groups
from worker.requests import departures, happenings, owners, wording
from worker.requests.events import instance_of
from worker.requests.plans import LeavingPlan
from worker.requests.request import OpenRequest


class RecommendedLeaving:
    """The flow of `node-leaving` with such a cause, once nobody else sees to its instance."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._leadership = context.leadership
        self._end = LeavingEnd(context)

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request."""
        match request.record.step:
            case None:
                await self._begin(request)
            case "drain":
                await drain_asked_for(self._context, request).run()
                await request.enter("remove")
            case "remove":
                await self._end.remove(request)
            case "undo":
                await self._undo(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on; by way of undo, where its node was touched."""
        plan = LeavingPlan.parse(request.record.plan)
        if request.record.step in {"drain", "remove"}:
            await request.enter("undo", plan=plan.but(why=reason))
        else:
            await self._fail(request, wording.joined(plan.why, reason))

    async def _begin(self, request: OpenRequest) -> None:
        found = await self._found(request)
        why_not = await paused(self._leadership) or self._none_to_drain(request, found)
        if why_not is not None or found is None:
            await request.end(State.SKIPPED, why_not or "")
            return
        request.note(node=found.named.name)
        refusal = await self._refusal(found)
        if refusal is not None:
            await self._fail(request, happenings.not_left(found.named.name, refusal))
            return
        name = found.named.name
        plan = LeavingPlan().but(
            nodes=(departing_node(found.named),),
            chosen={name: RECOMMENDED},
            until=request.now() + self._leadership.settings.drain_timeout,
        )
        request.say(happenings.leaving(request.record, name, plan.until))
        await request.enter("drain", plan=plan, message=happenings.leaving_begun(request.record, name))

    async def _found(self, request: OpenRequest) -> Found | None:
        """The instance's node. None: it has none, or none that is known for sure."""
        async with AtOnce() as at_once:
            listed = at_once.ask(self._leadership.swarm.nodes())
            described = at_once.ask(pool_groups(self._leadership))
        nodes, groups = listed.result(), described.result()
        named = find(instance_of(request.record), nodes, groups)
        if isinstance(named, Refusal) or named.node is None or named.instance is None or named.instance.leaving:
            return None
        return Found(named, nodes, groups)

    @staticmethod
    def _none_to_drain(request: OpenRequest, found: Found | None) -> str | None:
        if found is None:
            return f"{instance_of(request.record)} is no member with a node of the Swarm: there is nothing to drain"
        group = found.groups[found.named.kind]
        if not group.rebalances:
            return (
                f"Capacity rebalance of Auto Scaling group {group.name} is off: it would not replace "
                f"{found.named.name}, which stays as it is"
            )
        return None

    async def _refusal(self, found: Found) -> str | None:
        """Why the node must not be drained now. That it is one node more for a while is the group's own doing."""
        named, swarm, groups = found.named, self._leadership.swarm, self._leadership.groups
        group = found.groups[named.kind]
        if named.node is not None and named.node.id == self._leadership.identity.node_id:
            return "the active worker runs there"
        async with AtOnce() as at_once:
            activities = at_once.ask(groups.activities(group.name))
            refreshing = at_once.ask(groups.refreshing(group.name))
            memory = at_once.ask(self._leadership.memory.of(named.kind))
            tasks, services = at_once.ask(swarm.tasks()), at_once.ask(swarm.services())
        since = memory.result().desired_at or EVER
        obstacle = keeps(named, found.groups, found.nodes, services.result(), tasks.result())
        obstacle = obstacle or replace_obstacle(group, activities.result(), refreshing.result(), since)
        return None if obstacle is None else obstacle.text

    async def _undo(self, request: OpenRequest) -> None:
        plan = LeavingPlan.parse(request.record.plan)
        await give_back(self._context, request, plan)
        other = next(
            filter(None, (owners.taken_by(self._context.requests, request, node) for node in plan.nodes)), None
        )
        if other is not None:
            name = plan.nodes[0].name
            message = departures.taken_over(name, other)
            await request.end(State.SUCCEEDED, message, happenings.left(request.record, name, "success", message))
        else:
            await self._fail(request, wording.joined(plan.why, await abandoned(self._leadership, plan)))

    async def _fail(self, request: OpenRequest, reason: str) -> None:
        name = request.record.node or instance_of(request.record)
        await request.end(State.FAILED, reason, happenings.left(request.record, name, "error", reason))

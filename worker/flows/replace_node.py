"""Replacing one node that somebody names: plan, drain, terminate, remove, wait, reschedule; undo before it goes.

The desired capacity stays: the group launches another instance for the one that goes. So bounds have no say, and no
cool-down begins; but the group must be able to launch as well as to terminate.
"""

from shared.at_once import AtOnce
from shared.records import State
from worker.decisions.named import not_replaceable
from worker.decisions.preflight import EVER, replace_obstacle, unit_refusal
from worker.decisions.readiness import expect
from worker.decisions.reasons import Reason
from worker.errors import GaveUp
from worker.flows.admission import admit, paused
from worker.flows.drain import drain_asked_for
from worker.flows.give_back import abandoned, give_back
from worker.flows.gone_nodes import remember_members
from worker.flows.join_wait import awaited
from worker.flows.named_node import Found, about, departing, fail, find_node
from worker.flows.nodes import NodeFlow, group_name, node_type
from worker.flows.refill_wait import RefillWait
from worker.flows.removal import remove_nodes
from worker.flows.replacement import Replacement
from worker.flows.survey import without_ended
from worker.requests import departures, wording
from worker.requests.plans import ReplacePlan, UpPlan
from worker.requests.request import OpenRequest


class ReplaceNode(NodeFlow):
    """The flow."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request, as far as it goes."""
        match request.record.step:
            case None:
                await self._admit(request)
            case "plan":
                await self._plan(request)
            case "drain":
                await drain_asked_for(self._context, request).run()
                await request.enter("terminate")
            case "terminate":
                await self._terminate(request)
            case "remove":
                await remove_nodes(self._context, request)
                seconds = self._leadership.settings.reschedule_timeout.total_seconds()
                await request.enter("wait", waits=awaited(request), seconds=seconds)
            case "wait":
                await RefillWait(self._context, request).run()
            case "reschedule":
                await self._reschedule(request)
            case "undo":
                await self._undo(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on; by way of undo, where the node was touched and its instance stays."""
        plan = self._answered(request)
        names = ", ".join(node.name for node in plan.nodes)
        match request.record.step:
            case None | "plan":
                await fail(request, reason)
            case "undo":
                told = departures.not_given_back(plan.why, names, reason)
                await fail(request, wording.joined(told, _unknown(plan)))
            case "remove":
                await fail(request, departures.not_removed(request.record.message, names, reason))
            case _ if plan.terminated:
                await fail(request, wording.joined(departures.replaced(names), reason))
            case _:
                await request.enter("undo", plan=plan.but(why=reason))

    async def _admit(self, request: OpenRequest) -> None:
        reason = await paused(self._leadership)
        if reason is not None:
            await request.end(State.SKIPPED, reason)
        else:
            await admit(self._leadership, request)

    # --- Before the termination ---------------------------------------------------------------------------------

    async def _plan(self, request: OpenRequest) -> None:
        found = await find_node(self._context, request)
        await self._check_group(request, found)
        leaving, tasks = await departing(self._context, request, found)
        group, kind = found.groups[found.named.kind], found.named.kind
        await remember_members(self._leadership, kind, group)
        others = without_ended(group, await self._leadership.groups.activities(group.name), {leaving.instance_id})
        settings, now = self._leadership.settings, self._leadership.clock.now()
        expectation = expect(
            group.desired, group.desired, others, found.nodes, kind, now, settings.reschedule_timeout
        ).but(matching="matched")
        until = now + settings.drain_timeout
        request.say(about(request, "pending", departures.replacing(leaving.name, tasks, until)))
        plan = ReplacePlan().but(nodes=(leaving,), chosen={leaving.name: "it was asked for"})
        await request.enter(
            "drain",
            nodes_before=group.desired,
            nodes_after=group.desired,
            message=departures.replacing(leaving.name, tasks, until),
            plan=UpPlan.parse(plan.document()).but(expectation=expectation),
        )

    async def _check_group(self, request: OpenRequest, found: Found) -> None:
        """Raises GaveUp where the group cannot replace the instance now, or the instance must not go."""
        name = group_name(self._leadership, request)
        async with AtOnce() as at_once:
            reading = at_once.ask(self._leadership.groups.activities(name))
            refreshing = at_once.ask(self._leadership.groups.refreshing(name))
            remembering = at_once.ask(self._leadership.memory.of(node_type(request)))
        group, activities, memory = found.groups[found.named.kind], reading.result(), remembering.result()
        unit = unit_refusal(group)
        if unit is not None:
            raise GaveUp(unit, Reason.WEIGHTED)
        obstacle = not_replaceable(
            found.named,
            found.nodes,
            found.groups,
            ending={*activities.ended, *self._leadership.terminated},
            joined_by=self._leadership.clock.now() - self._leadership.settings.reschedule_timeout,
        )
        obstacle = obstacle or replace_obstacle(group, activities, refreshing.result(), memory.desired_at or EVER)
        if obstacle is not None:
            raise GaveUp(obstacle.text, obstacle.reason)

    async def _undo(self, request: OpenRequest) -> None:
        plan = ReplacePlan.parse(request.record.plan)
        await give_back(self._context, request, plan)
        await fail(request, wording.joined(plan.why, _unknown(plan), await abandoned(self._leadership, plan)))

    def _answered(self, request: OpenRequest) -> ReplacePlan:
        """The plan, with the termination that AWS has confirmed though nobody could write that down."""
        plan = ReplacePlan.parse(request.record.plan)
        if plan.intent is None or plan.intent.instance_id not in self._leadership.terminated:
            return plan
        plan = plan.but(terminated=(plan.intent.instance_id,), intent=None)
        request.note(plan=plan.document())
        return plan

    # --- From the termination on --------------------------------------------------------------------------------

    async def _terminate(self, request: OpenRequest) -> None:
        await Replacement(self._context, request).run()
        (node,) = ReplacePlan.parse(request.record.plan).nodes
        message = departures.replaced(node.name)
        total = int(request.record.nodes_after or 0)
        request.say(about(request, "pending", wording.joined(message, wording.refilling(node_type(request), total))))
        applied = UpPlan.parse(request.record.plan).but(applied_at=self._leadership.clock.now())
        await request.enter("remove", message=message, plan=applied)

    async def _reschedule(self, request: OpenRequest) -> None:
        with request.waiting_for("the labelled services to be updated"):
            result = await self._context.batches.serve(request)
        plan = UpPlan.parse(request.record.plan)
        summary = wording.ready(node_type(request), plan.ready, result.succeeded, result.failed, result.passed_over)
        (node,) = ReplacePlan.parse(request.record.plan).nodes
        message = wording.joined(departures.replaced(node.name), summary, wording.not_counted(plan.not_counted))
        if result.failed:
            await fail(request, message)
        else:
            await request.end(State.SUCCEEDED, message, about(request, "success", message))


def _unknown(plan: ReplacePlan) -> str:
    """A termination was asked for, and AWS did not say what became of it."""
    return "" if plan.intent is None else departures.perhaps_terminated(plan.intent.instance_id)

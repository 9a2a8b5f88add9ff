"""Scaling nodes down: plan, drain, terminate, remove; and undo, when it cannot be done.

Exactly the chosen instances go, after everything that ran on them runs elsewhere. Whatever fails before the last of
them is terminated leads into `undo`, which gives the others back as they were and never leads anywhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import structlog

from shared.at_once import AtOnce
from shared.errors import Refused, Unavailable
from shared.records import State
from worker.decisions.preflight import down_refusal
from worker.decisions.readiness import up_count
from worker.decisions.refusals import Refusal
from worker.decisions.victims import Choice, choose
from worker.errors import GaveUp
from worker.flows.drain import drain_asked_for
from worker.flows.give_back import abandoned, give_back
from worker.flows.nodes import NodeFlow, fail, group_name, headline, node_type
from worker.flows.planning import plan
from worker.flows.removal import remove_nodes
from worker.flows.survey import Survey, permit, snapshot
from worker.flows.terminate import Termination
from worker.ports.swarm import Node
from worker.requests import departures, owners, wording
from worker.requests.plans import DepartingNode, DownPlan
from worker.requests.request import OpenRequest

log = structlog.get_logger()

MOST_PASSED_OVER = 20
"""So many of those that were passed over stand in the plan."""


class ScaleDown(NodeFlow):
    """The flow of one direction."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request, as far as it goes."""
        match request.record.step:
            case None | "plan":
                await self._plan(request)
            case "drain":
                await drain_asked_for(self._context, request).run()
                await request.enter("terminate")
            case "terminate":
                await Termination(self._context, request).run()
                await request.enter("remove")
            case "remove":
                await remove_nodes(self._context, request)
                await self._succeed(request)
            case "undo":
                await self._undo(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on; by way of undo, where nodes were touched."""
        down = await self._answered(request)
        match request.record.step:
            case None | "plan":
                await self._fail(request, reason)
            case "undo":
                told = departures.not_given_back(down.why, _names(down.remaining), reason)
                await self._fail(request, wording.joined(told, _partly(down), _unknown(down)))
            case "remove":
                names = _names(down.nodes)
                await self._fail(request, departures.not_removed(request.record.message, names, reason))
            case _:
                await request.enter("undo", plan=down.but(why=reason))

    async def _plan(self, request: OpenRequest) -> None:
        planned = await plan(self._context, request)
        if planned is None:
            return
        survey, target = planned
        count = target.before - target.after
        permit(survey, partial(down_refusal, count=count))
        choice = await self._choose(request, survey, count)
        by_id = {node.id: node for node in survey.nodes}
        changing = wording.changing(node_type(request), target.before, target.after)
        limit = "" if target.limited_by is None else wording.limited(survey.limits.by, "down", target.limited_by)
        line = wording.nodes_request("down", survey.limits.by, node_type(request))
        request.say(wording.nodes("success", line, changing))
        await request.enter(
            "drain",
            by=survey.limits.by,
            nodes_before=target.before,
            nodes_after=target.after,
            limited_by=target.limited_by,
            message=wording.joined(changing, limit, choice.remark),
            warnings=survey.warnings,
            plan=DownPlan.parse(request.record.plan).but(**_chosen(choice, by_id)),
        )

    async def _choose(self, request: OpenRequest, survey: Survey, count: int) -> Choice:
        """The victims, managers' leader last. Raises GaveUp where there are none, or they must not go."""
        async with AtOnce() as at_once:
            tasks = at_once.ask(self._leadership.swarm.tasks())
            services = at_once.ask(self._leadership.swarm.services())
        group = owners.without_leaving(self._context.requests, survey.group)
        of = snapshot(self._leadership, survey.kind, group, survey.nodes, tasks.result(), services.result())
        chosen = choose(count, of)
        if isinstance(chosen, Refusal):
            raise GaveUp(chosen.reason)
        leaders = {node.id for node in survey.nodes if node.manager is not None and node.manager.leader}
        return replace(chosen, victims=tuple(sorted(chosen.victims, key=lambda each: each.node_id in leaders)))

    async def _succeed(self, request: OpenRequest) -> None:
        down, kind = DownPlan.parse(request.record.plan), node_type(request)
        await self._leadership.memory.update(kind, down_ended_at=self._leadership.clock.now())
        summary = departures.removed(kind, await self._up(request), [node.name for node in down.nodes])
        alert = wording.nodes("success", headline(self._leadership, request), summary)
        # More than was planned, where somebody raised the group meanwhile.
        after = request.record.nodes_after if down.desired_after is None else down.desired_after
        await request.end(State.SUCCEEDED, wording.joined(request.record.message, summary), alert, nodes_after=after)

    async def _up(self, request: OpenRequest) -> int | None:
        """How many nodes of the group are up now. None: it cannot be seen, and nothing waits for that."""
        try:
            async with AtOnce() as at_once:
                group = at_once.ask(self._leadership.groups.describe(group_name(self._leadership, request)))
                listed = at_once.ask(self._leadership.swarm.nodes())
            return up_count(group.result(), listed.result(), node_type(request))
        except (Unavailable, Refused) as error:
            log.warning("nodes_not_counted", request=request.id, error=str(error))
            return None

    async def _undo(self, request: OpenRequest) -> None:
        down = DownPlan.parse(request.record.plan)
        await give_back(self._context, request, down)
        terminated = _terminated(down)
        if terminated:
            await self._leadership.memory.update(node_type(request), down_ended_at=self._leadership.clock.now())
        empty = await abandoned(self._leadership, down)
        await self._fail(request, wording.joined(down.why, _partly(down), _unknown(down), empty))

    async def _answered(self, request: OpenRequest) -> DownPlan:
        """The plan, with the termination that AWS has confirmed though nobody could write that down: now it must be."""
        down = DownPlan.parse(request.record.plan)
        intent, known = down.intent, self._leadership.terminated
        if intent is None or intent.instance_id not in known or intent.instance_id in down.terminated:
            return down
        told = known[intent.instance_id]
        desired = intent.desired - 1 if told is None else told
        await self._context.capacity.changed(node_type(request), desired, just_now=told is not None)
        down = down.but(terminated=(*down.terminated, intent.instance_id), intent=None, desired_after=desired)
        request.note(plan=down.document())
        return down

    async def _fail(self, request: OpenRequest, message: str) -> None:
        """With the desired capacity as AWS told it of our newest termination; without one nothing was changed."""
        down = DownPlan.parse(request.record.plan)
        ours = _terminated(down)
        await fail(self._leadership, request, message, down.desired_after if ours else request.record.nodes_before)


def _names(departing: Sequence[DepartingNode]) -> str:
    return ", ".join(node.name for node in departing)


def _terminated(down: DownPlan) -> list[str]:
    """The names of those that we have terminated."""
    return [node.name for node in down.nodes if node not in down.remaining and node.name not in down.lost]


def _partly(down: DownPlan) -> str:
    names = ", ".join(_terminated(down))
    return f"{names} had been terminated before" if names else ""


def _unknown(down: DownPlan) -> str:
    """A termination was asked for, and AWS did not say what became of it."""
    if down.intent is None or down.intent.instance_id in down.terminated:
        return ""
    return departures.perhaps_terminated(down.intent.instance_id)


def _chosen(choice: Choice, by_id: Mapping[str, Node]) -> dict[str, Any]:
    """What a plan keeps of the choice: the nodes as they are, why each was chosen, and who was passed over."""
    return {
        "nodes": tuple(
            DepartingNode.of(victim.instance_id, victim.name, by_id.get(victim.node_id or ""))
            for victim in choice.victims
        ),
        "chosen": {victim.name: victim.why for victim in choice.victims},
        "passed_over": tuple(asdict(each) for each in choice.passed_over[:MOST_PASSED_OVER]),
    }

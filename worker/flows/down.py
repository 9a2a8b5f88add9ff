"""Scaling nodes down: plan, drain, terminate, remove; and undo, when it cannot be done.

Exactly the chosen instances go, after everything that ran on them runs elsewhere. Whatever fails before the last of
them is terminated leads into `undo`, which gives the others back as they were and is never left forwards.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from shared.errors import NotFound, Refused
from shared.records import State
from worker.decisions.preflight import down_refusal
from worker.decisions.victims import Choice, Refusal, choose
from worker.errors import GaveUp
from worker.flows.drain import DepartingNode, Drain, abandoned, give_back, leaving, remaining
from worker.flows.planning import Planning, Survey, node_type
from worker.flows.terminate import Termination
from worker.leadership.period import Leadership
from worker.ports.swarm import Node
from worker.requests import wording
from worker.requests.request import OpenRequest

log = structlog.get_logger()

MOST_PASSED_OVER = 20
"""So many of those that were passed over are kept in a plan, the cheapest first."""
REMOVE_WAIT = timedelta(seconds=120)
"""An instance may take a while to shut down, and Swarm to notice; then the node is removed by force."""


class ScaleDown:
    """The flow of one direction."""

    def __init__(self, leadership: Leadership, planning: Planning) -> None:
        self._leadership = leadership
        self._planning = planning

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request, as far as it goes."""
        match request.record.step:
            case None:
                await self._planning.admit(request)
            case "plan":
                await self._plan(request)
            case "drain":
                await Drain(self._leadership, request).run()
                await request.enter("terminate")
            case "terminate":
                await Termination(self._leadership, self._planning, request).run()
                await request.enter("remove")
            case "remove":
                await self._remove(request)
            case "undo":
                await self._undo(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a job that cannot go on; by way of undo, where nodes were touched."""
        match request.record.step:
            case "drain" | "terminate":
                await request.enter("undo", notes={"why": reason})
            case "undo":
                names = ", ".join(node.name for node in remaining(request))
                await self._planning.fail(
                    request,
                    f"{request.plan['why']}; and {names} could not be given back: {reason}. Look at `docker node ls`, "
                    "and give them back with `docker node update --availability active` (and `docker node promote`)",
                )
            case "remove":
                names = ", ".join(node.name for node in leaving(request))
                await self._planning.fail(
                    request,
                    f"{request.record.message}; {names} terminated, but not removed from the Swarm: {reason}. "
                    "The next node scale removes them, or `docker node rm --force` does",
                )
            case _:
                await self._planning.fail(request, reason)

    def retry_budget(self, request: OpenRequest) -> timedelta:
        """How long a step may go on failing."""
        return self._planning.retry_budget(request)

    # --- plan ---------------------------------------------------------------------------------------------------

    async def _plan(self, request: OpenRequest) -> None:
        decided = await self._planning.target(request)
        if decided is None:
            return
        survey, found = decided
        count = found.before - found.after
        await self._planning.permit(survey, partial(down_refusal, count=count))
        choice = await self._choose(request, survey, count)
        by_id = {node.id: node for node in survey.nodes}
        changing = wording.changing(node_type(request), found.before, found.after)
        headline = wording.nodes_request("down", survey.limits.by, node_type(request))
        request.say(wording.nodes("success", headline, changing))
        await request.enter(
            "drain",
            by=survey.limits.by,
            nodes_before=found.before,
            nodes_after=found.after,
            message=wording.joined(changing, choice.remark),
            warnings=survey.warnings,
            notes=_chosen(choice, by_id),
        )

    async def _choose(self, request: OpenRequest, survey: Survey, count: int) -> Choice:
        """The victims, managers' leader last. Raises GaveUp where there are none, or they must not go."""
        tasks, services = await self._leadership.swarm.tasks(), await self._leadership.swarm.services()
        chosen = choose(
            count,
            group=survey.group,
            nodes=survey.nodes,
            tasks=tasks,
            services=services,
            node_type=node_type(request),
            own_node_id=self._leadership.identity.node_id,
            now=self._leadership.clock.now(),
            join_timeout=self._leadership.settings.reschedule_timeout,
        )
        if isinstance(chosen, Refusal):
            raise GaveUp(chosen.reason)
        leaders = {node.id for node in survey.nodes if node.manager is not None and node.manager.leader}
        return replace(chosen, victims=tuple(sorted(chosen.victims, key=lambda each: each.node_id in leaders)))

    # --- remove -------------------------------------------------------------------------------------------------

    async def _remove(self, request: OpenRequest) -> None:
        limit = self._leadership.deadline(request.moment("remove"), REMOVE_WAIT)
        waiting = {node.node_id: node.name for node in leaving(request) if node.node_id is not None}
        while waiting:
            generation = self._leadership.events.generation
            await self._planning.observe(request)
            present = {node.id: node for node in await self._leadership.swarm.nodes()}
            for node_id in list(waiting):
                node = present.get(node_id)
                if node is None or node.state == "down" or limit.passed:
                    await self._remove_node(node_id, force=limit.passed)
                    del waiting[node_id]
            if waiting:
                await self._leadership.pause(request.id, generation, limit.remaining)
        await self._done(request)

    async def _remove_node(self, node_id: str, *, force: bool) -> None:
        try:
            await self._leadership.change_swarm.remove_node(node_id, force=force)
        except NotFound:
            return
        except Refused as error:
            log.warning("node_not_removed", node=node_id, error=str(error))
            await self._leadership.change_swarm.remove_node(node_id, force=True)

    async def _done(self, request: OpenRequest) -> None:
        await self._leadership.memory.update(node_type(request), down_ended_at=self._leadership.clock.now())
        names = [node.name for node in leaving(request)]
        # `left` is more than was planned where somebody raised the group meanwhile.
        summary = wording.removed(
            node_type(request), int(request.plan.get("left", request.record.nodes_after or 0)), names
        )
        alert = wording.nodes("success", self._planning.request(request), summary)
        await request.end(State.SUCCEEDED, wording.joined(request.record.message, summary), alert)

    # --- undo ---------------------------------------------------------------------------------------------------

    async def _undo(self, request: OpenRequest) -> None:
        await give_back(self._leadership, request)
        standing, lost = remaining(request), request.plan.get("lost", ())
        terminated = [node.name for node in leaving(request) if node not in standing and node.name not in lost]
        partly = f"{', '.join(terminated)} had been terminated before" if terminated else ""
        if terminated:
            await self._leadership.memory.update(node_type(request), down_ended_at=self._leadership.clock.now())
        empty = await abandoned(self._leadership, request)
        await self._planning.fail(request, wording.joined(request.plan["why"], partly, _unknown(request), empty))


def _unknown(request: OpenRequest) -> str:
    """A termination was asked for, and AWS did not say what became of it."""
    intent = request.plan.get("intent")
    gone = request.plan.get("terminated", ())
    if intent is None or intent["instance_id"] in gone:
        return ""
    return f"AWS may have terminated {intent['instance_id']} all the same: look at the group's activities"


def _chosen(choice: Choice, by_id: Mapping[str, Node]) -> dict[str, Any]:
    """What a plan keeps of the choice: the nodes as they are, why each was chosen, and who was passed over."""
    return {
        "leaving": [DepartingNode.of(victim, by_id).document() for victim in choice.victims],
        "chosen": {victim.name: victim.why for victim in choice.victims},
        "passed_over": [asdict(each) for each in choice.passed_over[:MOST_PASSED_OVER]],
    }

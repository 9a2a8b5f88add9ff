"""Scaling nodes down: plan, drain, terminate, remove; and undo, when it cannot be done.

Exactly the chosen instances go, after everything that ran on them runs elsewhere. Whatever fails before the last of
them is terminated leads into `undo`, which gives the others back as they were and is never left forwards.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import structlog

from shared.errors import NotFound, Refused
from shared.records import State
from worker import notices
from worker.drain import Drain, Leaving, give_back, leaving, left_standing
from worker.errors import GaveUp
from worker.fit import obstacles
from worker.job import Job
from worker.planning import Planning, Survey, node_type
from worker.preflight import down_refusal
from worker.quorum import demotions_refusal
from worker.term import Term
from worker.termination import Termination
from worker.victims import Refusal, Victim, choose

log = structlog.get_logger()

REMOVE_WAIT = timedelta(seconds=120)
"""An instance may take a while to shut down, and Swarm to notice; then the node is removed by force."""


class ScaleDown:
    """The flow of one direction."""

    def __init__(self, term: Term, planning: Planning) -> None:
        self._term = term
        self._planning = planning

    async def step(self, job: Job) -> None:
        """Do the present step of a job, as far as it goes."""
        match job.record.step:
            case None:
                await self._planning.admit(job)
            case "plan":
                await self._plan(job)
            case "drain":
                await Drain(self._term, job).run()
                await job.enter("terminate")
            case "terminate":
                await Termination(self._term, self._planning, job).run()
                await job.enter("remove")
            case "remove":
                await self._remove(job)
            case "undo":
                await self._undo(job)

    async def give_up(self, job: Job, reason: str) -> None:
        """End a job that cannot go on; by way of undo, where nodes were touched."""
        match job.record.step:
            case "drain" | "terminate":
                await job.enter("undo", notes={"why": reason})
            case "undo":
                names = ", ".join(node.name for node in left_standing(job))
                await self._planning.fail(
                    job,
                    f"{job.plan['why']}; and {names} could not be given back: {reason}. Look at `docker node ls`, and "
                    "give them back with `docker node update --availability active` (and `docker node promote`)",
                )
            case "remove":
                names = ", ".join(node.name for node in leaving(job))
                await self._planning.fail(
                    job,
                    f"{job.record.message}; {names} terminated, but not removed from the Swarm: {reason}. "
                    "The next node scale removes them, or `docker node rm --force` does",
                )
            case _:
                await self._planning.fail(job, reason)

    def patience(self, job: Job) -> timedelta:
        """How long a step may go on failing."""
        return self._planning.patience(job)

    # --- plan ---------------------------------------------------------------------------------------------------

    async def _plan(self, job: Job) -> None:
        decided = await self._planning.target(job)
        if decided is None:
            return
        survey, found = decided
        count = found.before - found.after
        await self._planning.permit(survey, partial(down_refusal, count=count))
        victims = await self._choose(job, survey, count)
        by_id = {node.id: node for node in survey.nodes}
        changing = notices.changing(node_type(job), found.before, found.after)
        request = notices.nodes_request("down", survey.limits.by, node_type(job))
        job.say(notices.nodes("success", request, changing))
        await job.enter(
            "drain",
            by=survey.limits.by,
            nodes_before=found.before,
            nodes_after=found.after,
            message=changing,
            warnings=survey.warnings,
            notes={"leaving": [Leaving.of(victim, by_id).document() for victim in victims]},
        )

    async def _choose(self, job: Job, survey: Survey, count: int) -> Sequence[Victim]:
        """The victims, managers' leader last. Raises GaveUp where there are none, or they must not go."""
        tasks, services = await self._term.swarm.tasks(), await self._term.swarm.services()
        chosen = choose(
            count,
            group=survey.group,
            nodes=survey.nodes,
            tasks=tasks,
            services=services,
            node_type=node_type(job),
            own_node_id=self._term.identity.node_id,
            now=self._term.clock.now(),
            join_timeout=self._term.settings.reschedule_timeout,
        )
        if isinstance(chosen, Refusal):
            raise GaveUp(chosen.reason)
        leaders = {node.id for node in survey.nodes if node.manager is not None and node.manager.leader}
        ordered = sorted(chosen, key=lambda victim: victim.node_id in leaders)
        ids = [victim.node_id for victim in ordered if victim.node_id is not None]
        reasons = obstacles(ids, nodes=survey.nodes, services=services, tasks=tasks)
        quorum = demotions_refusal(survey.nodes, ids)
        if reasons or quorum:
            raise GaveUp(quorum or _would_not_fit(ordered, reasons))
        return ordered

    # --- remove -------------------------------------------------------------------------------------------------

    async def _remove(self, job: Job) -> None:
        limit = self._term.countdown(job.moment("remove"), REMOVE_WAIT)
        waiting = {node.node_id: node.name for node in leaving(job) if node.node_id is not None}
        while waiting:
            mark = self._term.watch.mark()
            await self._planning.glance(job)
            present = {node.id: node for node in await self._term.swarm.nodes()}
            for node_id in list(waiting):
                node = present.get(node_id)
                if node is None or node.state == "down" or limit.over:
                    await self._remove_node(node_id, force=limit.over)
                    del waiting[node_id]
            if waiting:
                await self._term.pause(job, mark, limit.left)
        await self._done(job)

    async def _remove_node(self, node_id: str, *, force: bool) -> None:
        try:
            await self._term.change_swarm.remove_node(node_id, force=force)
        except NotFound:
            return
        except Refused as error:
            log.warning("node_not_removed", node=node_id, error=str(error))
            await self._term.change_swarm.remove_node(node_id, force=True)

    async def _done(self, job: Job) -> None:
        await self._term.memory.update(node_type(job), down_ended_at=self._term.clock.now())
        names = [node.name for node in leaving(job)]
        # `left` is more than was planned where somebody raised the group meanwhile.
        summary = notices.removed(node_type(job), int(job.plan.get("left", job.record.nodes_after or 0)), names)
        alert = notices.nodes("success", self._planning.request(job), summary)
        await job.end(State.SUCCEEDED, notices.joined(job.record.message, summary), alert)

    # --- undo ---------------------------------------------------------------------------------------------------

    async def _undo(self, job: Job) -> None:
        await give_back(self._term, job)
        standing, lost = left_standing(job), job.plan.get("lost", ())
        terminated = [node.name for node in leaving(job) if node not in standing and node.name not in lost]
        partly = f"{', '.join(terminated)} had been terminated before" if terminated else ""
        if terminated:
            await self._term.memory.update(node_type(job), down_ended_at=self._term.clock.now())
        await self._planning.fail(job, notices.joined(job.plan["why"], partly, _unknown(job)))


def _unknown(job: Job) -> str:
    """A termination was asked for, and AWS did not say what became of it."""
    intent = job.plan.get("intent")
    gone = job.plan.get("terminated", ())
    if intent is None or intent["instance_id"] in gone:
        return ""
    return f"AWS may have terminated {intent['instance_id']} all the same: look at the group's activities"


def _would_not_fit(victims: Sequence[Victim], reasons: Sequence[str]) -> str:
    names = ", ".join(victim.name for victim in victims)
    shown = "; ".join(reasons[:5]) + (f"; and {len(reasons) - 5} more" if len(reasons) > 5 else "")
    return (
        f"Nothing was removed: what runs on {names} would not run elsewhere: {shown}. "
        "Make room (or wait), then repeat the request"
    )

"""Terminating: exactly the chosen instances, one at a time, each with its part of the desired capacity.

The intent is journaled before each call. Who finds an intent does not know whether the call was made: it looks at
the instance. One that is leaving or gone is never called for again, and never replaced by a second victim; whether
it was our call that ended it, the desired capacity and the group's activities tell.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog

from shared.clock import parse_rfc3339, rfc3339
from shared.errors import NotFound, Refused
from worker.drain import Drain, Leaving, left_standing
from worker.errors import GaveUp
from worker.identity import matched
from worker.job import Job
from worker.planning import LAG, Planning, node_type
from worker.ports import Group
from worker.quorum import demotion_refusal
from worker.term import TICK_SECONDS, Countdown, Term

log = structlog.get_logger()


class Termination:
    """Terminates what is left standing of a job's nodes."""

    def __init__(self, term: Term, planning: Planning, job: Job) -> None:
        self._term = term
        self._planning = planning
        self._job = job
        self._group_name = planning.group_name(job)

    async def run(self) -> None:
        """Return when all are terminated. Raises GaveUp."""
        for node in left_standing(self._job):
            intent = self._job.plan.get("intent")
            if intent is not None and intent["instance_id"] == node.instance_id and await self._was_called(node):
                await self._count(node, intent)
                continue
            await self._prepare(node)
            intent = await self._intend(node)
            await self._call(node)
            await self._count(node, intent)

    async def _prepare(self, node: Leaving) -> None:
        """The last look, and for a manager the demotion: as late as can be."""
        await self._look(node)
        if node.manager and node.node_id is not None:
            await self._demote(node)
            await self._look(node)  # a demotion may take long

    async def _look(self, node: Leaving) -> None:
        """Once more, for since the drain there may have been a take-over, or another node may have died."""
        if node.node_id is None and await self._has_joined(node):
            raise GaveUp(f"{node.name} has joined the Swarm after all: it stays. Repeat the request")
        await Drain(self._term, self._job).emptied()

    async def _has_joined(self, node: Leaving) -> bool:
        """An instance that was chosen because it had not: it may only have been slow."""
        group = await self._term.groups.describe(self._group_name)
        return node.instance_id in matched(await self._term.swarm.nodes(), group.instances)

    async def _demote(self, node: Leaving) -> None:
        refusal = demotion_refusal(await self._term.swarm.nodes(), str(node.node_id))
        if refusal is not None:
            raise GaveUp(refusal)
        limit = self._term.countdown(await self._demoted_at(node), self._term.settings.drain_timeout)
        try:
            await self._term.change_swarm.update_node(str(node.node_id), role="worker")
        except NotFound:
            return
        while True:
            mark = self._term.watch.mark()
            nodes = await self._term.swarm.nodes()
            if all(present.manager is None for present in nodes if present.id == node.node_id):
                return
            if limit.over:
                raise GaveUp(
                    f"{node.name} was demoted, but is still a manager after {limit.length:.0f} seconds. "
                    "Look at `docker node ls`, then repeat the request"
                )
            await self._term.pause(self._job, mark, limit.left, 1.0)

    async def _demoted_at(self, node: Leaving) -> datetime:
        """When the demotion began, journaled before it does: the worker before us may have begun it."""
        known: Mapping[str, str] = self._job.plan.get("demoted", {})
        if node.instance_id not in known:
            known = {**known, node.instance_id: rfc3339(self._term.clock.now())}
            await self._job.note(demoted=known)
        return parse_rfc3339(known[node.instance_id])

    async def _intend(self, node: Leaving) -> dict[str, Any]:
        group, present = await self._planning.look(self._job)
        if not any(each.id == node.instance_id for each in group.staying) or await self._is_recorded(node):
            raise GaveUp(
                f"Somebody else is terminating {node.name}, or took it out of {group.name}, while it was drained: "
                f"the desired capacity of {group.name} is {group.desired}, {self._job.record.nodes_after} was asked "
                f"for. Repeat the request if there are still too many {node_type(self._job)} nodes"
            )
        intent = {
            "instance_id": node.instance_id,
            "desired": present,
            "at": rfc3339(self._term.clock.now()),
        }
        await self._job.note(intent=intent)
        self._unseen(node)
        return intent

    def _unseen(self, node: Leaving) -> Countdown:
        """For how long a call for this instance may have been made though Describe does not show it.

        By the loop's time, for a wall clock that steps must not shorten it. An intent of the worker before us
        counts from our first look: a second call for an instance that is going already could lower the capacity twice.
        """
        return self._term.lag_of(f"termination of {node.instance_id} for {self._job.id}", LAG)

    async def _call(self, node: Leaving) -> None:
        try:
            await self._term.change_groups.terminate(node.instance_id)
        except Refused:
            await self._job.note(intent=None)  # it was certainly not done
            raise

    async def _was_called(self, node: Leaving) -> bool:
        """Whether the instance is on its way out by our call. Raises GaveUp where somebody else ended it.

        An instance that looks untouched was either not called for, or Describe lags: only time tells them apart.
        """
        limit = self._unseen(node)
        while True:
            mark = self._term.watch.mark()
            if await self._is_recorded(node):
                return True
            group = await self._term.groups.describe(self._group_name)
            present = next((each for each in group.instances if each.id == node.instance_id), None)
            if present is None or present.leaving:
                return await self._ours(node, group)
            if limit.over:
                return False
            await self._term.pause(self._job, mark, limit.left, TICK_SECONDS / 5)

    async def _ours(self, node: Leaving, group: Group) -> bool:
        if await self._is_recorded(node):
            return True
        await self._job.note(
            terminated=[*self._job.plan.get("terminated", ()), node.instance_id],
            lost=[*self._job.plan.get("lost", ()), node.name],
        )
        expected = int(self._job.plan["intent"]["desired"]) - 1
        raise GaveUp(
            f"Somebody else terminated {node.name} while it was being removed: the desired capacity of "
            f"{group.name} is {group.desired}, not {expected}. Repeat the request if there are still too many "
            f"{node_type(self._job)} nodes"
        )

    async def _is_recorded(self, node: Leaving) -> bool:
        """A termination that shrank the group by this instance. It is recorded at once, even while Describe lags."""
        activities = await self._term.groups.activities(self._group_name)
        return any(node.instance_id in each.description and each.lowers_capacity for each in activities)

    async def _count(self, node: Leaving, intent: Mapping[str, Any]) -> None:
        await self._planning.changed(node_type(self._job), int(intent["desired"]) - 1)
        terminated = [*self._job.plan.get("terminated", ()), node.instance_id]
        await self._job.save(plan={**self._job.plan, "terminated": terminated, "intent": None})
        log.info("instance_terminated", request=self._job.id, instance=node.instance_id, node=node.name)

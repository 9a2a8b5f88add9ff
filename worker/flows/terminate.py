"""Terminating: exactly the chosen instances, one at a time, each with its part of the desired capacity.

The intent is journaled before each call. Who finds an intent does not know whether the call was made: it looks at
the instance. One that is leaving or gone is never called for again, and never replaced by a second victim; whether
it was our call that ended it, the desired capacity and the group's activities tell.
"""

from collections.abc import Mapping
from datetime import datetime

import structlog

from shared.clock import parse_rfc3339, rfc3339
from shared.errors import NotFound, Refused, Unavailable
from worker.decisions.matching import claimants
from worker.decisions.quorum import demotion_refusal
from worker.errors import GaveUp
from worker.flows.drain import DepartingNode, Drain, remaining
from worker.flows.planning import LAG, STALE_SECONDS, Planning, node_type
from worker.leadership.deadline import Deadline
from worker.leadership.period import TICK_SECONDS, Leadership
from worker.ports.scaling import Fate, Group, Instance
from worker.requests.request import OpenRequest

log = structlog.get_logger()


class Termination:
    """Terminates what is left standing of a job's nodes."""

    def __init__(self, leadership: Leadership, planning: Planning, request: OpenRequest) -> None:
        self._leadership = leadership
        self._planning = planning
        self._request = request
        self._group_name = planning.group_name(request)

    async def run(self) -> None:
        """Return when all are terminated. Raises GaveUp."""
        if self._request.plan.get("lost"):
            raise GaveUp(self._request.plan["why"])  # the worker before us had written that down, and came no further
        for node in remaining(self._request):
            intent = self._request.plan.get("intent")
            if intent is not None and intent["instance_id"] == node.instance_id:
                left = await self._left_by_call(node)
                if left is not None:
                    await self._count(node, left, just_now=False)
                    continue
                await self._request.note(intent=None)  # time has told
            await self._prepare(node)
            while not await self._intend(node):
                await self._prepare(node)
            await self._count(node, await self._call(node), just_now=True)

    async def _prepare(self, node: DepartingNode) -> None:
        """The last look, and for a manager the demotion: as late as can be."""
        await self._look(node)
        if node.manager and node.node_id is not None:
            await self._demote(node)
            await self._look(node)  # a demotion may take long

    async def _look(self, node: DepartingNode) -> None:
        """Once more, for since the drain there may have been a take-over, or another node may have died."""
        if node.node_id is None and await self._has_joined(node):
            raise GaveUp(f"{node.name} has joined the Swarm after all: it stays. Repeat the request")
        await Drain(self._leadership, self._request).emptied()

    async def _has_joined(self, node: DepartingNode) -> bool:
        """An instance that was chosen because it had not: it may only have been slow."""
        group = await self._leadership.groups.describe(self._group_name)
        return node.instance_id in claimants(await self._leadership.swarm.nodes(), group.instances)

    async def _demote(self, node: DepartingNode) -> None:
        refusal = demotion_refusal(await self._leadership.swarm.nodes(), str(node.node_id))
        if refusal is not None:
            raise GaveUp(refusal)
        limit = self._leadership.deadline(await self._demoted_at(node), self._leadership.settings.drain_timeout)
        try:
            await self._leadership.change_swarm.update_node(str(node.node_id), role="worker")
        except NotFound:
            return
        while True:
            generation = self._leadership.events.generation
            nodes = await self._leadership.swarm.nodes()
            if all(present.manager is None for present in nodes if present.id == node.node_id):
                return
            if limit.passed:
                raise GaveUp(
                    f"{node.name} was demoted, but is still a manager after {limit.timeout:.0f} seconds. "
                    "Look at `docker node ls`, then repeat the request"
                )
            await self._leadership.pause(self._request.id, generation, limit.remaining, 1.0)

    async def _demoted_at(self, node: DepartingNode) -> datetime:
        """When the demotion began, journaled before it does: the worker before us may have begun it."""
        known: Mapping[str, str] = self._request.plan.get("demoted", {})
        if node.instance_id not in known:
            known = {**known, node.instance_id: rfc3339(self._leadership.clock.now())}
            await self._request.note(demoted=known)
        return parse_rfc3339(known[node.instance_id])

    async def _intend(self, node: DepartingNode) -> bool:
        """Journal that the call will be made. False: not yet, for by then something runs there again, or misses."""
        intent = {
            "instance_id": node.instance_id,
            "desired": await self._capacity_with(node),
            "at": rfc3339(self._leadership.clock.now()),
        }
        await self._request.note(intent=intent)
        self._unseen(node, anew=True)
        try:
            ready = node.node_id is None or await Drain(self._leadership, self._request).is_over()
        except (GaveUp, Unavailable):
            await self._request.note(intent=None)
            raise
        if not ready:
            await self._request.note(intent=None)
        return ready

    async def _capacity_with(self, node: DepartingNode) -> int:
        """The desired capacity, with the instance in it. Raises GaveUp where it is on its way out already, or where
        somebody has lowered the capacity since the plan: it would end below what was asked for, and the minimum.

        A description without the instance may only be older than the instance is, and so may one with a low number;
        what ends an instance is recorded.
        """
        limit = self._leadership.deadline(self._leadership.clock.now(), LAG)
        while True:
            group, present = await self._planning.look(self._request)
            fate, there = await self._fate(node), _instance(group, node)
            if there is not None and not there.leaving and fate is None:
                if present >= self._expected:
                    return present
                if limit.passed:
                    raise GaveUp(self._lowered(group, present))
            elif there is not None or fate is not None or limit.passed:
                raise GaveUp(self._taken(group, node))
            await self._leadership.rest(self._request.id, STALE_SECONDS, limit.remaining)

    @property
    def _expected(self) -> int:
        """The desired capacity as it should be now, by the plan and what has been terminated since."""
        return int(self._request.record.nodes_before or 0) - len(self._request.plan.get("terminated", ()))

    def _lowered(self, group: Group, present: int) -> str:
        return (
            f"Somebody else lowered the desired capacity of {group.name} to {present} while "
            f"{self._expected} {node_type(self._request)} nodes were on the way to {self._request.record.nodes_after}. "
            f"Repeat the request if there are still too many {node_type(self._request)} nodes"
        )

    def _taken(self, group: Group, node: DepartingNode) -> str:
        return (
            f"Somebody else is terminating {node.name}, or took it out of {group.name}, while it was drained: "
            f"the desired capacity of {group.name} is {group.desired}, {self._request.record.nodes_after} was "
            f"asked for. Repeat the request if there are still too many {node_type(self._request)} nodes"
        )

    def _unseen(self, node: DepartingNode, *, anew: bool = False) -> Deadline:
        """For how long a call for this instance may have been made though Describe does not show it.

        By the loop's time, for a wall clock that steps must not shorten it. An intent of the worker before us
        counts from our first look: a second call for an instance that is going already could lower the capacity twice.
        """
        return self._leadership.grace(f"termination of {node.instance_id}", LAG, anew=anew)

    async def _call(self, node: DepartingNode) -> int | None:
        """Terminate it: the desired capacity that this left, by AWS's own word, if it has one."""
        try:
            return await self._leadership.change_groups.terminate(node.instance_id)
        except Refused:
            await self._request.note(intent=None)  # it was certainly not done
            raise

    async def _left_by_call(self, node: DepartingNode) -> int | None:
        """The desired capacity that our call for the instance left. None: there was no call, and it is untouched.
        Raises GaveUp where somebody else ended it.

        An instance that looks untouched was either not called for, or Describe graces: only time tells them apart. It
        also tells whether one that looks gone is not only too young for what Describe shows, or its end not recorded.
        """
        limit = self._unseen(node)
        while True:
            fate = await self._fate(node)
            if fate is not None and fate.lowered_to is not None:
                return fate.lowered_to
            group = await self._leadership.groups.describe(self._group_name)
            there = _instance(group, node)
            if fate is not None or (limit.passed and (there is None or there.leaving)):
                await self._record_foreign_end(node, group)
            if limit.passed:
                return None
            await self._leadership.rest(self._request.id, limit.remaining, TICK_SECONDS / 5)

    async def _record_foreign_end(self, node: DepartingNode, group: Group) -> None:
        """Somebody else ended the instance: no second one goes for it. Raises GaveUp."""
        expected = int(self._request.plan["intent"]["desired"]) - 1
        why = (
            f"Somebody else terminated {node.name} while it was being removed: the desired capacity of "
            f"{group.name} is {group.desired}, not {expected}. Repeat the request if there are still too many "
            f"{node_type(self._request)} nodes"
        )
        await self._request.note(
            terminated=[*self._request.plan.get("terminated", ()), node.instance_id],
            lost=[*self._request.plan.get("lost", ()), node.name],
            why=why,
        )
        raise GaveUp(why)

    async def _fate(self, node: DepartingNode) -> Fate | None:
        """What ends the instance, as the group's activities have it; ours is what shrank the group."""
        return (await self._leadership.groups.activities(self._group_name)).fate_of(node.instance_id)

    async def _count(self, node: DepartingNode, left: int | None, *, just_now: bool) -> None:
        """It is terminated. The intent's capacity may come from an old description: what is reckoned from it is no
        more than a guess, which Describe has to confirm."""
        self._leadership.ended.add(node.instance_id)
        after = int(self._request.plan["intent"]["desired"]) - 1 if left is None else left
        await self._planning.changed(node_type(self._request), after, just_now=just_now and left is not None)
        terminated = [*self._request.plan.get("terminated", ()), node.instance_id]
        await self._request.note(terminated=terminated, intent=None, left=after)
        log.info("instance_terminated", request=self._request.id, instance=node.instance_id, node=node.name)


def _instance(group: Group, node: DepartingNode) -> Instance | None:
    return next((each for each in group.instances if each.id == node.instance_id), None)

"""Draining one node that somebody names: plan, drain; undo, when it cannot be done. Or giving it back: plan, restore.

The node stays in the Swarm, and drained until it is given back. What it was before is remembered beside the last
results of its pool, so that it can be given back as it was, and people be told whose drain it was.
"""

from collections.abc import Mapping

from shared.errors import NotFound
from shared.fields import Role
from shared.records import State
from worker.decisions.reasons import Reason
from worker.errors import GaveUp, Revised
from worker.flows.admission import admit
from worker.flows.drain import drain_asked_for
from worker.flows.give_back import abandoned, give_back
from worker.flows.named_node import Found, about, check_not_taken, departing, departing_node, fail, find_node
from worker.flows.nodes import NodeFlow, node_type
from worker.ports.storage import Drained
from worker.requests import departures, wording
from worker.requests.plans import DepartingNode, DrainPlan
from worker.requests.request import OpenRequest


class DrainNode(NodeFlow):
    """The flow of both ways."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request, as far as it goes."""
        match request.record.step:
            case None:
                await admit(self._leadership, request)
            case "plan":
                await self._plan(request)
            case "drain":
                await drain_asked_for(self._context, request).run()
                await self._succeed(request)
            case "restore":
                await self._restore(request)
            case "undo":
                await self._undo(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on; by way of undo, where the node was touched."""
        plan = DrainPlan.parse(request.record.plan)
        match request.record.step:
            case None | "plan" | "restore":
                await fail(request, reason)
            case "undo":
                names = ", ".join(node.name for node in plan.remaining)
                await fail(request, departures.not_given_back(plan.why, names, reason))
            case _:
                await request.enter("undo", plan=plan.but(why=reason))

    # --- Draining -----------------------------------------------------------------------------------------------

    async def _plan(self, request: OpenRequest) -> None:
        found = await find_node(self._context, request)
        node = found.named.node
        if node is None:
            raise GaveUp(departures.no_node(found.named.name), Reason.UNMATCHED)
        if wording.gives_back(request.record):
            await self._plan_back(request, found)
        elif node.availability == "drain":
            whose = await self._whose(node.id)
            await self._skip(request, departures.drained_already(found.named.name, whose.request if whose else None))
        else:
            await self._begin(request, found)

    async def _begin(self, request: OpenRequest, found: Found) -> None:
        leaving, tasks = await departing(self._context, request, found)
        until = self._leadership.clock.now() + self._leadership.settings.drain_timeout
        draining = departures.draining(leaving.name, tasks, until)
        request.say(about(request, "pending", draining))
        plan = DrainPlan().but(nodes=(leaving,), chosen={leaving.name: "it was asked for"})
        await request.enter("drain", plan=plan, message=draining)

    async def _succeed(self, request: OpenRequest) -> None:
        (node,) = DrainPlan.parse(request.record.plan).nodes
        await self._remember(node_type(request), node, Drained(request.id, node.availability))
        await self._end(request, departures.drained(node.name))

    async def _undo(self, request: OpenRequest) -> None:
        plan = DrainPlan.parse(request.record.plan)
        await give_back(self._context, request, plan)
        await fail(request, wording.joined(plan.why, await abandoned(self._leadership, plan)))

    # --- Giving back --------------------------------------------------------------------------------------------

    async def _plan_back(self, request: OpenRequest, found: Found) -> None:
        leaving = departing_node(found.named)
        if leaving.availability != "drain":
            await self._skip(request, departures.not_drained(leaving.name, leaving.availability))
            return
        check_not_taken(self._context, request, leaving)
        whose = await self._whose(str(leaving.node_id))
        was = leaving.but(availability="active" if whose is None else whose.was)
        sentence = departures.whose_drain(whose.request if whose else None)
        plan = DrainPlan().but(nodes=(was,), chosen={was.name: sentence}, draining="done")
        await request.enter("restore", plan=plan, message=departures.giving_back(was.name))

    async def _restore(self, request: OpenRequest) -> None:
        plan = DrainPlan.parse(request.record.plan)
        (node,) = plan.nodes
        check_not_taken(self._context, request, node)
        try:
            await self._leadership.change_swarm.update_node(
                str(node.node_id), availability=node.availability, expected={"drain"}
            )
        except NotFound as error:
            raise GaveUp(departures.gone(node.name)) from error
        except Revised as revised:
            raise GaveUp(departures.revised(node.name, revised.availability)) from revised
        await self._remember(node_type(request), node, None)
        await self._end(request, departures.given_back(node.name, node.availability, plan.chosen.get(node.name, "")))

    # --- What both need -----------------------------------------------------------------------------------------

    async def _whose(self, node_id: str) -> Drained | None:
        """Which request has drained a node, and what it was before. None: somebody else has."""
        for kind in self._leadership.pools:
            drained = (await self._leadership.memory.of(kind)).drained
            if node_id in drained:
                return drained[node_id]
        return None

    async def _remember(self, kind: Role, node: DepartingNode, drained: Drained | None) -> None:
        """Whose drain it is, or that nobody's is. Nodes that are not drained any more are forgotten."""
        nodes = await self._leadership.swarm.nodes()
        present = {each.id for each in nodes if each.availability == "drain"}
        for pool in self._leadership.pools:
            known = (await self._leadership.memory.of(pool)).drained
            kept: Mapping[str, Drained] = {
                node_id: each for node_id, each in known.items() if node_id in present and node_id != node.node_id
            }
            if pool == kind and drained is not None:
                kept = {**kept, str(node.node_id): drained}
            if kept != known:
                await self._leadership.memory.update(pool, drained=kept)

    async def _skip(self, request: OpenRequest, summary: str) -> None:
        await request.end(State.SKIPPED, summary, about(request, "success", summary))

    async def _end(self, request: OpenRequest, summary: str) -> None:
        await request.end(State.SUCCEEDED, summary, about(request, "success", summary))

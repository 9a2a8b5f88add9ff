"""The last look before an instance is terminated: which nodes are on it now, that all of them are empty, no manager.

Since the drain there may have been a take-over, its engine may have joined again, or another node may have died.
"""

from shared.errors import Unavailable
from worker.decisions.matching import claimants
from worker.errors import GaveUp
from worker.flows.demote import demote
from worker.flows.drain import drain_asked_for
from worker.flows.flow import Context
from worker.flows.nodes import group_name
from worker.ports.swarm import Node
from worker.requests import departures
from worker.requests.plans import DepartingNode, TerminationPlan
from worker.requests.request import OpenRequest


class LastLook:
    """At the nodes of one request."""

    def __init__(self, context: Context, request: OpenRequest) -> None:
        self._context = context
        self._leadership = context.leadership
        self._request = request
        self._group_name = group_name(context.leadership, request)

    async def prepare(self, node: DepartingNode) -> None:
        """Look, and demote a manager: as late as can be. Raises GaveUp."""
        await self._look(node)
        if node.manager and node.node_id is not None:
            await demote(self._leadership, self._request, node)
            await self._look(node)  # a demotion may take long

    async def confirms(self, node: DepartingNode) -> bool:
        """Whether it may go at this very moment, as its intent says; if not, the intent is withdrawn. Raises GaveUp."""
        try:
            empty = await self._is_empty(node)
        except (GaveUp, Unavailable):
            await self._withdraw()
            raise
        if not empty:
            await self._withdraw()
        return empty

    async def _withdraw(self) -> None:
        plan = TerminationPlan.parse(self._request.record.plan)
        await self._request.save(plan=plan.but(intent=None))

    async def _is_empty(self, node: DepartingNode) -> bool:
        await self.check_claims(node)
        return node.node_id is None or await drain_asked_for(self._context, self._request).is_over()

    async def _look(self, node: DepartingNode) -> None:
        await self.check_claims(node)
        await drain_asked_for(self._context, self._request).emptied()

    async def check_claims(self, node: DepartingNode) -> None:
        """Match anew: who is the instance now? Raises GaveUp where a node is that was not drained for it.

        An instance that had not joined when it was chosen may only have been slow; an engine that has left and joined
        again has a new node id, and tasks on the very machine that is to go. Down by now, its slots may run nowhere.
        """
        group = await self._leadership.groups.describe(self._group_name)
        claiming = claimants(await self._leadership.swarm.nodes(), group.instances).get(node.instance_id, ())
        ours = next((each for each in claiming if each.id == node.node_id), None)
        others = [
            each for each in claiming if each.id != node.node_id and (each.state != "down" or _joined_after(each, ours))
        ]
        if others:
            raise GaveUp(departures.joined_meanwhile(node.name, [f"{each.hostname} ({each.id})" for each in others]))


def _joined_after(node: Node, other: Node | None) -> bool:
    """Without the other one nobody claimed the instance when it was chosen: whoever does now has joined since."""
    if other is None:
        return True
    if node.created_at is None or other.created_at is None:
        return False
    return node.created_at > other.created_at

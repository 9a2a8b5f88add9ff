"""Managers whose machines leave: demoted one at a time, as soon as the others keep their quorum without them."""

import structlog

from shared.errors import NotFound
from worker.decisions.quorum import demotion_refusal
from worker.errors import GaveUp
from worker.flows.demote import demote
from worker.flows.flow import Context
from worker.flows.holding import LONGEST, hold_of
from worker.requests import happenings
from worker.requests.plans import DepartingNode, LeavingPlan
from worker.requests.request import OpenRequest

log = structlog.get_logger()

POLL_SECONDS = 2.0
ONE_AT_A_TIME = "demotions"


class LeavingManagers:
    """Demotes the managers among the nodes that leave."""

    def __init__(self, context: Context) -> None:
        self._leadership = context.leadership

    async def demote_if_allowed(self, request: OpenRequest) -> None:
        """Demote it where that costs no quorum; else tell people at once, and leave it for later."""
        for node in self._managers(request):
            refusal = await self._demoted_or_refused(request, node)
            if refusal is not None:
                request.say(happenings.quorum(request.record, node.name, refusal, held=hold_of(request) is not None))

    async def demote_when_allowed(self, request: OpenRequest) -> None:
        """The same, waiting until the quorum allows it, for as long as a hook holds the machine."""

        async def demoted() -> bool | None:
            hold = hold_of(request)
            over = hold is None or hold.key in self._leadership.let_go
            return await self._demoted_or_refused(request, node) is None or over or None

        for node in self._managers(request):
            with request.waiting_for(f"another manager to be reachable, so that {node.name} may be demoted"):
                limit = self._leadership.deadline(request.record.requested_at, LONGEST)
                await self._leadership.poll(request.id, demoted, every=POLL_SECONDS, deadline=limit)

    def _managers(self, request: OpenRequest) -> list[DepartingNode]:
        """Not the worker's own node: without it nobody could go on here. Whoever removes its node demotes it."""
        own = self._leadership.identity.node_id
        nodes = LeavingPlan.parse(request.record.plan).nodes
        return [node for node in nodes if node.manager and node.node_id not in {None, own}]

    async def _demoted_or_refused(self, request: OpenRequest, node: DepartingNode) -> str | None:
        """Why it must not be demoted now. None: it is no manager any more, as far as it depends on us."""
        async with self._leadership.turn(request.id, ONE_AT_A_TIME):
            nodes = await self._leadership.swarm.nodes()
            if not any(each.id == node.node_id and (each.manager or each.role == "manager") for each in nodes):
                return None
            refusal = demotion_refusal(nodes, str(node.node_id))
            if refusal is not None:
                return refusal
            try:
                await demote(self._leadership, request, node)
            except (GaveUp, NotFound) as error:
                log.warning("leaving_manager_not_demoted", request=request.id, node=node.name, error=str(error))
            return None

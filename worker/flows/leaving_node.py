"""Which node it is whose machine leaves: known at once, still to join, or in dispute.

What joins before the machine ends is drained like all others. Of two Ready nodes that say they are the instance, the
one that its hostname or its address bears out is drained. Where nothing does, nobody drains either of them: people are
told both names, and as long as there is time, they can say which it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.records import State
from worker.decisions.leaving import successor
from worker.decisions.matching import borne_out, claimants, dispute, disputed
from worker.flows.flow import Context
from worker.flows.holding import hold_of, kept, let_go
from worker.leadership.period import TICK_SECONDS
from worker.ports.scaling import Instance, Phase
from worker.ports.swarm import Node
from worker.requests import happenings, owners
from worker.requests.events import instance_of
from worker.requests.plans import DepartingNode, LeavingPlan
from worker.requests.request import OpenRequest


@dataclass(frozen=True, slots=True)
class Claim:
    """Who says that it is an instance."""

    node: Node | None = None
    dispute: str = ""
    """Why it is not known which node it is, where more than one could be."""


class LeavingNode:
    """Finds the node of a departure, and makes it the departure's own."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._leadership = context.leadership

    async def take_over(self, request: OpenRequest, until: Callable[[], datetime]) -> None:
        """Own the node from the one write on that names it; or wait for it. `until`: when it has to be empty.

        That counts from the write, with which the request begins: a look that takes its time costs none.
        """
        instance = instance_of(request.record)
        claim = await self._claim(instance)
        if claim.node is not None:
            await self._own(request, claim.node, until())
        elif claim.dispute or (hold_of(request) is None and until() > request.now()):
            await self._await(request, claim, until())
        else:
            await self._none(request)

    async def wait(self, request: OpenRequest) -> None:
        """Until the node is known, or the time is over."""
        plan, instance = LeavingPlan.parse(request.record.plan), instance_of(request.record)
        claim, entered = Claim(), request.entered("wait")
        until = plan.until or entered
        deadline = self._leadership.deadline(entered, max(until - entered, timedelta()))

        async def known() -> Node | None:
            nonlocal claim
            claim = await self._claim(instance)
            return claim.node

        async with kept(self._leadership, request):
            with request.waiting_for(f"{instance} to be a node that is known for sure", seconds=deadline.remaining):
                node = await self._leadership.poll(request.id, known, every=TICK_SECONDS, deadline=deadline)
        if node is not None:
            await self._own(request, node, until)
        elif claim.dispute:
            await let_go(self._leadership, request, "CONTINUE")
            message = happenings.in_dispute(instance, claim.dispute, over=True)
            await request.end(State.FAILED, message, happenings.left(request.record, instance, "error", message))
        else:
            await self._none(request)

    async def joined_again(self, request: OpenRequest, nodes: Sequence[Node]) -> bool:
        """Whether the engine has joined once more, as another node: then that is drained, too."""
        plan = LeavingPlan.parse(request.record.plan)
        before = plan.nodes[0]
        node = successor(str(before.node_id), before.name, instance_of(request.record), nodes)
        if node is None:
            return False
        anew = plan.but(nodes=(self._departing(request, node),), slots=None, draining=None, avoiding=())
        await request.enter("drain", plan=anew, message=happenings.leaving_begun(request.record, before.name))
        return True

    # --- How it goes on -----------------------------------------------------------------------------------------

    async def _own(self, request: OpenRequest, node: Node, until: datetime) -> None:
        """What it was before is inherited."""
        departing = self._departing(request, node)
        plan = LeavingPlan().but(
            forced=True,
            nodes=(departing,),
            chosen={departing.name: str(request.record.request.get("cause"))},
            until=until,
        )
        request.say(happenings.leaving(request.record, departing.name, plan.until))
        await request.enter("drain", plan=plan, message=happenings.leaving_begun(request.record, departing.name))

    def _departing(self, request: OpenRequest, node: Node) -> DepartingNode:
        departing = DepartingNode.of(instance_of(request.record), node.hostname or node.id, node)
        return owners.inherited(self._context.requests, departing)

    async def _await(self, request: OpenRequest, claim: Claim, until: datetime) -> None:
        """From now on the instance leaves, for all that count or choose members; and later causes join."""
        instance = instance_of(request.record)
        message = happenings.not_joined_yet(instance)
        if claim.dispute:
            message = happenings.in_dispute(instance, claim.dispute, over=False)
            request.say(happenings.left(request.record, instance, "error", message))
        plan = LeavingPlan().but(forced=True, nodes=(DepartingNode.of(instance, instance, None),), until=until)
        await request.enter("wait", plan=plan, message=message)

    async def _none(self, request: OpenRequest) -> None:
        await let_go(self._leadership, request, "CONTINUE")
        instance = instance_of(request.record)
        await request.end(State.SUCCEEDED, f"{instance} is no node of the Swarm: nothing runs there to be moved")

    # --- Who it is ----------------------------------------------------------------------------------------------

    async def _claim(self, instance: str) -> Claim:
        nodes = await self._leadership.swarm.nodes()
        claiming = claimants(nodes, [Instance(instance, Phase.LEAVING)]).get(instance, ())
        if claiming and not disputed(claiming):
            return Claim(claiming[0])
        instances = await self._instances()
        claiming = claiming or claimants(nodes, instances).get(instance, ())
        if not disputed(claiming):
            return Claim(claiming[0] if claiming else None)
        described = next((each for each in instances if each.id == instance), None)
        node = None if described is None else borne_out(claiming, described)
        return Claim(node, "" if node is not None else dispute(claiming))

    async def _instances(self) -> list[Instance]:
        groups = [pool.group for pool in self._leadership.pools.values() if pool.group]
        return [each for name in groups for each in (await self._leadership.groups.describe(name)).instances]

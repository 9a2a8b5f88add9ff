"""A node whose machine AWS takes away: pause, drain, complete, remove.

Nobody is asked whether it may: what does not fit elsewhere is named, not refused. Of the requests about one instance
the first does the work; a later one joins it, shortens its time where its own deadline is nearer, and completes its own
hook when the work is done. Our own terminations pass through here too: their hook is completed at once.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from shared.errors import NotFound, Unavailable
from shared.records import State
from worker.decisions import leaving
from worker.errors import OwnNodeLeaves, Revised
from worker.flows.drain import Drain, Terms
from worker.flows.flow import Context, ContextFlow
from worker.flows.holding import hold_of, is_held, kept, let_go
from worker.flows.leaving_end import LeavingEnd
from worker.flows.leaving_managers import LeavingManagers
from worker.flows.leaving_node import LeavingNode
from worker.flows.recommended import RecommendedLeaving
from worker.requests import owners
from worker.requests.events import instance_of, is_recommended
from worker.requests.plans import LeavingPlan
from worker.requests.request import OpenRequest

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""How soon a cause that has joined is seen."""


class NodeLeaving(ContextFlow):
    """The flow of `node-leaving`."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._managers = LeavingManagers(context)
        self._node = LeavingNode(context)
        self._end = LeavingEnd(context, self._node)
        self._recommended = RecommendedLeaving(context)

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request."""
        match request.record.step:
            case None:
                await self._begin(request)
            case "join":
                await self._join(request)
            case "wait":
                await self._node.wait(request)
            case _ if is_recommended(request.record):
                await self._recommended.step(request)
            case "drain":
                await self._drain(request)
            case "complete":
                await self._complete(request)
            case "remove":
                await self._end.remove(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """Nothing can stop the departure: a drain that cannot go on is over, and the hook is completed all the same."""
        plan = LeavingPlan.parse(request.record.plan)
        if is_recommended(request.record):
            await self._recommended.give_up(request, reason)
        elif request.record.step == "drain":
            await request.enter("complete", plan=plan.but(cut_off=(*plan.cut_off, reason)))
        else:
            await self._end.fail(request, reason)

    def retry_budget(self, request: OpenRequest) -> timedelta:
        """How long a step may go on failing."""
        if request.record.step == "drain" and not is_recommended(request.record):
            return self._drain_budget(request)
        if request.record.step == "remove":
            return self._end.retry_budget(request)
        return super().retry_budget(request)

    def _drain_budget(self, request: OpenRequest) -> timedelta:
        """Until the deadline. While a hook holds the machine, an outage may last longer: there is time for a drain."""
        plan, entered = LeavingPlan.parse(request.record.plan), request.entered("drain")
        whole = max((plan.until or entered) - entered, timedelta())
        held = hold_of(request) is not None and plan.draining is None
        return max(whole, self._leadership.settings.reschedule_timeout) if held else whole

    # --- The beginning ------------------------------------------------------------------------------------------

    async def _begin(self, request: OpenRequest) -> None:
        instance = instance_of(request.record)
        leader = owners.leaving(self._context.requests, instance, but=request)
        ours = self._terminated_by_us(instance)
        if leader is not None:
            await request.enter("join", plan=LeavingPlan(joins=leader.id))
        elif ours is not None:
            await let_go(self._leadership, request, "CONTINUE")
            await request.end(State.SUCCEEDED, f"{ours} terminates {instance}: nothing is left to do")
        elif is_recommended(request.record):
            await self._recommended.step(request)
        else:
            await self._node.take_over(request, lambda: self._earliest(request))

    def _terminated_by_us(self, instance: str) -> str | None:
        other = owners.terminator(self._context.requests, instance)
        if other is not None:
            return f"Request {other}"
        return "A request that has ended" if instance in self._leadership.terminated else None

    # --- The work -----------------------------------------------------------------------------------------------

    async def _drain(self, request: OpenRequest) -> None:
        """Everything moves, or is named. A nearer deadline of one that has joined begins the step anew."""
        async with kept(self._leadership, request):
            await self._pause(request)
            await self._begin_anew(request)
            self._yield(request)
            await self._managers.demote_if_allowed(request)
            await self._own_last(request)
            problems = await self._moved(request)
        if problems is not None:
            plan = LeavingPlan.parse(request.record.plan)
            await request.enter("complete", plan=plan.but(cut_off=(*plan.cut_off, *problems)))

    async def _begin_anew(self, request: OpenRequest) -> None:
        """After an outage nothing has moved, and the time is over. While AWS holds the machine, it begins anew."""
        plan, now = LeavingPlan.parse(request.record.plan), request.now()
        until = self._earliest(request, since=now)
        over = plan.draining is None and self._terms(request).deadline.passed
        if over and until > now and await is_held(self._leadership, request):
            await request.save(plan=plan.but(since=now, until=until))

    async def _moved(self, request: OpenRequest) -> list[str] | None:
        """What did not move. None: the deadline has come nearer."""
        draining = asyncio.ensure_future(Drain(self._context, request, self._terms(request)).run())
        try:
            while not draining.done():
                await asyncio.wait([draining], timeout=LOOK_SECONDS)
                if self._is_nearer(request):
                    break
        finally:
            draining.cancel()
            await asyncio.wait([draining])
        if draining.cancelled() or self._is_nearer(request):
            plan = LeavingPlan.parse(request.record.plan)
            await request.save(plan=plan.but(until=self._earliest(request)))
            return None
        return [problem.task for problem in draining.result()]

    async def _pause(self, request: OpenRequest) -> None:
        """Nothing new arrives, from the first moment on. A node that is drained already takes nothing anyway."""
        plan = LeavingPlan.parse(request.record.plan)
        for node in plan.nodes if plan.slots is None else ():
            if node.availability == "drain":
                continue
            try:
                await self._leadership.change_swarm.update_node(
                    str(node.node_id), availability="pause", expected={"active", "pause"}
                )
            except (NotFound, Revised) as error:
                log.info("leaving_node_not_paused", request=request.id, node=node.name, error=str(error))

    def _yield(self, request: OpenRequest) -> None:
        """Raises OwnNodeLeaves where this worker stands on the node, and another one may go on."""
        plan = LeavingPlan.parse(request.record.plan)
        if self._leadership.yields and plan.nodes[0].node_id == self._leadership.identity.node_id:
            raise OwnNodeLeaves(f"the worker's own node {plan.nodes[0].name} is leaving")

    async def _own_last(self, request: OpenRequest) -> None:
        """A drain of its own node ends this worker: alone, it sees to the other nodes first, while there is time."""
        own = self._leadership.identity.node_id

        async def others_done() -> bool | None:
            return not owners.draining(self._context.requests, own) or self._is_nearer(request) or None

        if LeavingPlan.parse(request.record.plan).nodes[0].node_id == own:
            with request.waiting_for("the other nodes that leave: the worker's own is the last"):
                await self._leadership.poll(
                    request.id, others_done, every=LOOK_SECONDS, deadline=self._terms(request).move_by, on_events=False
                )

    def _terms(self, request: OpenRequest) -> Terms:
        plan = LeavingPlan.parse(request.record.plan)
        since, until = max(request.entered("drain"), plan.since or request.entered("drain")), plan.until
        whole = max((until or since) - since, timedelta())
        deadline = self._leadership.deadline
        return Terms(
            deadline(since, whole),
            forced=True,
            move_by=deadline(since, leaving.move_for(whole)),
            keep_until=lambda stop_grace: deadline(since, leaving.wait_for(whole, stop_grace)),
        )

    def _is_nearer(self, request: OpenRequest) -> bool:
        """Whether a later cause has brought the deadline nearer."""
        until = LeavingPlan.parse(request.record.plan).until
        return until is None or self._earliest(request) < until

    def _earliest(self, request: OpenRequest, since: datetime | None = None) -> datetime:
        """The nearest deadline of all causes. `since`: when DRAIN_TIMEOUT began anew, if it did."""
        since = since or LeavingPlan.parse(request.record.plan).since
        joined = owners.joined(self._context.requests, request)
        return min(self._ends(each, since) for each in (request, *joined))

    def _ends(self, request: OpenRequest, since: datetime | None) -> datetime:
        began = request.record.started_at or self._leadership.clock.now()
        began = began if since is None else max(began, since)
        cause, at = str(request.record.request.get("cause")), request.record.requested_at
        return leaving.ends_at(cause, at, began, self._leadership.settings.drain_timeout)

    # --- The rest -----------------------------------------------------------------------------------------------

    async def _complete(self, request: OpenRequest) -> None:
        """A manager is demoted; then AWS may have the machine."""
        async with kept(self._leadership, request):
            if await self._joined_again(request):
                return
            await self._managers.demote_when_allowed(request)
            await let_go(self._leadership, request, "CONTINUE")
        await request.enter("remove")

    async def _joined_again(self, request: OpenRequest) -> bool:
        """Whether another node has to be drained. Where Docker does not answer, AWS need not wait for that."""
        try:
            return await self._node.joined_again(request, await self._leadership.swarm.nodes())
        except Unavailable as error:
            log.info("leaving_node_not_looked_at", request=request.id, error=str(error))
            return False

    async def _join(self, request: OpenRequest) -> None:
        """Wait for the request that does the work; complete the own hook when it does."""
        leader_id = LeavingPlan.parse(request.record.plan).joins or ""

        async def worked() -> bool | None:
            leader = self._context.requests.get(leader_id)
            return leader is None or leader.ended or leader.record.step == "remove" or None

        async with kept(self._leadership, request):
            with request.waiting_for(f"request {leader_id}, which drains the node"):
                await self._leadership.poll(request.id, worked, every=LOOK_SECONDS, on_events=False)
            await let_go(self._leadership, request, "CONTINUE")
        await request.end(State.SKIPPED, f"Joined request {leader_id}", duplicate_of=leader_id)

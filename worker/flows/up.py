"""Scaling nodes up: plan, apply, wait, reschedule.

Desired capacity only ever rises here, to a target that was journaled first; so doing a step again changes nothing
twice. The wait is for what the Swarm says, matched to the group's instances; success is said only after it.
"""

from datetime import datetime

from shared.errors import Refused, Unavailable
from shared.records import State
from worker.decisions.preflight import up_refusal
from worker.decisions.readiness import Expectation, expect
from worker.errors import GaveUp
from worker.flows.capacity import LAG, STALE_SECONDS
from worker.flows.flow import Context
from worker.flows.join_wait import JoinWait, awaited, begun
from worker.flows.joining import MOST_ABANDONED
from worker.flows.nodes import NodeFlow, changing, fail, group_name, headline, node_type
from worker.flows.planning import plan
from worker.flows.survey import Survey, permit
from worker.flows.wave import LOOK_AGAIN_SECONDS
from worker.leadership.deadline import Deadline
from worker.ports.storage import GroupMemory
from worker.requests import owners, steering, wording
from worker.requests.plans import UpPlan
from worker.requests.request import OpenRequest


class ScaleUp(NodeFlow):
    """The flow of one direction."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._capacity = context.capacity
        self._wave = context.wave
        self._planned: dict[str, Deadline] = {}
        """Requests that were planned here and not raised yet: how long a description may be older than their plan's."""
        self._looked: dict[str, float] = {}
        """When that was that the plan has read, by the clock that runs on while the machine is suspended."""
        self._raised: dict[str, int] = {}
        """The capacities that AWS has confirmed to requests, until they are remembered."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request, as far as it goes."""
        match request.record.step:
            case None | "plan":
                try:
                    await self._plan(request)
                finally:
                    self._wave.moved()
            case "apply":
                await self._apply(request)
            case "wait":
                await JoinWait(self._context, request).run()
            case "reschedule":
                await self._reschedule(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on. What was raised stays: the next scale-down takes what never joins."""
        if (raised := self._raised.get(request.id)) is not None:
            await self._capacity.changed(node_type(request), raised)
        self._forget(request)
        if request.record.step in {"wait", "reschedule"}:
            # Desired capacity was raised: the cool-down counts from here, as after a down that was only half done.
            await self._leadership.memory.update(node_type(request), up_ended_at=self._leadership.clock.now())
            if request.record.cancelled is not None:
                told = wording.joined(reason, await self._left(request))
                await request.end(State.FAILED, told, wording.nodes_timeout(told))
                return
            message = wording.joined(begun(request), reason)
            await request.end(State.FAILED, message, wording.nodes_timeout(reason))
        else:
            await fail(self._leadership, request, reason, await self._present(request))

    async def _left(self, request: OpenRequest) -> str:
        """The capacity that a cancelled scale leaves, and what becomes of it."""
        name, kind = group_name(self._leadership, request), node_type(request)
        return wording.joined(steering.capacity(name, int(request.record.nodes_after or 0)), steering.what_comes(kind))

    async def _present(self, request: OpenRequest) -> int | None:
        """The desired capacity as it is, of a scale that was not applied, or of which nobody knows whether it was."""
        if request.record.step != "apply":
            return request.record.nodes_before
        try:
            return (await self._capacity.look(request))[1]
        except (Unavailable, Refused):
            return request.record.nodes_before

    async def _plan(self, request: OpenRequest) -> None:
        looked = self._leadership.clock.uptime()
        planned = await plan(self._context, request)
        if planned is None:
            return
        survey, target = planned
        self._check_joins(survey.group.name, survey.memory)
        permit(survey, up_refusal)
        self._planned[request.id] = self._leadership.deadline(self._leadership.clock.now(), LAG)
        if survey.group.desired < target.after:
            self._looked[request.id] = looked
        await request.enter(
            "apply",
            through="plan" if request.record.step is None else None,
            by=survey.limits.by,
            nodes_before=target.before,
            nodes_after=target.after,
            limited_by=target.limited_by,
            warnings=survey.warnings,
            plan=UpPlan.parse(request.record.plan).but(expectation=self._expect(request, survey, target.after)),
        )

    @staticmethod
    def _check_joins(group: str, memory: GroupMemory) -> None:
        """Raises GaveUp where machines of the group do not join: more of them would not either."""
        if len(memory.abandoned) >= MOST_ABANDONED:
            raise GaveUp(
                f"The last {MOST_ABANDONED} instances of Auto Scaling group {group} never joined the Swarm and were "
                "abandoned. See to the image, the network and the join token; once one has joined, ups go on"
            )

    def _expect(self, request: OpenRequest, survey: Survey, after: int) -> Expectation:
        expectation = expect(
            after,
            survey.desired,
            survey.group,
            owners.staying(self._context.requests, survey.nodes),
            node_type(request),
            self._leadership.clock.now(),
            self._leadership.settings.reschedule_timeout,
        )
        others = (other for other in self._context.requests.scale_ups(node_type(request)) if other is not request)
        plans = [UpPlan.parse(other.record.plan) for other in others]
        return expectation.behind(other.expectation for other in plans if other.expectation is not None)

    async def _apply(self, request: OpenRequest) -> None:
        async with self._wave.turn(request):
            now = self._wave.raised(request)
            if now is None:
                await self._wave.gathered(request)
                now = await self._raise(request)
        after = int(request.record.nodes_after or 0)
        request.say(
            wording.nodes("success", headline(self._leadership, request), changing(request)),
            wording.waiting(node_type(request), int(request.record.nodes_before or 0), after),
        )
        applied = UpPlan.parse(request.record.plan).but(applied_at=now)
        seconds = self._leadership.settings.reschedule_timeout.total_seconds()
        await request.enter("wait", message=begun(request), plan=applied, waits=awaited(request), seconds=seconds)
        self._forget(request)

    async def _raise(self, request: OpenRequest) -> datetime:
        """Raise the group to the highest target of the wave; where AWS refuses that, to the request's own. When."""
        after = self._wave.target(request)
        lower = self._just_planned(request) or await self._is_lower(request, after)
        self._looked.pop(request.id, None)
        if lower:
            after = self._raised[request.id] = await self._set_desired(request, after)
        now = await self._capacity.changed(node_type(request), after, just_now=lower)
        self._raised.pop(request.id, None)
        self._wave.note_raised(request, after, now)
        return now

    async def _set_desired(self, request: OpenRequest, after: int) -> int:
        name, own = group_name(self._leadership, request), int(request.record.nodes_after or 0)
        try:
            await self._leadership.change_groups.set_desired(name, after)
        except Refused:
            if after == own:
                raise
            await self._leadership.change_groups.set_desired(name, own)
            return own
        return after

    def _just_planned(self, request: OpenRequest) -> bool:
        """Whether the plan's own description has only just shown less than its target: once is enough."""
        looked = self._looked.get(request.id)
        return looked is not None and self._leadership.clock.uptime() - looked < LOOK_AGAIN_SECONDS

    def _forget(self, request: OpenRequest) -> None:
        """Its raise is written down, or will not come."""
        self._planned.pop(request.id, None)
        self._looked.pop(request.id, None)
        self._raised.pop(request.id, None)
        self._wave.forget(request)

    async def _is_lower(self, request: OpenRequest, after: int) -> bool:
        """Whether the desired capacity is below the target.

        Where Describe says no, but our own last result says yes, one of them is old: after a down it may be
        Describe, and a raise that is left out then would be missing. The same where the plan was made from a lower
        one and nothing was raised since. Time tells, at most LAG.
        """

        async def compared() -> bool | None:
            group, desired = await self._capacity.look(request)
            if group.desired < after:
                return True
            settled = all(planned.passed for planned in waiting)
            return False if desired >= after and settled else None

        waiting = [self._planned[each.id] for each in self._wave.members(request) if each.id in self._planned]

        with request.waiting_for(f"AWS to describe {group_name(self._leadership, request)} as it was changed last"):
            return bool(await self._leadership.poll(request.id, compared, every=STALE_SECONDS, on_events=False))

    async def _reschedule(self, request: OpenRequest) -> None:
        with request.waiting_for("the labelled services to be updated"):
            result = await self._context.batches.serve(request)
        await self._leadership.memory.update(node_type(request), up_ended_at=self._leadership.clock.now())
        plan = UpPlan.parse(request.record.plan)
        summary = wording.ready(node_type(request), plan.ready, result.succeeded, result.failed, result.passed_over)
        message = wording.joined(begun(request), summary, wording.not_counted(plan.not_counted))
        if result.failed:
            await request.end(State.FAILED, message, wording.rescheduled(summary, "error", summary))
        else:
            await request.end(State.SUCCEEDED, message, wording.nodes_ready(summary))

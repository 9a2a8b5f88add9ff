"""Scaling nodes up: plan, apply, wait, reschedule.

Desired capacity only ever rises here, to a target that was journaled first; so doing a step again changes nothing
twice. The wait is for what the Swarm says, matched to the group's instances; success is said only after it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from shared.clock import parse_rfc3339, rfc3339
from shared.records import State
from worker.decisions.matching import matched, members
from worker.decisions.preflight import launch_failure, up_refusal
from worker.decisions.readiness import Expectation, Progress, excluded_names, expect, progress
from worker.errors import GaveUp
from worker.flows.batch import Batches
from worker.flows.planning import LAG, STALE_SECONDS, Planning, Survey, node_type
from worker.flows.rollout import Outcome
from worker.leadership.deadline import Deadline
from worker.leadership.period import TICK_SECONDS, Leadership
from worker.leadership.swarm_events import SHORTEST_SECONDS
from worker.ports.scaling import Group
from worker.ports.swarm import Node
from worker.requests import wording
from worker.requests.request import OpenRequest

log = structlog.get_logger()


class ScaleUp:
    """The flow of one direction; `wave` are the ups that run now, the oldest first."""

    def __init__(
        self, leadership: Leadership, planning: Planning, batches: Batches, wave: Callable[[], Sequence[OpenRequest]]
    ) -> None:
        self._leadership = leadership
        self._planning = planning
        self._passes = batches
        self._wave = wave

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request, as far as it goes."""
        match request.record.step:
            case None:
                await self._planning.admit(request)
            case "plan":
                await self._plan(request)
            case "apply":
                await self._apply(request)
            case "wait":
                await _Wait(self._leadership, self._planning, request).run()
            case "reschedule":
                await self._reschedule(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a job that cannot go on. What was raised stays: the next scale-down takes what never joins."""
        if request.record.step in {"wait", "reschedule"}:
            # Desired capacity was raised: the cool-down counts from here, as after a down that was only half done.
            await self._leadership.memory.update(node_type(request), up_ended_at=self._leadership.clock.now())
            message = wording.joined(_changing(request), reason)
            await request.end(State.FAILED, message, wording.nodes_timeout(reason))
        else:
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
        await self._planning.permit(survey, up_refusal)
        await request.enter(
            "apply",
            by=survey.limits.by,
            nodes_before=found.before,
            nodes_after=found.after,
            warnings=survey.warnings,
            notes={"expectation": self._expect(request, survey, found.after).document()},
        )

    def _expect(self, request: OpenRequest, survey: Survey, after: int) -> Expectation:
        expectation = expect(
            after,
            survey.present,
            survey.group,
            survey.nodes,
            node_type(request),
            self._leadership.clock.now(),
            self._leadership.settings.reschedule_timeout,
        )
        others = (other for other in self._wave() if other is not request and "expectation" in other.plan)
        return expectation.behind(Expectation.parse(other.plan["expectation"]) for other in others)

    # --- apply --------------------------------------------------------------------------------------------------

    async def _apply(self, request: OpenRequest) -> None:
        name, after = self._planning.group_name(request), _after(request)
        lower = await self._is_lower(request, after)
        if lower:
            await self._leadership.change_groups.set_desired(name, after)
        now = await self._planning.changed(node_type(request), after, just_now=lower)
        request.say(
            wording.nodes("success", self._planning.request(request), _changing(request)),
            wording.waiting(node_type(request), _before(request), after),
        )
        await request.enter("wait", message=_changing(request), notes={"applied_at": rfc3339(now)})

    async def _is_lower(self, request: OpenRequest, after: int) -> bool:
        """Whether the desired capacity is below the target.

        Where Describe says no, but our own last result says yes, one of them is old: after a down it may be
        Describe, and a raise that is left out then would be missing. Time tells, at most LAG.
        """
        while True:
            group, present = await self._planning.look(request)
            if group.desired < after:
                return True
            if present >= after:
                return False
            await self._leadership.rest(request.id, STALE_SECONDS)

    # --- reschedule ---------------------------------------------------------------------------------------------

    async def _reschedule(self, request: OpenRequest) -> None:
        outcome = await self._passes.serve(request)
        await self._leadership.memory.update(node_type(request), up_ended_at=self._leadership.clock.now())
        summary = _summary(request, outcome)
        message = wording.joined(_changing(request), summary, _not_counted(request))
        if outcome.failed:
            await request.end(State.FAILED, message, wording.rescheduled(summary, "error", summary))
        else:
            await request.end(State.SUCCEEDED, message, wording.nodes_ready(summary))


class _Wait:
    """The wait of one request for its nodes."""

    def __init__(self, leadership: Leadership, planning: Planning, request: OpenRequest) -> None:
        self._leadership = leadership
        self._planning = planning
        self._request = request
        self._group_name = planning.group_name(request)
        self._expectation = Expectation.parse(request.plan["expectation"])
        self._applied_at = parse_rfc3339(request.plan["applied_at"])
        self._limit = leadership.deadline(request.moment("wait"), leadership.settings.reschedule_timeout)
        self._ticks = _Ticks(self._limit, leadership.settings.reschedule_ticker_interval)
        self._began = asyncio.get_running_loop().time()
        self._activities_read = float("-inf")

    async def run(self) -> None:
        """Enter the next step when the nodes are there; raise GaveUp when they will not come."""
        while True:
            generation = self._leadership.events.generation
            group, nodes = (
                await self._leadership.groups.describe(self._group_name),
                await self._leadership.swarm.nodes(),
            )
            await self._planning.seen(node_type(self._request), group)
            found = progress(self._expectation, group, nodes, node_type(self._request))
            if found.done and group.desired >= self._expectation.target:
                await self._ready(group, nodes, found)
                return
            self._check_not_lowered(group)
            await self._tell_launch_failure()
            if self._limit.passed:
                raise GaveUp(self._timeout(group, nodes, found))
            self._tick()
            # Done in a description of before our raise: look again soon, for it counts what has gone since.
            soon = STALE_SECONDS if found.done else TICK_SECONDS
            await self._leadership.pause(
                self._request.id, generation, soon, self._limit.remaining, self._ticks.left, self._activities_due
            )

    async def _ready(self, group: Group, nodes: Sequence[Node], found: Progress) -> None:
        node_of = matched(nodes, members(group))
        apart = sum(1 for name in self._expectation.excluded if name in node_of and node_of[name].ready)
        notes = {
            "ready": found.needed + apart,
            "not_counted": list(excluded_names(self._expectation, group, nodes)),
        }
        log.info("nodes_ready", request=self._request.id, ready=found.ready, needed=found.needed)
        await self._request.enter("reschedule", notes=notes)

    def _check_not_lowered(self, group: Group) -> None:
        """Somebody else lowered the group below our target: it will never be reached.

        A description may be older than the one before it, so until the lag is over a low one says nothing.
        """
        looked = asyncio.get_running_loop().time() - self._began
        if group.desired < self._expectation.target and looked > LAG.total_seconds():
            raise GaveUp(
                f"Somebody else lowered the desired capacity of {group.name} to {group.desired} while "
                f"{self._expectation.target} {node_type(self._request)} nodes were awaited. Nothing was undone; "
                "repeat the request if the nodes are still needed"
            )

    @property
    def _activities_due(self) -> float:
        """Seconds until the activities are read again."""
        return self._activities_read + TICK_SECONDS - self._limit.elapsed

    async def _tell_launch_failure(self) -> None:
        """AWS's own reason, once for each new one, while the wait goes on."""
        if self._activities_due > SHORTEST_SECONDS:
            return
        self._activities_read = self._limit.elapsed
        failure = launch_failure(await self._leadership.groups.activities(self._group_name), self._applied_at)
        if failure is None or failure.reason == self._request.plan.get("launch_failure"):
            return
        log.warning("launch_failed", request=self._request.id, reason=failure.reason)
        self._request.say(wording.launch_failed(node_type(self._request), self._expectation.target, failure.reason))
        message = wording.joined(_changing(self._request), wording.launch_reason(failure.reason))
        await self._request.save(message=message, plan={**self._request.plan, "launch_failure": failure.reason})

    def _tick(self) -> None:
        seconds = self._ticks.due()
        if seconds is not None:
            self._request.say(wording.tick(node_type(self._request), seconds, self._expectation.target))

    def _timeout(self, group: Group, nodes: Sequence[Node], found: Progress) -> str:
        names = {instance.id: instance.private_dns_name.split(".")[0] for instance in group.instances}
        missing = ", ".join(f"{name} ({names[name]})" if names.get(name) else name for name in found.missing)
        reason = self._request.plan.get("launch_failure")
        return wording.joined(
            wording.timeout(node_type(self._request), self._limit.timeout, self._expectation.target),
            f"never joined the Swarm: {missing} (look at their boot log; the next scale-down takes them first)"
            if missing
            else "",
            wording.launch_reason(reason) if reason else "",
            _not_counted_names(excluded_names(self._expectation, group, nodes)),
        )


class _Ticks:
    """When the next progress report is due. Those before a take-over are not repeated."""

    def __init__(self, limit: Deadline, interval: timedelta) -> None:
        self._limit = limit
        self._interval = interval.total_seconds()
        self._told = int(limit.elapsed / self._interval)

    @property
    def left(self) -> float:
        """Seconds until the next."""
        return (self._told + 1) * self._interval - self._limit.elapsed

    def due(self) -> float | None:
        """The seconds to report, if a report is due."""
        reached = int(self._limit.elapsed / self._interval)
        if reached <= self._told:
            return None
        self._told = reached
        return reached * self._interval


def _before(request: OpenRequest) -> int:
    return int(request.record.nodes_before or 0)


def _after(request: OpenRequest) -> int:
    return int(request.record.nodes_after or 0)


def _changing(request: OpenRequest) -> str:
    return wording.changing(node_type(request), _before(request), _after(request))


def _summary(request: OpenRequest, outcome: Outcome) -> str:
    number = int(request.plan["ready"])
    if not outcome.failed:
        return wording.ready(node_type(request), number, outcome.succeeded, outcome.passed_over)
    failures = wording.reschedule_failures(outcome.failed, outcome.succeeded)
    return f"{number} {node_type(request)} nodes are up, {failures}"


def _not_counted(request: OpenRequest) -> str:
    return _not_counted_names(request.plan.get("not_counted", ()))


def _not_counted_names(names: Sequence[str]) -> str:
    return f"not counted: {', '.join(names)}" if names else ""

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
from worker import notices
from worker.errors import GaveUp
from worker.identity import matched, members
from worker.job import Job
from worker.passes import Passes
from worker.planning import LAG, STALE_SECONDS, Planning, Survey, node_type
from worker.ports import Group, Node
from worker.preflight import launch_failure, up_refusal
from worker.readiness import Expectation, Progress, excluded_names, expect, progress
from worker.reschedule import Outcome
from worker.term import TICK_SECONDS, Countdown, Term
from worker.watch import SHORTEST_SECONDS

log = structlog.get_logger()


class ScaleUp:
    """The flow of one direction; `wave` are the ups that run now, the oldest first."""

    def __init__(self, term: Term, planning: Planning, passes: Passes, wave: Callable[[], Sequence[Job]]) -> None:
        self._term = term
        self._planning = planning
        self._passes = passes
        self._wave = wave

    async def step(self, job: Job) -> None:
        """Do the present step of a job, as far as it goes."""
        match job.record.step:
            case None:
                await self._planning.admit(job)
            case "plan":
                await self._plan(job)
            case "apply":
                await self._apply(job)
            case "wait":
                await _Wait(self._term, self._planning, job).run()
            case "reschedule":
                await self._reschedule(job)

    async def give_up(self, job: Job, reason: str) -> None:
        """End a job that cannot go on. What was raised stays: the next scale-down takes what never joins."""
        if job.record.step in {"wait", "reschedule"}:
            # Desired capacity was raised: the cool-down counts from here, as after a down that was only half done.
            await self._term.memory.update(node_type(job), up_ended_at=self._term.clock.now())
            message = notices.joined(_changing(job), reason)
            await job.end(State.FAILED, message, notices.nodes_timeout(reason))
        else:
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
        await self._planning.permit(survey, up_refusal)
        await job.enter(
            "apply",
            by=survey.limits.by,
            nodes_before=found.before,
            nodes_after=found.after,
            warnings=survey.warnings,
            notes={"expectation": self._expect(job, survey, found.after).document()},
        )

    def _expect(self, job: Job, survey: Survey, after: int) -> Expectation:
        expectation = expect(
            after,
            survey.present,
            survey.group,
            survey.nodes,
            node_type(job),
            self._term.clock.now(),
            self._term.settings.reschedule_timeout,
        )
        others = (other for other in self._wave() if other is not job and "expectation" in other.plan)
        return expectation.behind(Expectation.parse(other.plan["expectation"]) for other in others)

    # --- apply --------------------------------------------------------------------------------------------------

    async def _apply(self, job: Job) -> None:
        name, after = self._planning.group_name(job), _after(job)
        lower = await self._is_lower(job, after)
        if lower:
            await self._term.change_groups.set_desired(name, after)
        now = await self._planning.changed(node_type(job), after, just_now=lower)
        job.say(
            notices.nodes("success", self._planning.request(job), _changing(job)),
            notices.waiting(node_type(job), _before(job), after),
        )
        await job.enter("wait", message=_changing(job), notes={"applied_at": rfc3339(now)})

    async def _is_lower(self, job: Job, after: int) -> bool:
        """Whether the desired capacity is below the target.

        Where Describe says no, but our own last result says yes, one of them is old: after a down it may be
        Describe, and a raise that is left out then would be missing. Time tells, at most LAG.
        """
        while True:
            group, present = await self._planning.look(job)
            if group.desired < after:
                return True
            if present >= after:
                return False
            await self._term.rest(job, STALE_SECONDS)

    # --- reschedule ---------------------------------------------------------------------------------------------

    async def _reschedule(self, job: Job) -> None:
        outcome = await self._passes.serve(job)
        await self._term.memory.update(node_type(job), up_ended_at=self._term.clock.now())
        summary = _summary(job, outcome)
        message = notices.joined(_changing(job), summary, _not_counted(job))
        if outcome.failed:
            await job.end(State.FAILED, message, notices.rescheduled(summary, "error", summary))
        else:
            await job.end(State.SUCCEEDED, message, notices.nodes_ready(summary))


class _Wait:
    """The wait of one job for its nodes."""

    def __init__(self, term: Term, planning: Planning, job: Job) -> None:
        self._term = term
        self._planning = planning
        self._job = job
        self._group_name = planning.group_name(job)
        self._expectation = Expectation.parse(job.plan["expectation"])
        self._applied_at = parse_rfc3339(job.plan["applied_at"])
        self._limit = term.countdown(job.moment("wait"), term.settings.reschedule_timeout)
        self._ticks = _Ticks(self._limit, term.settings.reschedule_ticker_interval)
        self._began = asyncio.get_running_loop().time()
        self._activities_read = float("-inf")

    async def run(self) -> None:
        """Enter the next step when the nodes are there; raise GaveUp when they will not come."""
        while True:
            mark = self._term.watch.mark()
            group, nodes = await self._term.groups.describe(self._group_name), await self._term.swarm.nodes()
            await self._planning.seen(node_type(self._job), group)
            found = progress(self._expectation, group, nodes, node_type(self._job))
            if found.done and group.desired >= self._expectation.target:
                await self._ready(group, nodes, found)
                return
            self._check_not_lowered(group)
            await self._tell_launch_failure()
            if self._limit.over:
                raise GaveUp(self._timeout(group, nodes, found))
            self._tick()
            # Done in a description of before our raise: look again soon, for it counts what has gone since.
            soon = STALE_SECONDS if found.done else TICK_SECONDS
            await self._term.pause(self._job, mark, soon, self._limit.left, self._ticks.left, self._activities_due)

    async def _ready(self, group: Group, nodes: Sequence[Node], found: Progress) -> None:
        node_of = matched(nodes, members(group))
        apart = sum(1 for name in self._expectation.excluded if name in node_of and node_of[name].ready)
        notes = {
            "ready": found.needed + apart,
            "not_counted": list(excluded_names(self._expectation, group, nodes)),
        }
        log.info("nodes_ready", request=self._job.id, ready=found.ready, needed=found.needed)
        await self._job.enter("reschedule", notes=notes)

    def _check_not_lowered(self, group: Group) -> None:
        """Somebody else lowered the group below our target: it will never be reached.

        A description may be older than the one before it, so until the lag is over a low one says nothing.
        """
        looked = asyncio.get_running_loop().time() - self._began
        if group.desired < self._expectation.target and looked > LAG.total_seconds():
            raise GaveUp(
                f"Somebody else lowered the desired capacity of {group.name} to {group.desired} while "
                f"{self._expectation.target} {node_type(self._job)} nodes were awaited. Nothing was undone; "
                "repeat the request if the nodes are still needed"
            )

    @property
    def _activities_due(self) -> float:
        """Seconds until the activities are read again."""
        return self._activities_read + TICK_SECONDS - self._limit.gone

    async def _tell_launch_failure(self) -> None:
        """AWS's own reason, once for each new one, while the wait goes on."""
        if self._activities_due > SHORTEST_SECONDS:
            return
        self._activities_read = self._limit.gone
        failure = launch_failure(await self._term.groups.activities(self._group_name), self._applied_at)
        if failure is None or failure.reason == self._job.plan.get("launch_failure"):
            return
        log.warning("launch_failed", request=self._job.id, reason=failure.reason)
        self._job.say(notices.launch_failed(node_type(self._job), self._expectation.target, failure.reason))
        message = notices.joined(_changing(self._job), notices.launch_reason(failure.reason))
        await self._job.save(message=message, plan={**self._job.plan, "launch_failure": failure.reason})

    def _tick(self) -> None:
        seconds = self._ticks.due()
        if seconds is not None:
            self._job.say(notices.tick(node_type(self._job), seconds, self._expectation.target))

    def _timeout(self, group: Group, nodes: Sequence[Node], found: Progress) -> str:
        names = {instance.id: instance.private_dns_name.split(".")[0] for instance in group.instances}
        missing = ", ".join(f"{name} ({names[name]})" if names.get(name) else name for name in found.missing)
        reason = self._job.plan.get("launch_failure")
        return notices.joined(
            notices.timeout(node_type(self._job), self._limit.length, self._expectation.target),
            f"never joined the Swarm: {missing} (look at their boot log; the next scale-down takes them first)"
            if missing
            else "",
            notices.launch_reason(reason) if reason else "",
            _not_counted_names(excluded_names(self._expectation, group, nodes)),
        )


class _Ticks:
    """When the next progress report is due. Those before a take-over are not repeated."""

    def __init__(self, limit: Countdown, interval: timedelta) -> None:
        self._limit = limit
        self._interval = interval.total_seconds()
        self._told = int(limit.gone / self._interval)

    @property
    def left(self) -> float:
        """Seconds until the next."""
        return (self._told + 1) * self._interval - self._limit.gone

    def due(self) -> float | None:
        """The seconds to report, if a report is due."""
        reached = int(self._limit.gone / self._interval)
        if reached <= self._told:
            return None
        self._told = reached
        return reached * self._interval


def _before(job: Job) -> int:
    return int(job.record.nodes_before or 0)


def _after(job: Job) -> int:
    return int(job.record.nodes_after or 0)


def _changing(job: Job) -> str:
    return notices.changing(node_type(job), _before(job), _after(job))


def _summary(job: Job, outcome: Outcome) -> str:
    number = int(job.plan["ready"])
    if not outcome.failed:
        return notices.ready(node_type(job), number, outcome.succeeded)
    failures = notices.reschedule_failures(outcome.failed, outcome.succeeded)
    return f"{number} {node_type(job)} nodes are up, {failures}"


def _not_counted(job: Job) -> str:
    return _not_counted_names(job.plan.get("not_counted", ()))


def _not_counted_names(names: Sequence[str]) -> str:
    return f"not counted: {', '.join(names)}" if names else ""

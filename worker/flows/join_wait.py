"""The wait of a scale-up: until as many instances of the group as were asked for are Ready nodes of the Swarm.

Swarm events wake it; the group's activities tell meanwhile what AWS cannot launch.
"""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from shared.alertmanager import Alert
from worker.decisions.matching import matched, members
from worker.decisions.readiness import Expectation, Progress, excluded_names, progress
from worker.errors import GaveUp
from worker.flows.capacity import LAG, STALE_SECONDS
from worker.flows.flow import Context
from worker.flows.gone_nodes import remember_members
from worker.flows.nodes import changing, group_name, limited, node_type
from worker.leadership.deadline import Deadline
from worker.leadership.period import TICK_SECONDS
from worker.leadership.swarm_events import SHORTEST_SECONDS
from worker.ports.scaling import Group
from worker.ports.swarm import Node
from worker.requests import owners, wording
from worker.requests.plans import UpPlan
from worker.requests.request import OpenRequest

AT_FIRST_SECONDS, SOON_SECONDS = 20.0, 5.0
"""AWS refuses a launch within seconds: so long the activities are read so often."""

log = structlog.get_logger()


class JoinWait:
    """The wait of one request for its nodes."""

    def __init__(self, context: Context, request: OpenRequest) -> None:
        self._leadership = context.leadership
        self._capacity = context.capacity
        self._shared = context.look
        self._requests = context.requests
        self._request = request
        self._kind = node_type(request)
        self._group_name = group_name(self._leadership, request)
        self._expectation = self._plan.expectation or Expectation()
        self._deadline = self._leadership.deadline(
            request.entered("wait"), self._leadership.settings.reschedule_timeout
        )
        self._lowered_grace = self._leadership.grace(f"low description for {request.id}", LAG)
        self._reports = _Reports(self._deadline, self._leadership.settings.reschedule_ticker_interval)
        self._activities_read = float("-inf")
        self._look_soon = False

    @property
    def _plan(self) -> UpPlan:
        return UpPlan.parse(self._request.record.plan)

    async def run(self) -> None:
        """Enter the next step when the nodes are there. Raises GaveUp when they will not come."""
        since, seconds = self._request.entered("wait"), self._deadline.remaining
        with self._request.waiting_for(awaited(self._request), seconds=seconds, since=since):
            await self._leadership.poll(
                self._request.id, self._look, every=self._until_next_look, deadline=self._deadline
            )

    async def _look(self) -> bool | None:
        described, nodes = await self._shared.at(self._group_name)
        group = self._counted(described)
        await self._capacity.confirm(self._kind, group)
        staying, serving = owners.without_leaving(self._requests, group), owners.staying(self._requests, nodes)
        found = progress(self._expectation, staying, serving, self._kind)
        if found.done and group.desired >= self._expectation.target:
            await self._ready(group, nodes, found)
            return True
        self._check_not_lowered(group)
        await self._tell_launch_failure()
        if self._deadline.passed:
            self._leadership.overdue.update(found.missing)
            raise GaveUp(self._timeout(group, nodes, found))
        self._report()
        # Done in a description of before our raise: look again soon, for it counts what has gone since.
        self._look_soon = found.done
        return None

    def _counted(self, group: Group) -> Group:
        """The group as it counts."""
        return group

    def _say(self, alert: Alert) -> None:
        self._request.say(alert)

    @property
    def _begun(self) -> str:
        return begun(self._request)

    def _until_next_look(self) -> float:
        soon = STALE_SECONDS if self._look_soon else TICK_SECONDS
        return min(soon, self._reports.remaining, self._activities_due)

    async def _ready(self, group: Group, nodes: Sequence[Node], found: Progress) -> None:
        node_of = matched(nodes, members(group))
        apart = sum(1 for name in self._expectation.excluded if name in node_of and node_of[name].ready)
        self._leadership.expected.update(node_of)
        await remember_members(self._leadership, self._kind, group)
        log.info("nodes_ready", request=self._request.id, ready=found.ready, needed=found.needed)
        await self._request.enter(
            "reschedule",
            plan=self._plan.but(
                ready=found.needed + apart, not_counted=excluded_names(self._expectation, group, nodes)
            ),
        )

    def _check_not_lowered(self, group: Group) -> None:
        """Somebody else lowered the group below our target: it will never be reached. Raises GaveUp.

        A description may be older than the one before it, so until the lag is over a low one says nothing.
        """
        if group.desired < self._expectation.target and self._lowered_grace.passed:
            raise GaveUp(
                f"Somebody else lowered the desired capacity of {group.name} to {group.desired} while "
                f"{wording.count(self._expectation.target, f'{self._kind} node')} in all should come up. Nothing was "
                "undone; repeat the request if the nodes are still needed"
            )

    @property
    def _activities_due(self) -> float:
        """Seconds until the activities are read again."""
        elapsed = self._deadline.elapsed
        return self._activities_read + (SOON_SECONDS if elapsed < AT_FIRST_SECONDS else TICK_SECONDS) - elapsed

    async def _tell_launch_failure(self) -> None:
        """AWS's own reason, once for each new one, while the wait goes on."""
        if self._activities_due > SHORTEST_SECONDS:
            return
        self._activities_read = self._deadline.elapsed
        plan = self._plan
        if plan.applied_at is None:
            return
        reason = (await self._leadership.groups.activities(self._group_name)).why_not(plan.applied_at)
        if reason is None or reason == plan.launch_failure:
            return
        log.warning("launch_failed", request=self._request.id, reason=reason)
        self._say(wording.launch_failed(self._kind, self._expectation.target, reason))
        message = wording.joined(self._begun, wording.launch_reason(reason))
        await self._request.save(message=message, plan=plan.but(launch_failure=reason))

    def _report(self) -> None:
        seconds = self._reports.due()
        if seconds is not None:
            self._say(wording.tick(self._kind, seconds, self._expectation.target))

    def _timeout(self, group: Group, nodes: Sequence[Node], found: Progress) -> str:
        names = {instance.id: instance.private_dns_name.split(".")[0] for instance in group.instances}
        missing = ", ".join(f"{name} ({names[name]})" if names.get(name) else name for name in found.missing)
        reason = self._plan.launch_failure
        return wording.joined(
            wording.timeout(self._kind, self._deadline.timeout, self._expectation.target),
            f"never joined the Swarm: {missing} (look at their boot log; the next scale-down takes them first)"
            if missing
            else "",
            wording.launch_reason(reason) if reason else "",
            wording.not_counted(excluded_names(self._expectation, group, nodes)),
        )


class _Reports:
    """When the next progress report is due. Those before a take-over are not repeated."""

    def __init__(self, deadline: Deadline, interval: timedelta) -> None:
        self._deadline = deadline
        self._interval = interval.total_seconds()
        self._told = int(deadline.elapsed / self._interval)

    @property
    def remaining(self) -> float:
        """Seconds until the next."""
        return (self._told + 1) * self._interval - self._deadline.elapsed

    def due(self) -> float | None:
        """The seconds to report, if a report is due."""
        reached = int(self._deadline.elapsed / self._interval)
        if reached <= self._told:
            return None
        self._told = reached
        return reached * self._interval


def awaited(request: OpenRequest) -> str:
    """What the wait of a scale-up is for."""
    number = wording.count(int(request.record.nodes_after or 0), f"{node_type(request)} node")
    return f"{number} to be Ready in the Swarm"


def begun(request: OpenRequest) -> str:
    """The first sentences of a scale-up that has been applied: what changes, and what it was limited by."""
    return wording.joined(changing(request), limited(request))

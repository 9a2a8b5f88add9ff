"""What AWS plans for a machine: people are told once, with the date. Nothing is changed."""

from datetime import timedelta

from shared.records import State
from worker.decisions.matching import INSTANCE_LABEL
from worker.flows.flow import Context
from worker.requests import happenings
from worker.requests.request import OpenRequest


class ScheduledChange:
    """The flow of `scheduled-change`."""

    def __init__(self, context: Context) -> None:
        self._leadership = context.leadership

    async def step(self, request: OpenRequest) -> None:
        """The one step: which nodes it is about, and what to do."""
        named = {str(each) for each in request.record.request.get("instances") or ()}
        hosts = {
            instance: node.hostname
            for node in await self._leadership.swarm.nodes()
            if (instance := node.engine_labels.get(INSTANCE_LABEL)) in named
        }
        for instance, host in hosts.items():
            request.say(happenings.planned(request.record, host, instance))
        names = ", ".join(f"{host} ({instance})" for instance, host in sorted(hosts.items()))
        if not hosts:
            await request.end(State.SKIPPED, f"No node of the Swarm is any of {', '.join(sorted(named))}")
        else:
            await request.end(State.SUCCEEDED, happenings.planned_for(request.record, names))

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """Whatever is wrong here: the date is told."""
        names = ", ".join(map(str, request.record.request.get("instances") or ()))
        message = happenings.planned_for(request.record, names)
        await request.end(State.FAILED, f"{message} ({reason})", happenings.planned(request.record, names, names))

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        """How long the Swarm may not answer."""
        return self._leadership.settings.reschedule_timeout

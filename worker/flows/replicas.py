"""Scaling the replicas of one service: plan, apply.

The target is journaled before the service is touched, and the request label in the same update as the new number
proves that it was: what a person does to the service afterwards is theirs, and never done over.
"""

from datetime import timedelta
from typing import cast

from shared.alertmanager import Alert, Status
from shared.errors import NotFound
from shared.messages import Direction
from shared.records import State
from worker.decisions import bounds
from worker.decisions.bounds import AtBound, target
from worker.errors import GaveUp
from worker.flows.planning import begin, stale
from worker.leadership.period import Leadership
from worker.ports.swarm import REQUEST_LABEL, Service, ServiceChange
from worker.requests import wording
from worker.requests.request import OpenRequest


class ScaleService:
    """The flow."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a job."""
        match request.record.step:
            case None:
                await begin(request, stale(request, self._leadership.settings.request_max_age))
            case _:
                await self._change(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a job that cannot go on."""
        await request.end(State.FAILED, reason, self._alert(request, "error", reason))

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        """How long a step may go on failing."""
        return self._leadership.settings.reschedule_timeout

    async def _change(self, request: OpenRequest) -> None:
        """Plan and apply, alone with the service: nothing of ours changes it in between."""
        service = await self._service(request)
        async with self._leadership.turn(request.id, service.id):
            if request.record.step == "plan":
                await self._plan(request)
            if request.record.step == "apply" and not request.record.state.ended:
                await self._apply(request)

    async def _plan(self, request: OpenRequest) -> None:
        service = await self._service(request)
        way = cast("Direction", request.record.scale)
        limits = bounds.service_limits(self._leadership.settings, service.labels, way, request.record.by)
        found = target(way, service.replicas, limits)
        if isinstance(found, AtBound):
            await self._skip_at_bound(request, found)
            return
        notes = {"before": found.before, "after": found.after, "min": limits.minimum, "max": limits.maximum}
        await request.enter("apply", by=limits.by, warnings=limits.warnings, notes=notes)

    async def _apply(self, request: OpenRequest) -> None:
        after = int(request.plan["after"])
        service = await self._service(request)
        if service.labels.get(REQUEST_LABEL) != request.id:
            change = ServiceChange(request_id=request.id, replicas=after)
            await self._leadership.change_swarm.update_service(service.id, change)
        summary = wording.scaling(
            _name(request), int(request.plan["before"]), after, request.plan["min"], request.plan["max"]
        )
        await request.end(State.SUCCEEDED, summary, self._alert(request, "success", summary))

    async def _service(self, request: OpenRequest) -> Service:
        """The service, if its replicas can be scaled. Raises GaveUp."""
        try:
            service = await self._leadership.swarm.service(_name(request))
        except NotFound as error:
            raise GaveUp(f"docker inspect failed in ScalerService: {error}") from error
        if service.mode != "replicated":
            raise GaveUp(f"{service.name} is a {service.mode} service (can not be scaled)")
        return service

    async def _skip_at_bound(self, request: OpenRequest, found: AtBound) -> None:
        summary = wording.service_at_bound(_name(request), found.bound, found.number)
        settings = self._leadership.settings
        wanted = settings.alert_scale_max if found.bound == "maximum" else settings.alert_scale_min
        await request.end(State.SKIPPED, summary, *([self._alert(request, "success", summary)] if wanted else []))

    @staticmethod
    def _alert(request: OpenRequest, status: Status, summary: str) -> Alert:
        return wording.service(status, str(request.record.scale), _name(request), summary)


def _name(request: OpenRequest) -> str:
    return str(request.record.service)

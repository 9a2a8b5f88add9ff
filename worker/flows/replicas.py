"""Scaling the replicas of one service: plan, apply.

The target is journaled before the service is touched, and the request label in the same update as the new number
proves that it was: what a person does to the service afterwards is theirs, and never done over.
"""

from contextlib import AsyncExitStack

from shared.alertmanager import Alert, Status
from shared.errors import NotFound
from shared.records import State
from worker.decisions.bounds import AtBound, service_limits, target
from worker.errors import GaveUp
from worker.flows.admission import admit
from worker.flows.flow import ContextFlow
from worker.flows.nodes import direction
from worker.ports.swarm import Service
from worker.ports.swarm_changes import REQUEST_LABEL, ServiceChange
from worker.requests import wording
from worker.requests.plans import ReplicasPlan
from worker.requests.request import OpenRequest


class ScaleService(ContextFlow):
    """The flow."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request."""
        match request.record.step:
            case None:
                await admit(self._leadership, request)
            case _:
                await self._change(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on."""
        await request.end(State.FAILED, reason, self._alert(request, "error", reason))

    async def _change(self, request: OpenRequest) -> None:
        """Plan and apply, alone with the service: nothing of ours changes it in between."""
        service = await self._service(request)
        async with AsyncExitStack() as turn:
            with request.waiting_for(f"its turn at the service {service.name}"):
                await turn.enter_async_context(self._leadership.turn(request.id, service.id))
            if request.record.step == "plan":
                await self._plan(request)
            if request.record.step == "apply" and not request.ended:
                await self._apply(request)

    async def _plan(self, request: OpenRequest) -> None:
        service, way = await self._service(request), direction(request)
        limits = service_limits(self._leadership.settings, service.labels, way, request.record.by)
        found = target(way, service.replicas, limits)
        if isinstance(found, AtBound):
            await self._skip_at_bound(request, found)
            return
        plan = ReplicasPlan.parse(request.record.plan).but(
            before=found.before, after=found.after, minimum=limits.minimum, maximum=limits.maximum
        )
        await request.enter("apply", by=limits.by, limited_by=found.limited_by, warnings=limits.warnings, plan=plan)

    async def _apply(self, request: OpenRequest) -> None:
        plan = ReplicasPlan.parse(request.record.plan)
        if plan.after is None:
            raise GaveUp("The record does not say how many replicas there should be. Repeat the request")
        service = await self._service(request)
        if service.labels.get(REQUEST_LABEL) != request.id:
            change = ServiceChange(request_id=request.id, replicas=plan.after)
            await self._leadership.change_swarm.update_service(service.id, change)
        summary = wording.scaling(_name(request), plan.before, plan.after, plan.minimum, plan.maximum)
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

    async def _skip_at_bound(self, request: OpenRequest, at: AtBound) -> None:
        summary = wording.service_at_bound(_name(request), at.bound, at.number)
        settings = self._leadership.settings
        wanted = settings.alert_scale_max if at.bound == "maximum" else settings.alert_scale_min
        alerts = [self._alert(request, "success", summary)] if wanted else []
        await request.end(State.SKIPPED, summary, *alerts, limited_by=at.limit)

    @staticmethod
    def _alert(request: OpenRequest, status: Status, summary: str) -> Alert:
        return wording.service(status, str(request.record.scale), _name(request), summary)


def _name(request: OpenRequest) -> str:
    return str(request.record.service)

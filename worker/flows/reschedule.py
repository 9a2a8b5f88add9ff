"""Rescheduling asked for by itself: all labelled services, or one."""

from shared.errors import NotFound
from shared.records import State
from worker.errors import GaveUp
from worker.flows.admission import admit
from worker.flows.flow import ContextFlow
from worker.flows.rollout import RolloutResult, Selection
from worker.ports.swarm import Service
from worker.requests import wording
from worker.requests.plans import ReschedulePlan
from worker.requests.request import OpenRequest


class Reschedule(ContextFlow):
    """The flow of both actions."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request."""
        match request.record.step:
            case None:
                await admit(self._leadership, request)
            case "plan":
                await self._plan(request)
            case "reschedule":
                await self._run(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on."""
        await request.end(State.FAILED, reason, wording.rescheduled(_headline(request), "error", reason))

    async def _plan(self, request: OpenRequest) -> None:
        chosen = (await self._select(request)).services
        rollout, names = self._context.rescheduler.plan_rollout(request.id, chosen), tuple(each.name for each in chosen)
        plan = ReschedulePlan.parse(request.record.plan).but(rollout=rollout, services=names)
        await request.enter("reschedule", plan=plan)

    async def _run(self, request: OpenRequest) -> None:
        selection = await self._select(request)
        rollout = ReschedulePlan.parse(request.record.plan).rollout
        rollout = rollout or self._context.rescheduler.plan_rollout(request.id, selection.services)
        names = ", ".join(service.name for service in selection.services[:5])
        with (
            request.waiting_for(f"{names or 'no service'} to be updated"),
            self._leadership.watchdog.suspended(request.id),
        ):
            result = await self._context.rescheduler.run(rollout, selection, [request])
        if result.failed:
            summary = wording.reschedule_failures(result.failed, result.succeeded)
            await request.end(State.FAILED, summary, wording.rescheduled(_headline(request), "error", summary))
            return
        if request.record.service and not result.succeeded:
            raise GaveUp(f"docker inspect failed in ReschedulerService: {request.record.service} was removed meanwhile")
        summary = _success(request, result)
        await request.end(State.SUCCEEDED, summary, wording.rescheduled(_headline(request), "success", summary))

    async def _select(self, request: OpenRequest) -> Selection:
        """What is to be rescheduled. Raises GaveUp where a service was named that cannot be."""
        if request.record.service is None:
            return await self._context.rescheduler.labelled()
        try:
            service = await self._leadership.swarm.service(request.record.service)
        except NotFound as error:
            raise GaveUp(f"docker inspect failed in ReschedulerService: {error}") from error
        missing = _not_labelled(service, self._leadership.settings.reschedule_filter_label)
        if missing is not None:
            raise GaveUp(missing)
        unfit = await self._context.rescheduler.refusal(service)
        if unfit is not None:
            raise GaveUp(f"{service.name} is not rescheduled: {unfit}")
        return Selection([service])


def _headline(request: OpenRequest) -> str:
    """The `request` annotation of its alerts."""
    return wording.one_request(request.record.service) if request.record.service else wording.ALL_REQUEST


def _success(request: OpenRequest, result: RolloutResult) -> str:
    if request.record.service:
        return f"Rescheduled service: {request.record.service}"
    return wording.services_rescheduled(result.succeeded, result.passed_over)


def _not_labelled(service: Service, wanted: str) -> str | None:
    """Why the service is not one that may be rescheduled. None: it is."""
    key, _, value = wanted.partition("=")
    present = service.labels.get(key)
    if present is None:
        return f"{service.name} is not labeled with {wanted} (no label)"
    if value and present != value:
        return f"{service.name} is not labeled with {wanted} ({key}={present})"
    return None

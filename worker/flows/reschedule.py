"""Rescheduling asked for by itself: all labelled services, or one."""

from datetime import timedelta

from shared.errors import NotFound
from shared.records import State
from worker.errors import GaveUp
from worker.flows.planning import begin, stale
from worker.flows.rollout import Outcome, Rescheduler, Rollout, Selection
from worker.leadership.period import Leadership
from worker.ports.swarm import Service
from worker.requests import wording
from worker.requests.request import OpenRequest


class Reschedule:
    """The flow of both actions."""

    def __init__(self, leadership: Leadership, rescheduler: Rescheduler) -> None:
        self._leadership = leadership
        self._rescheduler = rescheduler

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a job."""
        match request.record.step:
            case None:
                await begin(request, stale(request, self._leadership.settings.request_max_age))
            case "plan":
                await self._plan(request)
            case "reschedule":
                await self._run(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a job that cannot go on."""
        await request.end(State.FAILED, reason, wording.rescheduled(_request(request), "error", reason))

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        """How long a step may go on failing."""
        return self._leadership.settings.reschedule_timeout

    async def _plan(self, request: OpenRequest) -> None:
        selection = await self._select(request)
        work = self._rescheduler.plan_rollout(request.id, selection.services)
        await request.enter("reschedule", notes={"reschedule": work.document()})

    async def _run(self, request: OpenRequest) -> None:
        work = Rollout.parse(request.plan["reschedule"])
        selection = await self._select(request)
        with self._leadership.watchdog.suspended(request.id):
            outcome = await self._rescheduler.run(work, selection)
        if outcome.failed:
            summary = wording.reschedule_failures(outcome.failed, outcome.succeeded)
            await request.end(State.FAILED, summary, wording.rescheduled(_request(request), "error", summary))
            return
        if request.record.service and not outcome.succeeded:
            raise GaveUp(f"docker inspect failed in ReschedulerService: {request.record.service} was removed meanwhile")
        summary = _success(request, outcome)
        await request.end(State.SUCCEEDED, summary, wording.rescheduled(_request(request), "success", summary))

    async def _select(self, request: OpenRequest) -> Selection:
        """What is to be rescheduled. Raises GaveUp where one was named that cannot be."""
        if request.record.action == "reschedule-services":
            return await self._rescheduler.labelled()
        try:
            service = await self._leadership.swarm.service(str(request.record.service))
        except NotFound as error:
            raise GaveUp(f"docker inspect failed in ReschedulerService: {error}") from error
        missing = _not_labelled(service, self._leadership.settings.reschedule_filter_label)
        if missing is not None:
            raise GaveUp(missing)
        unfit = await self._rescheduler.refusal(service)
        if unfit is not None:
            raise GaveUp(f"{service.name} is not rescheduled: {unfit}")
        return Selection([service])


def _request(request: OpenRequest) -> str:
    return wording.one_request(request.record.service) if request.record.service else wording.ALL_REQUEST


def _success(request: OpenRequest, outcome: Outcome) -> str:
    if request.record.service:
        return f"Rescheduled service: {request.record.service}"
    return wording.services_rescheduled(outcome.succeeded, outcome.passed_over)


def _not_labelled(service: Service, wanted: str) -> str | None:
    """Why the service is not one that may be rescheduled. None: it is."""
    key, _, value = wanted.partition("=")
    present = service.labels.get(key)
    if present is None:
        return f"{service.name} is not labeled with {wanted} (no label)"
    if value and present != value:
        return f"{service.name} is not labeled with {wanted} ({key}={present})"
    return None

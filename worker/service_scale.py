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
from worker import limits, notices
from worker.errors import GaveUp
from worker.job import Job
from worker.limits import AtBound, target
from worker.planning import begin, stale
from worker.ports import REQUEST_LABEL, Service, ServiceChange
from worker.term import Term


class ScaleService:
    """The flow."""

    def __init__(self, term: Term) -> None:
        self._term = term

    async def step(self, job: Job) -> None:
        """Do the present step of a job."""
        match job.record.step:
            case None:
                await begin(job, stale(job, self._term.settings.request_max_age))
            case _:
                await self._change(job)

    async def give_up(self, job: Job, reason: str) -> None:
        """End a job that cannot go on."""
        await job.end(State.FAILED, reason, self._alert(job, "error", reason))

    def patience(self, _job: Job) -> timedelta:
        """How long a step may go on failing."""
        return self._term.settings.reschedule_timeout

    async def _change(self, job: Job) -> None:
        """Plan and apply, alone with the service: nothing of ours changes it in between."""
        service = await self._service(job)
        async with self._term.turn(job.id, service.id):
            if job.record.step == "plan":
                await self._plan(job)
            if job.record.step == "apply" and not job.record.state.ended:
                await self._apply(job)

    async def _plan(self, job: Job) -> None:
        service = await self._service(job)
        way = cast("Direction", job.record.scale)
        bounds = limits.service_limits(self._term.settings, service.labels, way, job.record.by)
        found = target(way, service.replicas, bounds)
        if isinstance(found, AtBound):
            await self._skip_at_bound(job, found)
            return
        notes = {"before": found.before, "after": found.after, "min": bounds.minimum, "max": bounds.maximum}
        await job.enter("apply", by=bounds.by, warnings=bounds.warnings, notes=notes)

    async def _apply(self, job: Job) -> None:
        after = int(job.plan["after"])
        service = await self._service(job)
        if service.labels.get(REQUEST_LABEL) != job.id:
            change = ServiceChange(request_id=job.id, replicas=after)
            await self._term.change_swarm.update_service(service.id, change)
        summary = notices.scaling(_name(job), int(job.plan["before"]), after, job.plan["min"], job.plan["max"])
        await job.end(State.SUCCEEDED, summary, self._alert(job, "success", summary))

    async def _service(self, job: Job) -> Service:
        """The service, if its replicas can be scaled. Raises GaveUp."""
        try:
            service = await self._term.swarm.service(_name(job))
        except NotFound as error:
            raise GaveUp(f"docker inspect failed in ScalerService: {error}") from error
        if service.mode != "replicated":
            raise GaveUp(f"{service.name} is a {service.mode} service (can not be scaled)")
        return service

    async def _skip_at_bound(self, job: Job, found: AtBound) -> None:
        summary = notices.service_at_bound(_name(job), found.bound, found.number)
        settings = self._term.settings
        wanted = settings.alert_scale_max if found.bound == "maximum" else settings.alert_scale_min
        await job.end(State.SKIPPED, summary, *([self._alert(job, "success", summary)] if wanted else []))

    @staticmethod
    def _alert(job: Job, status: Status, summary: str) -> Alert:
        return notices.service(status, str(job.record.scale), _name(job), summary)


def _name(job: Job) -> str:
    return str(job.record.service)

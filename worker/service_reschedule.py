"""Rescheduling asked for by itself: all labelled services, or one."""

from collections.abc import Sequence
from datetime import timedelta

from shared.errors import NotFound
from shared.records import State
from worker import notices
from worker.errors import GaveUp
from worker.job import Job
from worker.planning import begin, stale
from worker.ports import Service
from worker.reschedule import Pass, Rescheduler
from worker.term import Term


class Reschedule:
    """The flow of both actions."""

    def __init__(self, term: Term, rescheduler: Rescheduler) -> None:
        self._term = term
        self._rescheduler = rescheduler

    async def step(self, job: Job) -> None:
        """Do the present step of a job."""
        match job.record.step:
            case None:
                await begin(job, stale(job, self._term.settings.request_max_age))
            case "plan":
                await self._plan(job)
            case "reschedule":
                await self._run(job)

    async def give_up(self, job: Job, reason: str) -> None:
        """End a job that cannot go on."""
        await job.end(State.FAILED, reason, notices.rescheduled(_request(job), "error", reason))

    def patience(self, _job: Job) -> timedelta:
        """How long a step may go on failing."""
        return self._term.settings.reschedule_timeout

    async def _plan(self, job: Job) -> None:
        services = await self._services(job)
        work = self._rescheduler.new_pass(job.id, services)
        await job.enter("reschedule", notes={"reschedule": work.document()})

    async def _run(self, job: Job) -> None:
        work = Pass.parse(job.plan["reschedule"])
        services = await self._services(job)
        with self._term.pulse.resting(job.id):
            outcome = await self._rescheduler.run(work, services)
        if outcome.failed:
            summary = notices.reschedule_failures(outcome.failed, outcome.succeeded)
            await job.end(State.FAILED, summary, notices.rescheduled(_request(job), "error", summary))
            return
        if job.record.service and not outcome.succeeded:
            raise GaveUp(f"docker inspect failed in ReschedulerService: {job.record.service} was removed meanwhile")
        summary = _success(job, outcome.succeeded)
        await job.end(State.SUCCEEDED, summary, notices.rescheduled(_request(job), "success", summary))

    async def _services(self, job: Job) -> Sequence[Service]:
        """What is to be rescheduled. Raises GaveUp where one was named that cannot be."""
        if job.record.action == "reschedule-services":
            return await self._rescheduler.labelled()
        try:
            service = await self._term.swarm.service(str(job.record.service))
        except NotFound as error:
            raise GaveUp(f"docker inspect failed in ReschedulerService: {error}") from error
        missing = _not_labelled(service, self._term.settings.reschedule_filter_label)
        if missing is not None:
            raise GaveUp(missing)
        return [service]


def _request(job: Job) -> str:
    return notices.one_request(job.record.service) if job.record.service else notices.ALL_REQUEST


def _success(job: Job, succeeded: Sequence[str]) -> str:
    if job.record.service:
        return f"Rescheduled service: {job.record.service}"
    return f"{', '.join(succeeded)} rescheduled" if succeeded else "No services to reschedule"


def _not_labelled(service: Service, wanted: str) -> str | None:
    """Why the service is not one that may be rescheduled. None: it is."""
    key, _, value = wanted.partition("=")
    present = service.labels.get(key)
    if present is None:
        return f"{service.name} is not labeled with {wanted} (no label)"
    if value and present != value:
        return f"{service.name} is not labeled with {wanted} ({key}={present})"
    return None

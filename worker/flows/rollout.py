"""Rescheduling: making Swarm place the tasks of labelled services anew, since it never rebalances by itself.

A service is rescheduled by setting one environment variable of it to the time of the pass, which Swarm answers with
an update by the service's own update config. The request label written in the same update proves whose it was; the
value tells batches apart, so every pass has a later value than all that it finds. Success is what Swarm says at the
end of the update, never that it took the order.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import structlog

from shared.errors import NotFound, Refused, Unavailable
from worker.decisions.restarts import not_reschedulable
from worker.errors import leadership_end
from worker.leadership.deadline import Deadline
from worker.leadership.period import TICK_SECONDS, Leadership
from worker.ports.swarm import RESCHEDULE_LABEL, Service, ServiceChange

log = structlog.get_logger()

STAMP = "%Y%m%dT%H%M%S"
AT_ONCE = 8
"""Services that are updated at the same time in one pass."""
SLOW_SECONDS = 30.0
"""An update that takes longer makes room for the next: a stuck service holds no other up."""
RETRY_SECONDS = 1.0
_ABSURD = timedelta(days=1)
_GONE = ""
"""Instead of a reason: the service was removed meanwhile, and nothing of it is left to move."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rescheduling of some services. Journaled before it begins, so that its continuation is the same pass."""

    id: str
    stamp: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"id": self.id, "stamp": self.stamp}

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """The reverse of `document`."""
        return cls(**document)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a pass is about."""

    services: Sequence[Service]
    passed_over: tuple[tuple[str, str], ...] = ()
    """Names, with reasons, of those that asked for it and are not meant to run for ever."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pass ended, service by service."""

    succeeded: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    """Names with reasons."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """The same of those that were left as they are."""


class Rescheduler:
    """Reschedules services within a leadership."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._key = leadership.settings.reschedule_env_key

    async def labelled(self) -> Selection:
        """The services that asked for it, by name; without those whose work would be cut off, or done again."""
        services = await self._leadership.swarm.services(self._leadership.settings.reschedule_filter_label)
        reasons = {service.id: await self.refusal(service) for service in services}
        ordered = sorted(services, key=lambda service: service.name)
        return Selection(
            [service for service in ordered if reasons[service.id] is None],
            tuple((service.name, reason) for service in ordered if (reason := reasons[service.id])),
        )

    async def refusal(self, service: Service) -> str | None:
        """Why the service is not one to reschedule. None: it is."""
        tasks = () if service.restarts_completed else await self._leadership.swarm.tasks(service_id=service.id)
        return not_reschedulable(service, tasks)

    def plan_rollout(self, request_id: str, services: Sequence[Service]) -> Rollout:
        """A pass with a value later than any that the services carry."""
        now = self._leadership.clock.now().replace(microsecond=0, tzinfo=None)
        found = (_moment(service.env.get(self._key, "")) for service in services)
        latest = max((moment for moment in found if moment is not None and moment - now < _ABSURD), default=None)
        stamp = now if latest is None else max(now, latest + timedelta(seconds=1))
        return Rollout(request_id, stamp.strftime(STAMP))

    async def run(self, work: Rollout, selection: Selection) -> Outcome:
        """Reschedule the services, a few at a time, each to the end of its update."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(service: Service) -> str | None:
            place = _Seat(f"{work.id} {service.name}", places)
            async with place:
                with self._leadership.watchdog.watching(place.name):
                    async with self._leadership.turn(place.name, service.id):
                        try:
                            return await self._one(work, service, place)
                        except NotFound:
                            return _GONE

        try:
            async with asyncio.TaskGroup() as tasks:
                running = [(service.name, tasks.create_task(one(service))) for service in selection.services]
        except ExceptionGroup as group:  # not `except*`: Python 3.11.2 wraps what is raised in one once more
            over = leadership_end(group)
            if over is None:
                raise
            raise over from None
        ended = [(name, task.result()) for name, task in running]
        return Outcome(
            succeeded=tuple(name for name, reason in ended if reason is None),
            failed=tuple((name, reason) for name, reason in ended if reason),
            passed_over=selection.passed_over,
        )

    async def _one(self, work: Rollout, service: Service, place: "_Seat") -> str | None:
        """One service to its end. None: well; else why not. What Swarm does not answer is asked again.

        Raises NotFound where it was removed meanwhile.
        """
        limit, counted = self._limit(None), False
        change = ServiceChange(request_id=work.id, env=(self._key, work.stamp))
        while True:
            try:
                present = await self._leadership.swarm.service(service.id)
                if not self._done(work, present):
                    await self._leadership.change_swarm.update_service(service.id, change)
                elif not counted and present.labels.get(RESCHEDULE_LABEL) == work.id:
                    limit = self._limit(present.updated_at)  # the worker before us, or a call without an answer
                counted = True
                return await self._follow(work, service, limit, place)
            except NotFound:
                raise
            except Refused as error:
                return str(error)
            except Unavailable as error:
                if limit.passed:
                    return str(error)
                self._leadership.events.check_now()
                self._leadership.watchdog.heartbeat(place.name)
                await asyncio.sleep(RETRY_SECONDS)

    def _limit(self, since: datetime | None) -> Deadline:
        """Of the update of one service, from when it began."""
        return self._leadership.deadline(
            since or self._leadership.clock.now(), self._leadership.settings.reschedule_timeout
        )

    def _done(self, work: Rollout, service: Service) -> bool:
        """Our update, or a later one, has been made already."""
        if service.labels.get(RESCHEDULE_LABEL) == work.id:
            return True
        return _not_older(service.env.get(self._key, ""), work.stamp)

    async def _follow(self, work: Rollout, service: Service, limit: Deadline, place: "_Seat") -> str | None:
        """Wait for the end of the update that carries our value, or a later one."""
        while True:
            self._leadership.watchdog.heartbeat(place.name)
            if limit.elapsed > SLOW_SECONDS:
                place.free()
            generation = self._leadership.events.generation
            present = await self._leadership.swarm.service(service.id)
            if present.update_state is None and await self._nothing_to_replace(work, present):
                return None
            if present.update_state == "completed":
                return None
            if present.update_state in {"paused", "rollback_paused", "rollback_completed"}:
                return f"its update is {present.update_state}: {present.update_message}".rstrip(": ")
            if limit.passed:
                return f"its update has not ended within {limit.timeout:.0f} seconds"
            await self._leadership.events.changed(generation, min(TICK_SECONDS, limit.remaining))

    async def _nothing_to_replace(self, work: Rollout, service: Service) -> bool:
        """No task of an older value is wanted any more: there was none, or all are replaced."""
        tasks = await self._leadership.swarm.tasks(service_id=service.id)
        wanted = [task for task in tasks if task.desired in {"running", "ready"}]
        return all(_not_older(task.env.get(self._key, ""), work.stamp) for task in wanted)


def _not_older(value: str, stamp: str) -> bool:
    """Whether a value is that of this pass or of a later one. What no pass has written is older than any."""
    found, own = _moment(value), _moment(stamp)
    return found is not None and own is not None and own <= found < own + _ABSURD


class _Seat:
    """One of the places for services that are updated at the same time. It is held until left, or freed before."""

    def __init__(self, name: str, places: asyncio.Semaphore) -> None:
        self.name = name
        self._places = places
        self._held = False

    async def __aenter__(self) -> None:
        await self._places.acquire()
        self._held = True

    async def __aexit__(self, *_: object) -> None:
        self.free()

    def free(self) -> None:
        """Let the next one in."""
        if self._held:
            self._held = False
            self._places.release()


def _moment(value: str) -> datetime | None:
    try:
        return datetime.strptime(value, STAMP)  # noqa: DTZ007 - UTC by convention, only compared with its like
    except ValueError:
        return None

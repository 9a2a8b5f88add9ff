"""Rollouts: making Swarm place the tasks of labelled services anew, since it never rebalances by itself.

A service is rescheduled by setting one environment variable of it to the time of the rollout, which Swarm answers with
an update by the service's own update config. The request label written in the same update proves whose it was; the
value tells rollouts apart, so every rollout has a later value than all that the services carry. Success is what Swarm
says at the end of the update, never that it took the order.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.errors import NotFound, Refused, Unavailable
from worker.decisions.restarts import not_reschedulable
from worker.errors import leadership_end
from worker.leadership.deadline import Deadline
from worker.leadership.period import TICK_SECONDS, Leadership
from worker.ports.swarm import Service
from worker.ports.swarm_changes import RESCHEDULE_LABEL, ServiceChange
from worker.requests.plans import Rollout
from worker.requests.request import OpenRequest

STAMP = "%Y%m%dT%H%M%S"
AT_ONCE = 8
"""Services that are updated at the same time in one rollout."""
SLOW_SECONDS = 30.0
"""An update that takes longer makes room for the next: a stuck service holds no other up."""
RETRY_SECONDS = 1.0
_PLAUSIBLE = timedelta(days=1)
"""A value that lies further ahead than this was not written by a rollout."""
_GONE = ""
"""Instead of a reason: the service was removed meanwhile, and nothing of it is left to move."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a rollout is about."""

    services: Sequence[Service]
    passed_over: tuple[tuple[str, str], ...] = ()
    """Names, with reasons, of those that asked for it and are not meant to run for ever."""


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """How a rollout ended, service by service."""

    succeeded: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    """Names with reasons."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """The same of those that were left as they are."""


class Rescheduler:
    """Reschedules services within one leadership period."""

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
        """A rollout with a value later than any that the services carry."""
        now = self._leadership.clock.now().replace(microsecond=0, tzinfo=None)
        carried = (_moment(service.env.get(self._key, "")) for service in services)
        plausible = (moment for moment in carried if moment is not None and moment - now < _PLAUSIBLE)
        latest = max(plausible, default=None)
        stamp = now if latest is None else max(now, latest + timedelta(seconds=1))
        return Rollout(id=request_id, stamp=stamp.strftime(STAMP))

    async def run(self, rollout: Rollout, selection: Selection, requests: Sequence[OpenRequest]) -> RolloutResult:
        """Reschedule the services, a few at a time, each to the end of its update. Raises LeadershipOver.

        `requests`: those that wait for it.
        """
        seats = asyncio.Semaphore(AT_ONCE)
        updates = [_ServiceUpdate(self._leadership, rollout, each, seats, requests) for each in selection.services]
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [(update.service.name, tasks.create_task(update.run())) for update in updates]
        except ExceptionGroup as group:  # not `except*`: Python 3.11.2 wraps what is raised in one once more
            over = leadership_end(group)
            if over is None:
                raise
            raise over from None
        ended = [(name, task.result()) for name, task in running]
        return RolloutResult(
            succeeded=tuple(name for name, reason in ended if reason is None),
            failed=tuple((name, reason) for name, reason in ended if reason),
            passed_over=selection.passed_over,
        )


class _ServiceUpdate:
    """One service of a rollout, from its turn to the end of its update."""

    def __init__(
        self,
        leadership: Leadership,
        rollout: Rollout,
        service: Service,
        seats: asyncio.Semaphore,
        requests: Sequence[OpenRequest],
    ) -> None:
        self.service = service
        self._leadership = leadership
        self._rollout = rollout
        self._key = leadership.settings.reschedule_env_key
        self._name = f"{rollout.id} {service.name}"
        self._seat = _Seat(seats)
        self._requests = requests

    async def run(self) -> str | None:
        """Update it. None: well; `_GONE` where it was removed meanwhile; else why not."""
        async with self._seat:
            with self._leadership.watchdog.watching(self._name):
                async with self._leadership.turn(self._name, self.service.id):
                    try:
                        return await self._update()
                    except NotFound:
                        return _GONE

    async def _update(self) -> str | None:
        """What Swarm does not answer is asked again. Raises NotFound."""
        deadline, counted = self._deadline(None), False
        change = ServiceChange(request_id=self._rollout.id, env=(self._key, self._rollout.stamp))
        while True:
            try:
                present = await self._leadership.swarm.service(self.service.id)
                if not self._done(present):
                    await self._leadership.change_swarm.update_service(self.service.id, change)
                elif not counted and present.labels.get(RESCHEDULE_LABEL) == self._rollout.id:
                    deadline = self._deadline(present.updated_at)  # the worker before us, or a call without an answer
                counted = True
                return await self._follow(deadline)
            except NotFound:
                raise
            except Refused as error:
                return str(error)
            except Unavailable as error:
                if deadline.passed:
                    return str(error)
                for request in self._requests:
                    request.waits.stumbles(error)
                self._leadership.events.check_now()
                self._leadership.watchdog.heartbeat(self._name)
                await asyncio.sleep(RETRY_SECONDS)

    def _deadline(self, since: datetime | None) -> Deadline:
        """Of the update, from when it began."""
        began = since or self._leadership.clock.now()
        return self._leadership.deadline(began, self._leadership.settings.reschedule_timeout)

    def _done(self, service: Service) -> bool:
        """Our update, or a later one, has been made already."""
        if service.labels.get(RESCHEDULE_LABEL) == self._rollout.id:
            return True
        return _not_older(service.env.get(self._key, ""), self._rollout.stamp)

    async def _follow(self, deadline: Deadline) -> str | None:
        """Wait for the end of the update that carries our value, or a later one."""

        async def ending() -> tuple[str | None] | None:
            if deadline.elapsed > SLOW_SECONDS:
                self._seat.free()
            return await self._ending()

        ended = await self._leadership.poll(self._name, ending, every=TICK_SECONDS, deadline=deadline)
        return f"its update has not ended within {deadline.timeout:.0f} seconds" if ended is None else ended[0]

    async def _ending(self) -> tuple[str | None] | None:
        """How the update has ended: with a reason where it went wrong. None: it has not."""
        present = await self._leadership.swarm.service(self.service.id)
        if present.update_state is None and await self._nothing_to_replace(present):
            return (None,)
        if present.update_state == "completed":
            return (None,)
        if present.update_state in {"paused", "rollback_paused", "rollback_completed"}:
            return (f"its update is {present.update_state}: {present.update_message}".rstrip(": "),)
        return None

    async def _nothing_to_replace(self, service: Service) -> bool:
        """No task of an older value is wanted any more: there was none, or all are replaced."""
        tasks = await self._leadership.swarm.tasks(service_id=service.id)
        wanted = [task for task in tasks if task.desired in {"running", "ready"}]
        return all(_not_older(task.env.get(self._key, ""), self._rollout.stamp) for task in wanted)


class _Seat:
    """One of the seats for services that are updated at the same time. It is held until left, or freed before."""

    def __init__(self, seats: asyncio.Semaphore) -> None:
        self._seats = seats
        self._held = False

    async def __aenter__(self) -> None:
        await self._seats.acquire()
        self._held = True

    async def __aexit__(self, *_: object) -> None:
        self.free()

    def free(self) -> None:
        """Let the next one in."""
        if self._held:
            self._held = False
            self._seats.release()


def _not_older(value: str, stamp: str) -> bool:
    """Whether a value is that of a rollout, or of a later one. What no rollout has written is older than any."""
    carried, own = _moment(value), _moment(stamp)
    return carried is not None and own is not None and own <= carried < own + _PLAUSIBLE


def _moment(value: str) -> datetime | None:
    try:
        return datetime.strptime(value, STAMP)  # noqa: DTZ007 - UTC by convention, only compared with its like
    except ValueError:
        return None

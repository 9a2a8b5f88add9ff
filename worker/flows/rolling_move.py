"""The rolling move: services that leave nodes by an update of their own, before the nodes are drained.

For those that update start-first, or have no restart attempt left: they avoid the nodes until their tasks there are
replaced, and no others. The nodes only take nothing new meanwhile.
"""

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from functools import partial

import structlog

from shared.errors import NotFound
from worker.decisions import displacement
from worker.decisions.restarts import update_running
from worker.leadership.deadline import Deadline
from worker.leadership.period import Leadership
from worker.ports.swarm import Service, Task
from worker.ports.swarm_changes import ServiceChange
from worker.requests.plans import DrainPlan
from worker.requests.request import OpenRequest

log = structlog.get_logger()

POLL_SECONDS = 1.0
_OVER = frozenset({"paused", "rollback_paused", "rollback_completed", "completed"})
"""States of an update that goes no further."""


class RollingMove:
    """Moves such services off some nodes (their ids) until a deadline; what has not moved by then is the drain's."""

    def __init__(self, leadership: Leadership, request: OpenRequest, ids: frozenset[str], deadline: Deadline) -> None:
        self._leadership = leadership
        self._request = request
        self._ids = ids
        self._deadline = deadline

    @property
    def _plan(self) -> DrainPlan:
        return DrainPlan.parse(self._request.record.plan)

    async def run(self, also: Collection[str] = ()) -> None:
        """Move by updates what a drain would move with a gap, or not at all: only the tasks on the nodes.

        `also`: ids of services that move so, too, since no drain comes yet.
        """
        load = await self._leadership.swarm.workload(self._ids, self._plan.avoiding)
        wanted = {service.id for service in displacement.to_update(self._ids, load.tasks, load.services)}
        left = {task.service_id for task in displacement.left(self._ids, load.tasks, load.services)}
        for service in load.services:
            if service.id in wanted or service.id in also or service.id in self._plan.avoiding:
                await self._roll(service, moved=service.id not in left)

    async def _roll(self, service: Service, *, moved: bool) -> None:
        """In turn with others who change the service; without it, where the turn does not come in time."""
        try:
            async with AsyncExitStack() as turn:
                with self._request.waiting_for(f"its turn at the service {service.name}"):
                    mine = self._leadership.turn(self._request.id, service.id, within=self._deadline)
                    await turn.enter_async_context(mine)
                await self._roll_now(service, moved=moved)
        except TimeoutError:
            log.info("service_has_no_turn", request=self._request.id, service=service.name)

    async def _roll_now(self, service: Service, *, moved: bool) -> None:
        """The service avoids the nodes until its tasks are gone from there and the update has ended.

        `moved`: they are gone already, by the worker before us.
        """
        ids = tuple(sorted(self._ids))
        if service.id not in self._plan.avoiding:
            await self._request.save(plan=self._plan.but(avoiding=(*self._plan.avoiding, service.id)))
        try:
            if not moved:
                await self._update(service, avoid=ids)
            with self._request.waiting_for(f"{service.name} to move", seconds=self._deadline.remaining):
                rolled = partial(self._rolled_off, service)
                await self._leadership.poll(self._request.id, rolled, every=POLL_SECONDS, deadline=self._deadline)
            await self._update(service, allow=ids)
        except NotFound:
            log.info("moved_service_gone", request=self._request.id, service=service.name)
        avoiding = tuple(each for each in self._plan.avoiding if each != service.id)
        await self._request.save(plan=self._plan.but(avoiding=avoiding))

    async def _update(self, service: Service, *, avoid: tuple[str, ...] = (), allow: tuple[str, ...] = ()) -> None:
        change = ServiceChange(request_id=self._request.id, avoid=avoid, allow=allow)
        await self._leadership.change_swarm.update_service(service.id, change)

    async def _rolled_off(self, service: Service) -> bool | None:
        """Nothing of the service is left on the nodes and its update is over; or it is stuck."""
        tasks = await self._leadership.swarm.tasks(service_id=service.id)
        present = await self._leadership.swarm.service(service.id)
        moved = not displacement.left(self._ids, tasks, [present]) and not update_running(present)
        return moved or present.update_state in _OVER or _no_room(tasks) or None


def _no_room(tasks: Sequence[Task]) -> bool:
    """There is no room for two of it at once: it has to move the other way."""
    return any(task.state == "pending" and task.desired == "running" and task.error for task in tasks)

"""Draining: moving everything off the nodes that will go.

What the nodes were is journaled before they are touched, so that whoever comes next can give them back as they were.
Swarm's drain stops a task before its replacement runs, and uses a restart attempt up. So services that update
start-first, or have no attempt left, are moved before it, from nodes that only take nothing new (`pause`): they avoid
the nodes until the drain is set, which has Swarm replace their tasks there and no others. Tasks emit no events: they
are looked at every second.
"""

from collections.abc import Collection, Sequence
from functools import partial

import structlog

from shared.errors import NotFound
from worker.decisions import displacement
from worker.decisions.restarts import update_running
from worker.errors import GaveUp, Revised
from worker.leadership.period import Leadership
from worker.ports.swarm import Availability, Service, ServiceChange, Task
from worker.requests import departures
from worker.requests.departures import Problem
from worker.requests.plans import DepartingNode, DownPlan
from worker.requests.request import OpenRequest

log = structlog.get_logger()

POLL_SECONDS = 1.0


class Drain:
    """Moves everything off the nodes of a scale-down."""

    def __init__(self, leadership: Leadership, request: OpenRequest) -> None:
        self._leadership = leadership
        self._request = request
        self._nodes = [node for node in self._plan.nodes if node.node_id is not None]
        self._ids = frozenset(node.node_id for node in self._nodes if node.node_id)
        self._deadline = leadership.deadline(request.entered("drain"), leadership.settings.drain_timeout)

    @property
    def _plan(self) -> DownPlan:
        return DownPlan.parse(self._request.record.plan)

    async def run(self) -> None:
        """Return when every task of the nodes runs elsewhere. Raises GaveUp."""
        if not self._nodes:
            return
        if self._plan.slots is None:
            await self._note_active()
            await self._pause()
            await self._note_slots()
        if self._plan.draining is None:
            await self._move_ahead()
        if self._plan.draining != "done":
            await self._note_slots()  # the move takes time: what runs there now counts, not what ran before it
            await self._check_nothing_is_lost()
            await self._drain()
        await self.emptied()

    async def emptied(self) -> None:
        """Return once nothing runs on the nodes, and all that did runs elsewhere. Raises GaveUp."""

        async def moved() -> bool | None:
            problems[:] = await self._problems()
            return None if problems else True

        problems: list[Problem] = []
        if not self._nodes:
            return
        names = ", ".join(node.name for node in self._nodes)
        with self._request.waiting_for(f"what ran on {names} to run elsewhere", seconds=self._deadline.remaining):
            over = await self._leadership.poll(self._request.id, moved, every=POLL_SECONDS, deadline=self._deadline)
        if not over:
            raise GaveUp(departures.drain_stuck(names, self._deadline.timeout, problems))

    async def is_over(self) -> bool:
        """Whether that is so at this moment. Raises GaveUp where somebody wants one of the nodes back."""
        return not await self._problems()

    async def _pause(self) -> None:
        """Let nothing new arrive. Where somebody has drained a node by hand, nothing arrives anyway."""
        for node in self._nodes:
            if not self._is_left_drained(node):
                await self._set(node, "pause", {node.availability})

    async def _drain(self) -> None:
        await self._request.save(plan=self._plan.but(draining="begun"))
        for node in self._nodes:
            await self._set(node, "drain", {"drain"} if self._is_left_drained(node) else {"pause"})
        await self._request.save(plan=self._plan.but(draining="done"))

    def _is_left_drained(self, node: DepartingNode) -> bool:
        """Somebody had drained it, so we did not pause it. The first version paused all of them."""
        return node.availability == "drain" and bool(self._plan.chosen)

    async def _set(self, node: DepartingNode, availability: Availability, expected: Collection[Availability]) -> None:
        """Set it, unless somebody has set another since we looked. Raises GaveUp."""
        self._leadership.watchdog.heartbeat(self._request.id)
        try:
            await self._leadership.change_swarm.update_node(
                str(node.node_id), availability=availability, expected=expected
            )
        except NotFound:
            log.info("departing_node_gone", request=self._request.id, node=node.name)
        except Revised as revised:
            raise GaveUp(_revised(node, revised.availability)) from revised

    async def _note_active(self) -> None:
        """Somebody may have made one of the nodes active since the plan: then active is what it is given back as."""
        active = {node.id for node in await self._leadership.swarm.nodes() if node.availability == "active"}
        if any(node.node_id in active and node.availability != "active" for node in self._nodes):
            nodes = [each.but(availability="active") if each.node_id in active else each for each in self._plan.nodes]
            await self._request.save(plan=self._plan.but(nodes=tuple(nodes)))

    async def _note_slots(self) -> None:
        """What runs there now, with nothing new arriving, and so has to run elsewhere; with what ran there before."""
        tasks, services = await self._leadership.swarm.tasks(), await self._leadership.swarm.services()
        await self._check_not_revived()
        self._check_nothing_is_cut_off(displacement.holders(tasks, services))
        slots = {*self._slots(), *displacement.slots(self._ids, tasks, services)}
        if self._plan.slots is None or slots != set(self._slots()):
            await self._request.save(plan=self._plan.but(slots=tuple(sorted(slots))))

    def _check_nothing_is_cut_off(self, holders: frozenset[str]) -> None:
        """What cannot move may have begun there after the plan, before the nodes were paused. Raises GaveUp."""
        names = ", ".join(node.name for node in self._nodes if node.node_id in holders)
        if names:
            raise GaveUp(
                f"A job, or a task that must not be moved, has just begun on {names} and would be cut off: it stays. "
                "Wait until it has ended, then repeat the request"
            )

    async def _move_ahead(self) -> None:
        """Move by updates what a drain would move with a gap, or not at all: only the tasks on the nodes."""
        tasks, services = await self._leadership.swarm.tasks(), await self._leadership.swarm.services()
        wanted = {service.id for service in displacement.to_update(self._ids, tasks, services)}
        for service in services:
            if service.id in wanted or service.id in self._plan.avoiding:
                await self._roll(service, moved=service.id not in wanted)

    async def _roll(self, service: Service, *, moved: bool) -> None:
        """The service avoids the nodes until its tasks are gone from there and the update has ended.

        `moved`: they are gone already, by the worker before us.
        """
        self._request.waits(f"its turn at the service {service.name}")
        async with self._leadership.turn(self._request.id, service.id):
            self._request.works()
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
        return moved or _halted(present) or _no_room(tasks) or None

    async def _check_nothing_is_lost(self) -> None:
        """Raises GaveUp where Swarm would not start again what the drain is about to stop."""
        tasks, services = await self._leadership.swarm.tasks(), await self._leadership.swarm.services()
        lost = displacement.lost_by_drain(self._ids, tasks, services)
        if lost:
            raise GaveUp(departures.lost_by_drain([str(slot) for slot in lost[: departures.NAMED]]))

    async def _problems(self) -> Sequence[Problem]:
        """Why the nodes cannot go yet: what still runs there, or does not run elsewhere."""
        tasks, services = await self._leadership.swarm.tasks(), await self._leadership.swarm.services()
        left = displacement.left(await self._check_not_revived(), tasks, services)
        unsettled = displacement.unsettled(self._slots(), tasks, services, self._ids)
        stopping = {(task.service_id, task.slot) for task in left if task.told_to_stop}
        slots = [Problem(str(each), (each.service_id, each.slot) in stopping) for each in unsettled]
        return slots or [Problem(_task_text(task, services), task.told_to_stop) for task in left]

    async def _check_not_revived(self) -> frozenset[str]:
        """The ids of the nodes that are up: on one that is down nothing runs, whatever its tasks still say.

        Raises GaveUp where somebody wants one of the nodes back.
        """
        others = {"active", "pause"} if self._plan.draining == "done" else {"active"}  # not set by us, as far as known
        nodes = {node.id: node for node in await self._leadership.swarm.nodes()}
        for node in self._nodes:
            present = nodes.get(str(node.node_id))
            if present is not None and present.availability in others:
                raise GaveUp(_revised(node, present.availability))
        return frozenset(node_id for node_id in self._ids if node_id in nodes and nodes[node_id].state != "down")

    def _slots(self) -> list[displacement.Slot]:
        return list(self._plan.slots or ())


def _revised(node: DepartingNode, availability: str) -> str:
    """Somebody has another wish for a node than its removal."""
    if availability == "active":
        return f"Somebody made {node.name} active again while it was drained: it stays"
    return f"Somebody set the availability of {node.name} to {availability} while it was drained: it stays"


def _task_text(task: Task, services: Sequence[Service]) -> str:
    name = next((service.name for service in services if service.id == task.service_id), task.service_id)
    return f"{name}.{task.slot or task.node_id} ({task.state}{': ' + task.error if task.error else ''})"


def _no_room(tasks: Sequence[Task]) -> bool:
    """There is no room for two of it at once: it has to move the other way."""
    return any(task.state == "pending" and task.desired == "running" and task.error for task in tasks)


def _halted(service: Service) -> bool:
    return service.update_state in {"paused", "rollback_paused", "rollback_completed", "completed"}

"""Draining: moving everything off the nodes that will go, and giving the nodes back when that fails.

What the nodes were is journaled before they are touched, so that they can be given back as they were, whoever does
it. Swarm's drain stops a task before its replacement runs, and uses a restart attempt up. Services that update
start-first, or have no attempt left, are moved before it, from nodes that only take nothing new (`pause`): they are
told to avoid the nodes until the drain is set, which has Swarm replace their tasks there and no others. Tasks emit
no events: they are looked at every second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import structlog

from shared.errors import NotFound
from shared.messages import Role
from worker.decisions import displacement
from worker.decisions.restarts import update_running
from worker.decisions.victims import Victim
from worker.errors import GaveUp
from worker.leadership.period import Leadership
from worker.ports.swarm import Availability, Node, Service, ServiceChange, Task
from worker.requests.request import OpenRequest

log = structlog.get_logger()

POLL_SECONDS = 1.0
NAMED = 5
"""At most so many tasks are named in a message."""


@dataclass(frozen=True, slots=True)
class DepartingNode:
    """A node on its way out, and what it was before. An instance that never joined has none."""

    instance_id: str
    name: str
    node_id: str | None = None
    availability: Availability = "active"
    manager: bool = False

    @classmethod
    def of(cls, victim: Victim, nodes: Mapping[str, Node]) -> Self:
        """A chosen victim with what its node is now."""
        node = nodes.get(victim.node_id or "")
        if node is None:
            return cls(victim.instance_id, victim.name)
        is_manager = node.manager is not None or node.role == "manager"
        return cls(victim.instance_id, victim.name, node.id, node.availability, is_manager)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The reverse of `document`."""
        return cls(**document)


def leaving(request: OpenRequest) -> tuple[DepartingNode, ...]:
    """The nodes that a job removes."""
    return tuple(DepartingNode.parse(document) for document in request.plan["leaving"])


def remaining(request: OpenRequest) -> tuple[DepartingNode, ...]:
    """Those of them that have not been terminated."""
    gone = set(request.plan.get("terminated", ()))
    return tuple(node for node in leaving(request) if node.instance_id not in gone)


class Drain:
    """Moves everything off a job's nodes."""

    def __init__(self, leadership: Leadership, request: OpenRequest) -> None:
        self._leadership = leadership
        self._request = request
        self._all = leaving(request)
        self._nodes = [node for node in self._all if node.node_id is not None]
        self._ids = frozenset(node.node_id for node in self._nodes if node.node_id)
        self._limit = leadership.deadline(request.moment("drain"), leadership.settings.drain_timeout)

    async def run(self) -> None:
        """Return when every task of the nodes runs elsewhere. Raises GaveUp."""
        if not self._nodes:
            return
        if "slots" in self._request.plan:
            await self._check_not_revived()  # before it is drained once more: what people have done since counts
        else:
            await self._note_active()
            await self._set("pause")
            await self._note_slots()
        await self._move_ahead()
        await self._check_nothing_is_lost()
        await self._set("drain")
        await self.emptied()

    async def emptied(self) -> None:
        """Return once nothing runs on the nodes, and all that did runs elsewhere. Raises GaveUp."""
        if not self._nodes:
            return
        while problems := await self._problems():
            if self._limit.passed:
                raise GaveUp(self._stuck(problems))
            await self._leadership.pause(self._request.id, self._leadership.events.generation, POLL_SECONDS)

    async def is_over(self) -> bool:
        """Whether that is so at this moment. Raises GaveUp where somebody wants one of the nodes back."""
        return not await self._problems()

    async def _set(self, availability: Availability) -> None:
        for node in self._nodes:
            self._leadership.watchdog.heartbeat(self._request.id)
            try:
                await self._leadership.change_swarm.update_node(str(node.node_id), availability=availability)
            except NotFound:
                log.info("leaving_node_gone", request=self._request.id, node=node.name)

    async def _note_active(self) -> None:
        """Somebody may have made one of the nodes active since the plan: then active is what it is given back as."""
        active = {node.id for node in await self._leadership.swarm.nodes() if node.availability == "active"}
        if any(node.node_id in active and node.availability != "active" for node in self._nodes):
            present = [replace(each, availability="active") if each.node_id in active else each for each in self._all]
            await self._request.note(leaving=[each.document() for each in present])

    async def _note_slots(self) -> None:
        """What runs there now, with nothing new arriving, and so has to run elsewhere."""
        tasks, services = await self._leadership.swarm.tasks(), await self._leadership.swarm.services()
        self._check_nothing_is_cut_off(displacement.holders(tasks, services))
        await self._request.note(slots=[list(slot) for slot in displacement.slots(self._ids, tasks, services)])

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
        begun = set(self._request.plan.get("avoiding", ()))
        for service in services:
            if service.id in wanted | begun:
                await self._roll(service, moved=service.id not in wanted)

    async def _roll(self, service: Service, *, moved: bool) -> None:
        """The service avoids the nodes until its tasks are gone from there and the update has ended.

        `moved`: they are gone already, by the worker before us.
        """
        async with self._leadership.turn(self._request.id, service.id):
            ids = tuple(sorted(self._ids))
            begun = self._request.plan.get("avoiding", ())
            if service.id not in begun:
                await self._request.note(avoiding=[*begun, service.id])
            try:
                if not moved:
                    await self._change(service, ServiceChange(request_id=self._request.id, avoid=ids))
                await self._until_moved(service)
                await self._change(service, ServiceChange(request_id=self._request.id, allow=ids))
            except NotFound:
                log.info("moved_service_gone", request=self._request.id, service=service.name)
            rest = [each for each in self._request.plan["avoiding"] if each != service.id]
            await self._request.note(avoiding=rest)

    async def _change(self, service: Service, change: ServiceChange) -> None:
        await self._leadership.change_swarm.update_service(service.id, change)

    async def _until_moved(self, service: Service) -> None:
        """Until nothing of it is left on the nodes and its update is over; or it is stuck, or the time has passed."""
        while not self._limit.passed:
            generation = self._leadership.events.generation
            tasks = await self._leadership.swarm.tasks(service_id=service.id)
            present = await self._leadership.swarm.service(service.id)
            moved = not displacement.left(self._ids, tasks, [present])
            if (moved and not update_running(present)) or _halted(present) or _no_room(tasks):
                return
            await self._leadership.pause(self._request.id, generation, self._limit.remaining, POLL_SECONDS)

    async def _check_nothing_is_lost(self) -> None:
        """Raises GaveUp where Swarm would not start again what the drain is about to stop."""
        tasks, services = await self._leadership.swarm.tasks(), await self._leadership.swarm.services()
        lost = displacement.lost_by_drain(self._ids, tasks, services)
        if lost:
            names = ", ".join(str(slot) for slot in lost[:NAMED])
            raise GaveUp(
                f"A drain would stop {names}, and Swarm would not start it again (its restart attempts are used up, or "
                "it has just begun): it stays. Look at `docker service ps`, then repeat the request"
            )

    async def _problems(self) -> Sequence[str]:
        """Why the nodes cannot go yet: what still runs there, or does not run elsewhere."""
        tasks, services = await self._leadership.swarm.tasks(), await self._leadership.swarm.services()
        up = await self._check_not_revived()
        still = [_task_text(task, services) for task in displacement.left(up, tasks, services)]
        unsettled = displacement.unsettled(self._slots(), tasks, services, self._ids)
        return [*map(str, unsettled), *(text for text in still if not unsettled)]

    async def _check_not_revived(self) -> frozenset[str]:
        """The ids of the nodes that are up: on one that is down nothing runs, whatever its tasks still say.

        Raises GaveUp where somebody wants one of the nodes back.
        """
        nodes = {node.id: node for node in await self._leadership.swarm.nodes()}
        for node in self._nodes:
            present = nodes.get(str(node.node_id))
            if present is not None and present.availability == "active":
                raise GaveUp(f"Somebody made {node.name} active again while it was drained: it stays")
        return frozenset(node_id for node_id in self._ids if node_id in nodes and nodes[node_id].state != "down")

    def _slots(self) -> list[displacement.Slot]:
        return [(service_id, slot) for service_id, slot in self._request.plan["slots"]]

    def _stuck(self, problems: Sequence[str]) -> str:
        more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        names = ", ".join(node.name for node in self._nodes)
        return (
            f"The tasks on {names} did not move within {self._limit.timeout:.0f} seconds (DRAIN_TIMEOUT): "
            f"{', '.join(problems[:NAMED])}{more}. The nodes were given back as they were; make room for these "
            "tasks, then repeat the request"
        )


async def give_back(leadership: Leadership, request: OpenRequest) -> None:
    """The nodes that still stand get back the role and the availability they had. Safe to repeat.

    One that somebody has made active again meanwhile stays active.
    """
    await _allow_again(leadership, request)
    active = {node.id for node in await leadership.swarm.nodes() if node.availability == "active"}
    for node in remaining(request):
        if node.node_id is None:
            continue
        leadership.watchdog.heartbeat(request.id)
        try:
            role: Role | None = "manager" if node.manager else None
            availability = None if node.node_id in active else node.availability
            await leadership.change_swarm.update_node(node.node_id, availability=availability, role=role)
        except NotFound:
            log.info("leaving_node_gone", request=request.id, node=node.name)


async def _allow_again(leadership: Leadership, request: OpenRequest) -> None:
    """No service avoids the nodes any more."""
    ids = tuple(node.node_id for node in leaving(request) if node.node_id is not None)
    for service_id in request.plan.get("avoiding", ()):
        try:
            await leadership.change_swarm.update_service(service_id, ServiceChange(request_id=request.id, allow=ids))
        except NotFound:
            log.info("moved_service_gone", request=request.id, service=service_id)


async def abandoned(leadership: Leadership, request: OpenRequest) -> str:
    """After an undo: what does not run and will not be started again by Swarm, in a sentence. Empty: nothing."""
    slots = [(service_id, slot) for service_id, slot in request.plan.get("slots", ())]
    tasks, services = await leadership.swarm.tasks(), await leadership.swarm.services()
    lost = displacement.abandoned(slots, tasks, services)
    if not lost:
        return ""
    names = ", ".join(f"{slot.service}.{slot.slot}" for slot in lost[:NAMED])
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    again = ", ".join(
        f"`docker service update --force {name}`" for name in sorted({slot.service for slot in lost})[:NAMED]
    )
    return f"Swarm will not start {names}{more} again by itself: {again} does"


def _task_text(task: Task, services: Sequence[Service]) -> str:
    name = next((service.name for service in services if service.id == task.service_id), task.service_id)
    return f"{name}.{task.slot or task.node_id} ({task.state}{': ' + task.error if task.error else ''})"


def _no_room(tasks: Sequence[Task]) -> bool:
    """There is no room for two of it at once: it has to move the other way."""
    return any(task.state == "pending" and task.desired == "running" and task.error for task in tasks)


def _halted(service: Service) -> bool:
    return service.update_state in {"paused", "rollback_paused", "rollback_completed", "completed"}

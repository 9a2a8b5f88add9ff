"""Draining: moving everything off some nodes, whatever for: they will go, or shall only be empty.

What the nodes were is journaled before they are touched, so that whoever comes next can give them back as they were.
Swarm's drain stops a task before its replacement runs, and uses a restart attempt up. So services that mind move before
it (`rolling_move`), from nodes that only take nothing new (`pause`). How long it may take, the caller says (`Terms`).
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from shared.errors import NotFound
from worker.decisions import displacement
from worker.decisions.stranded import stranded
from worker.errors import GaveUp, Revised
from worker.flows.flow import Context
from worker.flows.rolling_move import POLL_SECONDS, RollingMove
from worker.leadership.deadline import Deadline
from worker.ports.swarm import Availability, Node
from worker.requests import departures
from worker.requests.departures import Problem
from worker.requests.owners import taken_by
from worker.requests.plans import DepartingNode, DrainPlan
from worker.requests.request import OpenRequest

STANDSTILL_SECONDS = 3.0
"""After so long without a task that moves, what does not is named."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a drain has to keep to."""

    deadline: Deadline
    """By then everything has to run elsewhere."""
    forced: bool = False
    """The machines go whatever is said here, and whatever a person sets: what does not move is named, not refused."""
    move_by: Deadline | None = None
    """Until when services may move at their own pace, before the drain. None: until the deadline."""
    keep_until: Callable[[timedelta], Deadline] | None = None
    """Until when what has no place elsewhere may run on, by how long it may take to stop. None: no longer at all."""


def drain_asked_for(context: Context, request: OpenRequest) -> "Drain":
    """The drain of a request that may be refused: within DRAIN_TIMEOUT from the beginning of its step `drain`."""
    leadership = context.leadership
    deadline = leadership.deadline(request.entered("drain"), leadership.settings.drain_timeout)
    return Drain(context, request, Terms(deadline))


class _Standstill:
    """Has the wait of a request say what keeps it, once nothing has moved for a while."""

    def __init__(self, request: OpenRequest, names: str, deadline: Deadline) -> None:
        self._request, self._names, self._deadline = request, names, deadline
        self._problems: list[Problem] = []
        self._since = deadline.elapsed

    def look(self, problems: Sequence[Problem]) -> None:
        """What keeps it now."""
        elapsed = self._deadline.elapsed
        if self._problems != list(problems):
            self._problems, self._since = list(problems), elapsed
        stands = bool(problems) and elapsed - self._since >= STANDSTILL_SECONDS
        what = departures.moving(self._names, self._problems if stands else ())
        self._request.waits.begin(what, seconds=self._deadline.remaining, since=self._request.entered("drain"))


class Drain:
    """Moves everything off the nodes of a request."""

    def __init__(self, context: Context, request: OpenRequest, terms: Terms) -> None:
        self._requests = context.requests
        self._leadership = context.leadership
        self._request = request
        self._terms = terms
        self._nodes = [node for node in self._plan.nodes if node.node_id is not None]
        self._ids = frozenset(node.node_id for node in self._nodes if node.node_id)

    @property
    def _plan(self) -> DrainPlan:
        return DrainPlan.parse(self._request.record.plan)

    async def run(self) -> Sequence[Problem]:
        """Return when every task of the nodes runs elsewhere.

        What does not: raises GaveUp; where the departure is forced, it is returned at the deadline.
        """
        if not self._nodes:
            return ()
        if self._plan.slots is None:
            await self._note_active(await self._leadership.swarm.nodes(self._ids))
            await self._pause()
            await self._note_slots()
        if self._plan.draining is None:
            await self._move()
            await self._wait_for_room()
        if self._plan.draining != "done":
            await self._note_slots()  # the move takes time: what runs there now counts, not what ran before it
            await self._check_nothing_is_lost()
            await self._drain()
        return await self.emptied()

    async def emptied(self) -> Sequence[Problem]:
        """Return once nothing runs on the nodes, and all that did runs elsewhere. Else as `run`."""

        async def moved() -> bool | None:
            problems[:] = await self._problems()
            standstill.look(problems)
            return None if problems else True

        problems: list[Problem] = []
        deadline = self._terms.deadline
        if not self._nodes:
            return ()
        names = ", ".join(node.name for node in self._nodes)
        standstill = _Standstill(self._request, names, deadline)
        with self._request.waiting_for(departures.moving(names), seconds=deadline.remaining):
            over = await self._leadership.poll(self._request.id, moved, every=POLL_SECONDS, deadline=deadline)
        if not over and not self._terms.forced:
            raise GaveUp(departures.drain_stuck(names, deadline.timeout, problems))
        return problems

    async def is_over(self) -> bool:
        """Whether that is so at this moment. Raises GaveUp where somebody wants one of the nodes back."""
        return not await self._problems()

    async def _pause(self) -> None:
        """Let nothing new arrive. Where a node is drained already, nothing arrives anyway."""
        for node in self._nodes:
            if not self._is_left_drained(node):
                await self._set(node, "pause", {node.availability})

    async def _move(self, also: Collection[str] = ()) -> None:
        move_by = self._terms.move_by or self._terms.deadline
        await RollingMove(self._leadership, self._request, self._ids, move_by).run(also)

    async def _wait_for_room(self) -> None:
        """A drain would cut off what has no place elsewhere: while there is time, wait for one; what has one moves."""
        keep_until = self._terms.keep_until
        if keep_until is None:
            return

        async def fits() -> bool | None:
            nodes, tasks = await self._leadership.swarm.nodes(), await self._leadership.swarm.tasks()
            found = stranded(self._ids, nodes=nodes, services=await self._leadership.swarm.services(), tasks=tasks)
            if not found.staying or keep_until(found.stop_grace).passed:
                return True
            if found.movable and not (self._terms.move_by or keep_until(found.stop_grace)).passed:
                await self._move(found.movable)
            return None

        last = keep_until(timedelta())
        names = ", ".join(node.name for node in self._nodes)
        with self._request.waiting_for(f"room for all that runs on {names}", seconds=last.remaining):
            await self._leadership.poll(self._request.id, fits, every=POLL_SECONDS, deadline=last)

    async def _drain(self) -> None:
        await self._request.save(plan=self._plan.but(draining="begun"))
        for node in self._nodes:
            await self._set(node, "drain", {"drain"} if self._is_left_drained(node) else {"pause"})
        await self._request.save(plan=self._plan.but(draining="done"))

    def _is_left_drained(self, node: DepartingNode) -> bool:
        """Somebody had drained it, so we did not pause it."""
        return node.availability == "drain" and not self._plan.of_first_version

    async def _set(self, node: DepartingNode, availability: Availability, expected: Collection[Availability]) -> None:
        """Set it, unless somebody has set another since we looked. Raises GaveUp, unless it is forced."""
        self._leadership.watchdog.heartbeat(self._request.id)
        self._check_owned(node)
        expected = ("active", "pause") if self._terms.forced else expected  # what is drained already is left so
        swarm = self._leadership.change_swarm
        try:
            await swarm.update_node(str(node.node_id), availability=availability, expected=expected)
        except NotFound:
            log.info("departing_node_gone", request=self._request.id, node=node.name)
        except Revised as revised:
            if not self._terms.forced:
                raise GaveUp(departures.revised(node.name, revised.availability)) from revised

    async def _note_active(self, nodes: Iterable[Node]) -> None:
        """Somebody may have made one of the nodes active since the plan: then active is what it is given back as."""
        active = {node.id for node in nodes if node.availability == "active"}
        if any(node.node_id in active and node.availability != "active" for node in self._plan.nodes):
            ours = [each.but(availability="active") if each.node_id in active else each for each in self._plan.nodes]
            await self._request.save(plan=self._plan.but(nodes=tuple(ours)))

    async def _note_slots(self) -> None:
        """What runs there now, with nothing new arriving, and so has to run elsewhere; with what ran there before."""
        load = await self._leadership.swarm.workload(self._ids)
        await self._check_still_wanted()
        self._check_nothing_is_cut_off(displacement.holders(load.tasks, load.services))
        slots = {*self._slots(), *displacement.slots(self._ids, load.tasks, load.services)}
        if self._plan.slots is None or slots != set(self._slots()):
            await self._request.save(plan=self._plan.but(slots=tuple(sorted(slots))))

    def _check_nothing_is_cut_off(self, holders: frozenset[str]) -> None:
        """What cannot move may have begun there after the plan, before the nodes were paused. Raises GaveUp."""
        names = ", ".join(node.name for node in self._nodes if node.node_id in holders)
        if names and not self._terms.forced:
            raise GaveUp(departures.just_begun(names))

    async def _check_nothing_is_lost(self) -> None:
        """Raises GaveUp where Swarm would not start again what the drain is about to stop."""
        if self._terms.forced:
            return
        load = await self._leadership.swarm.workload(self._ids)
        lost = displacement.lost_by_drain(self._ids, load.tasks, load.services)
        if lost:
            raise GaveUp(departures.lost_by_drain([str(slot) for slot in lost[: departures.NAMED]]))

    async def _problems(self) -> Sequence[Problem]:
        """Why the nodes are not empty yet: what still runs there, or does not run elsewhere."""
        load = await self._leadership.swarm.workload(self._ids, {service_id for service_id, _ in self._slots()})
        tasks, services = load.tasks, load.services
        left = displacement.left(await self._check_still_wanted(), tasks, services)
        unsettled = displacement.unsettled(self._slots(), tasks, services, self._ids)
        stopping = {(task.service_id, task.slot) for task in left if task.told_to_stop}
        slots = [Problem(str(each), (each.service_id, each.slot) in stopping) for each in unsettled]
        return slots or [Problem(departures.task_text(task, services), task.told_to_stop) for task in left]

    async def _check_still_wanted(self) -> frozenset[str]:
        """The ids of the nodes that are up: on one that is down nothing runs, whatever its tasks still say.

        Raises GaveUp where somebody wants one of the nodes back, or a departure has taken one over.
        """
        others = {"active", "pause"} if self._plan.draining == "done" else {"active"}  # not set by us, as far as known
        nodes = {node.id: node for node in await self._leadership.swarm.nodes(self._ids)}
        for node in self._nodes:
            self._check_owned(node)
            present = nodes.get(str(node.node_id))
            if present is not None and present.availability in others and not self._terms.forced:
                raise GaveUp(departures.revised(node.name, present.availability))
        if self._terms.forced and self._plan.draining is None:
            await self._note_active(nodes.values())
        return frozenset(node_id for node_id in self._ids if node_id in nodes and nodes[node_id].state != "down")

    def _check_owned(self, node: DepartingNode) -> None:
        """Raises GaveUp where a departure that nobody can stop has taken the node over: it is drained for that."""
        other = taken_by(self._requests, self._request, node)
        if other is not None and not self._terms.forced:
            raise GaveUp(departures.taken_over(node.name, other))

    def _slots(self) -> list[displacement.Slot]:
        return list(self._plan.slots or ())

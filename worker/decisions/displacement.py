"""What becomes of the tasks on nodes that are going away: would they find room elsewhere, and have they?

Before a drain doubt counts as "does not fit". How room is looked for is `placement`'s business.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.decisions.placement import Placement
from worker.decisions.reasons import Obstacle, Reason
from worker.decisions.restarts import Refill, keeps, refill
from worker.ports.swarm import OVER, Node, Service, Task

Slot = tuple[str, int]
"""Service id and slot: the place of one replica, whichever task fills it at a time."""

MISSING = "missing"
"""Instead of a task's state: Swarm has made none for the slot."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A slot that ran on a leaving node and does not run elsewhere yet."""

    service_id: str
    slot: int
    service: str
    state: str
    """Of the task that shall fill it; `missing` where Swarm has made none."""
    reason: str
    """Swarm's own error, empty where it gives none."""

    def __str__(self) -> str:
        return f"{self.service}.{self.slot} ({self.state}{self.reason and f': {self.reason}'})"


# --- Before a drain ---------------------------------------------------------------------------------------------


class Departures:
    """One snapshot of the Swarm, asked what stands in the way of sets of nodes that would go."""

    def __init__(self, nodes: Sequence[Node], services: Iterable[Service], tasks: Sequence[Task]) -> None:
        self._services = {service.id: service for service in services}
        self._names = {node.id: node.hostname or node.id for node in nodes}
        self._on: dict[str, list[Task]] = {}
        for task in tasks:
            if task.node_id and task.service_id and is_wanted(task):
                self._on.setdefault(task.node_id, []).append(task)
        usable = [node for node in nodes if node.ready and node.availability == "active"]
        self._placement = Placement(usable, self._services, tasks)
        self._waiting = Counter(
            task.service_id
            for task in tasks
            if task.node_id is None and is_wanted(task) and is_moved(task, self._services)
        )

    def obstacles(self, leaving: Collection[str]) -> tuple[Obstacle, ...]:
        """Why not everything on the nodes (their ids) can run elsewhere: each reason once."""
        there = [task for node_id in sorted(leaving) for task in self._on.get(node_id, ())]
        lasting = sorted({kept for task in there if (kept := self._keeps(task))}, key=str)
        moving = Counter(task.service_id for task in there if is_moved(task, self._services))
        homeless = self._placement.obstacles(leaving, moving, self._waiting) if moving else ()
        return (*lasting, *(Obstacle(Reason.WOULD_NOT_FIT, text) for text in homeless))

    def destinations(self, leaving: Collection[str], only: str) -> Mapping[str, Mapping[str, int]]:
        """Where the tasks on one of the nodes that go (its id) would go: service name to hostname to how many."""
        there = self._on.get(only, ())
        moving = Counter(task.service_id for task in there if is_moved(task, self._services))
        found = self._placement.destinations(leaving, moving, self._waiting)
        return {self._services[each].name: {self._names[at]: n for at, n in on.items()} for each, on in found.items()}

    @property
    def looked_at(self) -> int:
        """What the answers have cost so far: how many nodes were looked at."""
        return self._placement.looked_at

    def _keeps(self, task: Task) -> Obstacle | None:
        return keeps(self._services.get(task.service_id), task, self._names.get(task.node_id or "", ""))


def movable(tasks: Iterable[Task], services: Iterable[Service]) -> Counter[str]:
    """Node id to how many living tasks of replicated services would have to move from there."""
    known = {service.id: service for service in services}
    return Counter(task.node_id for task in tasks if task.node_id and task.alive and is_moved(task, known))


def holders(tasks: Iterable[Task], services: Iterable[Service]) -> frozenset[str]:
    """Ids of the nodes on which something runs that cannot move: a job, or a task that never restarts."""
    known = {service.id: service for service in services}
    return frozenset(
        task.node_id
        for task in tasks
        if task.node_id and task.service_id and is_wanted(task) and keeps(known.get(task.service_id), task, "")
    )


def to_update(node_ids: Collection[str], tasks: Sequence[Task], services: Iterable[Service]) -> tuple[Service, ...]:
    """The services to move off the nodes by an update that avoids them (`ServiceChange.avoid`), before the drain.

    Those that update start-first: so no replica is missing meanwhile. And those that Swarm would not start again
    after a drain, for an update uses no attempt up.
    """
    there = _there(node_ids, tasks)
    return tuple(
        service
        for service in services
        if service.id in there
        and service.mode == "replicated"
        and service.restarts
        and (service.start_first or _lost_by_drain(there[service.id], tasks, service))
    )


def lost_by_drain(
    node_ids: Collection[str], tasks: Sequence[Task], services: Iterable[Service]
) -> tuple[Unsettled, ...]:
    """What runs on the nodes at this moment and would run nowhere after a drain. Ask right before it."""
    there = _there(node_ids, tasks)
    lost = (
        Unsettled(service.id, task.slot, service.name, task.state, "Swarm would not start it again")
        for service in services
        for task in _lost_by_drain(there.get(service.id, ()), tasks, service)
    )
    return tuple(lost)


def _there(node_ids: Collection[str], tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Service id to its tasks that are wanted on the nodes."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        if task.node_id in node_ids and is_wanted(task):
            found.setdefault(task.service_id, []).append(task)
    return found


def _lost_by_drain(there: Sequence[Task], tasks: Iterable[Task], service: Service) -> list[Task]:
    if not there or (service.mode == "replicated" and service.restarts and not service.max_attempts):
        return []
    by_slot = _by_slot(tasks, {service.id})
    return [task for task in there if refill(service, task, by_slot[(service.id, task.slot)]) is not Refill.REFILLED]


# --- While draining ---------------------------------------------------------------------------------------------


def slots(node_ids: Collection[str], tasks: Iterable[Task], services: Iterable[Service]) -> tuple[Slot, ...]:
    """What runs on the nodes and has to run elsewhere once they are drained.

    Also what is being stopped there by an update or by somebody's drain: its replacement need not run yet.
    """
    known = {service.id: service for service in services}
    there = (task for task in tasks if task.node_id in node_ids and task.alive and _lasts(task, known))
    return tuple(sorted({(task.service_id, task.slot) for task in there}))


def left(node_ids: Collection[str], tasks: Iterable[Task], services: Iterable[Service]) -> tuple[Task, ...]:
    """Tasks of any service, also of removed ones, that have not stopped on the nodes yet; by service name."""
    names = {service.id: service.name for service in services}
    there = (task for task in tasks if task.service_id and task.node_id in node_ids and task.alive)
    return tuple(sorted(there, key=lambda task: (names.get(task.service_id, task.service_id), task.slot, task.id)))


def unsettled(
    wanted: Iterable[Slot], tasks: Iterable[Task], services: Iterable[Service], leaving: Collection[str]
) -> tuple[Unsettled, ...]:
    """Those of the slots that are still wanted and do not run on a node that stays, with Swarm's reason.

    A slot is wanted no more when its service is gone, or has as many slots as replicas without it (scaled down), or
    when its task has ended well and the service restarts only what failed.
    """
    known = {service.id: service for service in services}
    asked = {slot for slot in wanted if slot[0] in known and known[slot[0]].mode == "replicated"}
    by_slot = _by_slot(tasks, {service_id for service_id, _ in asked})
    filled = Counter(service_id for (service_id, _), there in by_slot.items() if any(map(is_wanted, there)))
    found = []
    for slot in sorted(asked):
        service, there = known[slot[0]], by_slot.get(slot, [])
        given_up = not any(map(is_wanted, there)) and filled[service.id] >= service.replicas
        over = given_up or _completed(service, there)
        if not over and not any(_runs_elsewhere(task, leaving) for task in there):
            found.append(_unsettled(service, slot[1], there, leaving))
    return tuple(found)


def abandoned(wanted: Iterable[Slot], tasks: Sequence[Task], services: Iterable[Service]) -> tuple[Unsettled, ...]:
    """Those of the slots that run nowhere and that Swarm will not fill again: to be asked after an undo.

    One that still starts, or waits for a place, is none of them. `docker service update --force` fills them.
    """
    return tuple(slot for slot in unsettled(wanted, tasks, services, ()) if slot.state == MISSING)


def _completed(service: Service, there: Sequence[Task]) -> bool:
    """Done for good: nothing of it is wanted, and it ended well."""
    return (
        not service.restarts_completed
        and not any(map(is_wanted, there))
        and any(task.state == "complete" for task in there)
    )


def _by_slot(tasks: Iterable[Task], service_ids: Collection[str]) -> dict[Slot, list[Task]]:
    found: dict[Slot, list[Task]] = {}
    for task in tasks:
        if task.service_id in service_ids:
            found.setdefault((task.service_id, task.slot), []).append(task)
    return found


def _runs_elsewhere(task: Task, leaving: Collection[str]) -> bool:
    return task.node_id is not None and task.node_id not in leaving and task.state == "running" and is_wanted(task)


def _unsettled(service: Service, slot: int, there: Sequence[Task], leaving: Collection[str]) -> Unsettled:
    """The task that shall fill the slot speaks for it; a failed one elsewhere, where that has nothing to say."""
    elsewhere = [task for task in there if task.node_id not in leaving]
    wanted = [task for task in elsewhere if is_wanted(task)] or [task for task in there if is_wanted(task)]
    failed = [task for task in elsewhere if task.state in {"failed", "rejected"}]
    reason = next((task.error for task in (*wanted, *failed) if task.error), "")
    return Unsettled(service.id, slot, service.name, wanted[0].state if wanted else MISSING, reason)


# --- Kinds of tasks ---------------------------------------------------------------------------------------------


def is_wanted(task: Task) -> bool:
    """Swarm means to have it running, or to run it to its end."""
    return task.state not in OVER and not task.told_to_stop


def is_moved(task: Task, known: Mapping[str, Service]) -> bool:
    """It has to run elsewhere where its node goes. `known`: services by id."""
    return _lasts(task, known) and not task.told_to_stop


def _lasts(task: Task, known: Mapping[str, Service]) -> bool:
    """Its slot is filled anew wherever it ends; one that was scaled away is to be removed."""
    service = known.get(task.service_id)
    return service is not None and service.mode == "replicated" and service.restarts and task.desired != "remove"

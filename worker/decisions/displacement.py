"""What becomes of the tasks on nodes that are going away: would they find room elsewhere, and have they?

`obstacles` is asked before a drain, and doubt counts as "does not fit". `slots` says before it what has to come back;
`left` and `unsettled` are asked each second of it. How room is looked for is `placement`'s business.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.decisions.placement import OVER, Placement
from worker.ports.swarm import Node, Service, Task

Slot = tuple[str, int]
"""Service id and slot: the place of one replica, whichever task fills it at a time."""

_ENDING = frozenset({"shutdown", "remove"})


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


def obstacles(
    leaving: Collection[str], *, nodes: Sequence[Node], services: Sequence[Service], tasks: Sequence[Task]
) -> tuple[str, ...]:
    """One sentence for each reason why not everything on the leaving nodes (their ids) can run elsewhere."""
    known = {service.id: service for service in services}
    names = {node.id: node.hostname or node.id for node in nodes}
    there = [task for task in tasks if task.node_id in leaving and _wanted(task) and task.service_id]
    lasting = sorted({text for task in there if (text := _cannot_move(task, known, names))})
    staying = [node for node in nodes if node.id not in leaving and node.ready and node.availability == "active"]
    moving = Counter(task.service_id for task in there if _moves(task, known))
    if not moving:
        return tuple(lasting)
    waiting = Counter(
        task.service_id for task in tasks if task.node_id is None and _wanted(task) and _moves(task, known)
    )
    return (*lasting, *Placement(staying, known, tasks).obstacles(moving, waiting))


def movable(tasks: Iterable[Task], services: Iterable[Service]) -> Counter[str]:
    """Node id to how many living tasks of replicated services would have to move from there."""
    known = {service.id: service for service in services}
    return Counter(task.node_id for task in tasks if task.node_id and task.alive and _moves(task, known))


def holders(tasks: Iterable[Task], services: Iterable[Service]) -> frozenset[str]:
    """Ids of the nodes on which something runs that cannot move: a job, or a task that never restarts."""
    known = {service.id: service for service in services}
    return frozenset(
        task.node_id
        for task in tasks
        if task.node_id and task.service_id and _wanted(task) and _cannot_move(task, known, {})
    )


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

    A slot is wanted no more when its service is gone, or has as many slots as replicas without it (scaled down).
    """
    known = {service.id: service for service in services}
    asked = {slot for slot in wanted if slot[0] in known and known[slot[0]].mode == "replicated"}
    by_slot = _by_slot(tasks, {service_id for service_id, _ in asked})
    filled = Counter(service_id for (service_id, _), there in by_slot.items() if any(map(_wanted, there)))
    found = []
    for slot in sorted(asked):
        service, there = known[slot[0]], by_slot.get(slot, [])
        given_up = not any(map(_wanted, there)) and filled[service.id] >= service.replicas
        if not given_up and not any(_runs_elsewhere(task, leaving) for task in there):
            found.append(_unsettled(service, slot[1], there, leaving))
    return tuple(found)


def _by_slot(tasks: Iterable[Task], service_ids: Collection[str]) -> dict[Slot, list[Task]]:
    found: dict[Slot, list[Task]] = {}
    for task in tasks:
        if task.service_id in service_ids:
            found.setdefault((task.service_id, task.slot), []).append(task)
    return found


def _runs_elsewhere(task: Task, leaving: Collection[str]) -> bool:
    return task.node_id is not None and task.node_id not in leaving and task.state == "running" and _wanted(task)


def _unsettled(service: Service, slot: int, there: Sequence[Task], leaving: Collection[str]) -> Unsettled:
    """The task that shall fill the slot speaks for it; a failed one elsewhere, where that has nothing to say."""
    elsewhere = [task for task in there if task.node_id not in leaving]
    wanted = [task for task in elsewhere if _wanted(task)] or [task for task in there if _wanted(task)]
    failed = [task for task in elsewhere if task.state in {"failed", "rejected"}]
    reason = next((task.error for task in (*wanted, *failed) if task.error), "")
    return Unsettled(service.id, slot, service.name, wanted[0].state if wanted else "missing", reason)


# --- Kinds of tasks ---------------------------------------------------------------------------------------------


def _wanted(task: Task) -> bool:
    """Swarm means to have it running, or to run it to its end."""
    return task.state not in OVER and task.desired not in _ENDING


def _moves(task: Task, known: Mapping[str, Service]) -> bool:
    return _lasts(task, known) and task.desired not in _ENDING


def _lasts(task: Task, known: Mapping[str, Service]) -> bool:
    """Its slot is filled anew wherever it ends; one that was scaled away is to be removed."""
    service = known.get(task.service_id)
    return service is not None and service.mode == "replicated" and service.restarts and task.desired != "remove"


def _cannot_move(task: Task, known: Mapping[str, Service], names: Mapping[str, str]) -> str | None:
    """Why a drain would lose this task, if it would."""
    service, where = known.get(task.service_id), names.get(task.node_id or "", "")
    if service is None:
        return f"A service that has just been made or removed has a task on {where}. Repeat the request"
    if service.mode in {"replicated-job", "global-job"}:
        return (
            f"A task of the job {service.name} runs on {where} and would be cut off. "
            f"Wait until it has ended, or remove the job (`docker service rm {service.name}`)"
        )
    if not service.restarts:
        return (
            f"A task of {service.name} runs on {where} and would never be started again (restart condition none). "
            "Wait until it has ended, or give the service another restart condition"
        )
    return None

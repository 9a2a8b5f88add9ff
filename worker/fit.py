"""What becomes of the tasks on nodes that are going away: would they find room elsewhere, and have they?

`obstacles` is asked before a drain. It places the tasks the way Swarm's scheduler does, spread over the nodes and
service by service, once with the largest first and once with the smallest first, for Swarm promises no order: what
finds room both times finds it, and what does not is told, with the reason. Doubt counts as "does not fit".
`left` and `unsettled` are asked each second of a drain; `slots` says before it what has to come back.
What is not known here, and so not judged: volume and network plugins, cluster volumes, reservations of tasks that
still run with an older version of their service.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace, heappop

from worker.constraints import Constraint, holding, parse
from worker.ports import Node, Service, Task

Slot = tuple[str, int]
"""Service id and slot: the place of one replica, whichever task fills it at a time."""

_OVER = frozenset({"complete", "shutdown", "failed", "rejected", "remove", "orphaned"})
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
    swarm = _Swarm(staying, known, tasks)
    homeless = swarm.homeless(moving, largest_first=True) or swarm.homeless(moving, largest_first=False)
    return (*lasting, *(swarm.sentence(known[name], count, moving[name]) for name, count in homeless.items()))


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
    """What runs on the nodes and has to run elsewhere once they are drained."""
    known = {service.id: service for service in services}
    there = (task for task in tasks if task.node_id in node_ids and task.alive and _moves(task, known))
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
    return task.state not in _OVER and task.desired not in _ENDING


def _moves(task: Task, known: Mapping[str, Service]) -> bool:
    service = known.get(task.service_id)
    return service is not None and service.mode == "replicated" and service.restarts and task.desired not in _ENDING


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


# --- Placement --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Room:
    """What is free on one node."""

    node: Node
    cpus: int
    memory: int
    generic: Counter[str]
    total: int = 0
    ports: set[tuple[str, int]] = field(default_factory=set)
    per_service: Counter[str] = field(default_factory=Counter)

    def take(self, service: Service) -> None:
        """Put one task here."""
        self.cpus -= service.cpus
        self.memory -= service.memory
        self.generic.subtract(service.generic)
        self.total += 1
        self.ports |= service.host_ports
        self.per_service[service.id] += 1

    def lacks(self, service: Service) -> str | None:
        """Why one more task of the service cannot run here, in a word or two. None: it can."""
        if service.max_per_node and self.per_service[service.id] >= service.max_per_node:
            return f"{service.max_per_node} replicas per node at most"
        taken = service.host_ports & self.ports
        if taken:
            return "host port " + ", ".join(f"{port}/{protocol}" for protocol, port in sorted(taken)) + " taken"
        return self._short_of(service)

    def _short_of(self, service: Service) -> str | None:
        """Swarm looks at no resource at all where none is reserved, and at each of them where one is."""
        if not (service.cpus or service.memory or service.generic):
            return None
        if service.cpus > self.cpus:
            return f"not {_cpus(service.cpus)} free"
        if service.memory > self.memory:
            return f"not {_bytes(service.memory)} of memory free"
        return next((f"not {n} {kind} free" for kind, n in service.generic.items() if n > self.generic[kind]), None)


class _Swarm:
    """The nodes that stay, with what runs there, and a way to try placements on them."""

    def __init__(self, staying: Sequence[Node], services: Mapping[str, Service], tasks: Iterable[Task]) -> None:
        self._staying = staying
        self._services = services
        ids = {node.id for node in staying}
        present = [task for task in tasks if task.service_id in services and task.state not in _OVER]
        self._there = [(task.node_id, services[task.service_id]) for task in present if task.node_id in ids]
        self._waiting = Counter(task.service_id for task in present if task.node_id is None and _moves(task, services))
        self._allowed: dict[str, list[Node]] = {}
        self._rooms: dict[str, _Room] = {}

    def homeless(self, moving: Mapping[str, int], *, largest_first: bool) -> dict[str, int]:
        """Service id to how many of its moving tasks find no room, tried in one order."""
        self._rooms = self._occupied()
        for service_id in sorted(self._waiting):  # these come first: Swarm tries them whenever something changes
            self._place(self._services[service_id], self._waiting[service_id])
        order = sorted(moving, key=lambda name: (self._size(self._services[name]), name), reverse=largest_first)
        over = {name: self._place(self._services[name], moving[name]) for name in order}
        return {name: count for name, count in over.items() if count}

    def sentence(self, service: Service, homeless: int, moving: int) -> str:
        """Why so many tasks of a service would be homeless, after a try."""
        reason, remedy = self._reason(service)
        return f"{homeless} of {moving} tasks of {service.name} would find no place: {reason}. {remedy}"

    def _occupied(self) -> dict[str, _Room]:
        rooms = {node.id: _Room(node, node.cpus, node.memory, Counter(node.generic)) for node in self._staying}
        for node_id, service in self._there:
            rooms[str(node_id)].take(service)
        return rooms

    def _place(self, service: Service, count: int) -> int:
        """Spread tasks as Swarm does: fewest of this service first, then fewest in all. How many are left over."""
        rooms = (self._rooms[node.id] for node in self._allowed_nodes(service))
        heap = [_entry(room, service) for room in rooms if not room.lacks(service)]
        heapify(heap)
        while heap and count:
            room = self._rooms[heap[0][2]]
            if room.lacks(service):
                heappop(heap)
                continue
            room.take(service)
            count -= 1
            heapreplace(heap, _entry(room, service))
        return count

    def _allowed_nodes(self, service: Service) -> list[Node]:
        if service.id not in self._allowed:
            fitting = [node for node in self._staying if _runs_on(service, node)]
            self._allowed[service.id] = holding(_constraints(service), fitting)
        return self._allowed[service.id]

    def _size(self, service: Service) -> float:
        """How big a task is, beside all that the nodes that stay have."""
        cpus = sum(node.cpus for node in self._staying) or 1
        memory = sum(node.memory for node in self._staying) or 1
        return service.cpus / cpus + service.memory / memory + sum(service.generic.values())

    def _reason(self, service: Service) -> tuple[str, str]:
        if not self._staying:
            return "no other node is Ready and Active", "Bring more nodes up, or remove fewer"
        able = [node for node in self._staying if _runs_on(service, node)]
        if not able:
            return f"no other node has its platform ({_platforms(service)})", "Add a node of that platform"
        if not self._allowed_nodes(service):
            return f"{_pinned(service, able)} holds on no other node", "Give another node what it asks for, or widen it"
        return self._shortage(service), "Add nodes, remove fewer, or lower what the service asks for"

    def _shortage(self, service: Service) -> str:
        allowed = self._allowed_nodes(service)
        lacking = Counter(self._rooms[node.id].lacks(service) or "another order may fit" for node in allowed)
        told = "; ".join(f"{reason} on {_nodes(count)}" for reason, count in lacking.most_common())
        only = f", of which it may use {len(allowed)}" if len(allowed) < len(self._staying) else ""
        why = f" ({', '.join(service.constraints)})" if only and service.constraints else ""
        return f"{told} ({_nodes(len(self._staying))} would stay{only}{why})"


def _entry(room: _Room, service: Service) -> tuple[int, int, str]:
    return room.per_service[service.id], room.total, room.node.id


def _constraints(service: Service) -> list[Constraint]:
    return [parse(text) for text in service.constraints]


def _pinned(service: Service, able: Sequence[Node]) -> str:
    """The constraint that no node meets, or all, where only together they are too much."""
    alone = [constraint.text for constraint in _constraints(service) if not holding([constraint], able)]
    named = alone or list(service.constraints)
    return ("its constraint " if len(named) == 1 else "its constraints ") + ", ".join(named)


_SAME_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


def _runs_on(service: Service, node: Node) -> bool:
    """Swarm's platform filter: what the image leaves empty fits any."""
    if not service.platforms:
        return True
    own = _SAME_ARCHITECTURE.get(node.architecture, node.architecture)
    return any(
        system in {"", node.os} and _SAME_ARCHITECTURE.get(architecture, architecture) in {"", own}
        for system, architecture in service.platforms
    )


def _platforms(service: Service) -> str:
    return ", ".join("/".join(part or "any" for part in platform) for platform in service.platforms)


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def _cpus(nano: int) -> str:
    return f"{nano / 1e9:g} CPUs"


def _bytes(count: int) -> str:
    return f"{count / 2**20:g} MiB"

"""Whether tasks would find room on the nodes that stay, tried the way Swarm's scheduler places them.

Service by service, each spread over the nodes, once with the largest first and once with the smallest first: Swarm
promises no order, so what counts as fitting must fit both ways. What the filters ask is what swarmkit's ask:
https://github.com/moby/swarmkit/blob/master/manager/scheduler/filter.go
Not known here, and so not judged: volume and network plugins, cluster volumes, and the reservations of tasks that
still run with an older version of their service.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace

from worker.decisions.constraints import Constraint, holding, parse
from worker.decisions.room import Room
from worker.ports.swarm import OVER, Node, Service, Task


class Placement:
    """The nodes that may take tasks (Ready and Active ones), with what runs there, and a way to try placements on them.

    Made once for a snapshot, and asked for many sets of nodes that would go: what a trial puts on a node is thrown
    away with the next one.
    """

    def __init__(self, usable: Sequence[Node], services: Mapping[str, Service], tasks: Iterable[Task]) -> None:
        self._usable = usable
        self._services = services
        self._occupied = {node.id: Room(node, node.cpus, node.memory, Counter(node.generic)) for node in usable}
        for task in tasks:
            room, service = self._occupied.get(task.node_id or ""), services.get(task.service_id)
            if room is not None and service is not None and task.state not in OVER:
                room.take(service)
        self._fitting: dict[str, list[Node]] = {}
        self._staying: Sequence[Node] = usable
        self._allowed: dict[str, list[Node]] = {}
        self._rooms: dict[str, Room] = {}
        self.looked_at = 0
        """How many nodes were looked at, all trials together: what they have cost."""

    def obstacles(
        self, leaving: Collection[str], moving: Mapping[str, int], waiting: Mapping[str, int]
    ) -> tuple[str, ...]:
        """One sentence for each service (by id) of whose moving tasks some would find no place once nodes have gone.

        `waiting` tasks have no node yet: they take the room there is, but that they find none is no obstacle.
        """
        self._staying = [node for node in self._usable if node.id not in leaving]
        self._allowed = {}
        self.looked_at += len(self._usable)
        homeless = self._homeless(moving, waiting, False) or self._homeless(moving, waiting, True)
        return tuple(self._sentence(self._services[name], count, moving[name]) for name, count in homeless.items())

    def homeless(
        self, leaving: Collection[str], moving: Mapping[str, int], waiting: Mapping[str, int]
    ) -> frozenset[str]:
        """Ids of the services of whose moving tasks some would find no place, whichever order Swarm takes."""
        self._staying = [node for node in self._usable if node.id not in leaving]
        self._allowed = {}
        return frozenset((*self._homeless(moving, waiting, False), *self._homeless(moving, waiting, True)))

    def destinations(
        self, leaving: Collection[str], moving: Mapping[str, int], waiting: Mapping[str, int]
    ) -> Mapping[str, Mapping[str, int]]:
        """Service id to where its moving tasks would go (node id to how many), tried with the largest first."""
        self._staying = [node for node in self._usable if node.id not in leaving]
        self._allowed = {}
        self._begin(waiting)
        return {name: self._spread(self._services[name], moving[name]) for name in self._by_size(moving)}

    def _homeless(self, moving: Mapping[str, int], waiting: Mapping[str, int], smallest_first: bool) -> dict[str, int]:
        """Service id to how many of its moving tasks find no place, tried in one order."""
        self._begin(waiting)
        order = self._by_size(moving)
        tried = reversed(order) if smallest_first else order
        over = {name: self._place(self._services[name], moving[name]) for name in tried}
        return {name: count for name, count in over.items() if count}

    def _begin(self, waiting: Mapping[str, int]) -> None:
        """A new trial, in which what waits already takes the room there is."""
        self._rooms = {}
        for name in sorted(waiting):
            self._place(self._services[name], waiting[name])

    def _by_size(self, moving: Iterable[str]) -> list[str]:
        """The largest first, beside all that the nodes that stay have."""
        cpus, memory = sum(node.cpus for node in self._staying) or 1, sum(node.memory for node in self._staying) or 1
        return sorted(moving, key=lambda name: (_size(self._services[name], cpus, memory), name), reverse=True)

    def _sentence(self, service: Service, homeless: int, moving: int) -> str:
        reason, remedy = self._reason(service)
        return f"{homeless} of {moving} tasks of {service.name} would find no place: {reason}. {remedy}"

    def _room(self, node_id: str) -> Room:
        """A node's room as this trial has left it."""
        return self._rooms.get(node_id) or self._occupied[node_id]

    def _take(self, node_id: str, service: Service) -> Room:
        if node_id not in self._rooms:
            self._rooms[node_id] = self._occupied[node_id].copy()
        self._rooms[node_id].take(service)
        return self._rooms[node_id]

    def _place(self, service: Service, count: int) -> int:
        """Spread tasks as Swarm does: fewest of this service first, then fewest in all. How many are left over."""
        if _needs_room(service):
            return count - self._spread(service, count).total()
        return 0 if self._allowed_nodes(service) else count

    def _spread(self, service: Service, count: int) -> Counter[str]:
        """Where they go: node id to how many."""
        went: Counter[str] = Counter()
        heap = [_entry(self._room(node.id), service) for node in self._allowed_nodes(service)]
        self.looked_at += len(heap)
        heapify(heap)
        while heap and count:
            room = self._room(heap[0][2])
            if room.lacks(service):
                heappop(heap)
                continue
            count -= 1
            went[room.node.id] += 1
            heapreplace(heap, _entry(self._take(room.node.id, service), service))
        return went

    def _allowed_nodes(self, service: Service) -> list[Node]:
        """Those that stay, and on which its platform and constraints allow it."""
        if service.id not in self._fitting:
            self.looked_at += len(self._usable)
            fitting = [node for node in self._usable if _runs_on(service, node)]
            self._fitting[service.id] = holding(_constraints(service), fitting)
        if service.id not in self._allowed:
            staying = {node.id for node in self._staying}
            self._allowed[service.id] = [node for node in self._fitting[service.id] if node.id in staying]
        return self._allowed[service.id]

    def _reason(self, service: Service) -> tuple[str, str]:
        if not self._staying:
            return "no other node is Ready and Active", "Bring more nodes up, or remove fewer"
        able = [node for node in self._staying if _runs_on(service, node)]
        if not able:
            return f"no other node has its platform ({_platforms(service)})", "Add a node of that platform"
        if not self._allowed_nodes(service):
            return _pinned(service, able), "Give another node what it asks for, or ask for less"
        return self._shortage(service), "Add nodes, remove fewer, or lower what the service asks for"

    def _shortage(self, service: Service) -> str:
        allowed = self._allowed_nodes(service)
        lacking = Counter(self._room(node.id).lacks(service) for node in allowed)
        told = "; ".join(f"{reason} on {_nodes(lacking[reason])}" for reason in sorted(lacking, key=str))
        only = f", of which it may use {len(allowed)}" if len(allowed) < len(self._staying) else ""
        why = f" ({', '.join(service.constraints)})" if only and service.constraints else ""
        return f"{told} ({_nodes(len(self._staying))} would stay{only}{why})"


def _needs_room(service: Service) -> bool:
    """Whether it matters what else runs on a node."""
    return bool(service.cpus or service.memory or service.generic or service.host_ports or service.max_per_node)


def _size(service: Service, cpus: int, memory: int) -> float:
    """How big a task is, beside all that the nodes that stay have."""
    return service.cpus / cpus + service.memory / memory + sum(service.generic.values())


def _entry(room: Room, service: Service) -> tuple[int, int, str]:
    return room.per_service[service.id], room.total, room.node.id


def _constraints(service: Service) -> list[Constraint]:
    return [parse(text) for text in service.constraints]


def _pinned(service: Service, able: Sequence[Node]) -> str:
    """The constraint that no node meets, or all, where only together they are too much."""
    alone = [constraint.text for constraint in _constraints(service) if not holding([constraint], able)]
    if len(alone) == 1:
        return f"its constraint {alone[0]} holds on no other node"
    return f"its constraints {', '.join(alone or service.constraints)} hold on no other node"


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

"""Where the Swarm in memory puts a task: where it fits, to the fewest tasks of its service, then to the fewest."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from worker.ports.swarm import Node, Service

if TYPE_CHECKING:
    from tests.fakes.cluster import Job


class Places:
    """The nodes' room at one moment. `take` uses it up."""

    def __init__(self, nodes: Mapping[str, Node], jobs: "Iterable[Job]", services: Mapping[str, Service]) -> None:
        self._nodes = nodes
        self._tasks: Counter[str] = Counter()
        self._of_service: Counter[tuple[str, str]] = Counter()
        self._cpus: Counter[str] = Counter()
        self._memory: Counter[str] = Counter()
        self._ports: dict[str, set[tuple[str, int]]] = {}
        for job in jobs:
            if job.holds and job.node_id is not None:
                self._occupy(job.node_id, services[job.service_id])

    def take(self, service: Service) -> tuple[str | None, str]:
        """A place for one more task: the node, or None and why there is none."""
        willing = eligible(self._nodes.values(), service)
        fitting = [node.id for node in willing if self._fits(service, node)]
        if not fitting:
            return None, _why(service, some=bool(willing))
        node_id = min(fitting, key=lambda node: (self._of_service[service.id, node], self._tasks[node]))
        self._occupy(node_id, service)
        return node_id, ""

    def _fits(self, service: Service, node: Node) -> bool:
        return (
            (service.max_per_node == 0 or self._of_service[service.id, node.id] < service.max_per_node)
            and self._cpus[node.id] + service.cpus <= node.cpus
            and self._memory[node.id] + service.memory <= node.memory
            and not service.host_ports & self._ports.get(node.id, set())
        )

    def _occupy(self, node_id: str, service: Service) -> None:
        self._tasks[node_id] += 1
        self._of_service[service.id, node_id] += 1
        self._cpus[node_id] += service.cpus
        self._memory[node_id] += service.memory
        self._ports.setdefault(node_id, set()).update(service.host_ports)


def eligible(nodes: Iterable[Node], service: Service) -> list[Node]:
    """The nodes that may run new tasks of a service, full or not."""
    return [node for node in nodes if node.ready and node.availability == "active" and meets(node, service)]


def meets(node: Node, service: Service) -> bool:
    """Whether a node meets the service's constraints."""
    return all(_holds(node, constraint) for constraint in service.constraints)


def _why(service: Service, *, some: bool) -> str:
    if not some and service.constraints:
        return "no suitable node (scheduling constraints not satisfied)"
    return "no suitable node (insufficient resources or max replicas per node limit exceed)"


def _holds(node: Node, constraint: str) -> bool:
    """Whether a constraint (`node.role == manager`) holds for a node."""
    negated = "!=" in constraint
    key, _, value = (part.strip() for part in constraint.partition("!=" if negated else "=="))
    return (_value(node, key) == value) is not negated


def _value(node: Node, key: str) -> str:
    if key.startswith("node.labels."):
        return node.labels.get(key.removeprefix("node.labels."), "")
    if key.startswith("engine.labels."):
        return node.engine_labels.get(key.removeprefix("engine.labels."), "")
    known = {"node.id": node.id, "node.hostname": node.hostname, "node.role": node.role, "node.platform.os": node.os}
    return known.get(key, "")

"""The room on one node: what is free there, and what one more task would lack."""

from collections import Counter
from dataclasses import dataclass, field, replace

from worker.ports.swarm import Node, Service


@dataclass(slots=True)
class Room:
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
        if service.generic:
            self.generic.subtract(service.generic)
        self.total += 1
        self.ports |= service.host_ports
        self.per_service[service.id] += 1

    def copy(self) -> "Room":
        """The same once more."""
        return replace(
            self, generic=Counter(self.generic), ports=set(self.ports), per_service=Counter(self.per_service)
        )

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
            return f"not {service.cpus / 1e9:g} CPUs free" if service.cpus else "CPUs overdrawn"
        if service.memory > self.memory:
            return f"not {service.memory / 2**20:g} MiB of memory free" if service.memory else "memory overdrawn"
        return next((f"not {n} {kind} free" for kind, n in service.generic.items() if n > self.generic[kind]), None)

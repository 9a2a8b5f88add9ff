"""Networks, as far as services and the command line need them: names and ids of overlays."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

from infra.local.engine.clock import Clock
from infra.local.engine.errors import EngineError
from infra.local.engine.events import EventLog
from infra.local.engine.identity import Identities
from infra.local.engine.specs import Json


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    name: str
    driver: str
    scope: str
    created_ns: int
    ingress: bool = False
    body: Json = field(default_factory=dict)


class Networks:
    """The ingress network, the local ones every engine has, and what clients create."""

    def __init__(self, clock: Clock, events: EventLog, ids: Identities) -> None:
        self._clock = clock
        self._events = events
        self._ids = ids
        self._by_id: dict[str, Network] = {}
        self._add("ingress", "overlay", "swarm", ingress=True)
        for name, driver in (("bridge", "bridge"), ("host", "host"), ("none", "null")):
            self._add(name, driver, "local")

    def __iter__(self) -> Iterator[Network]:
        return iter(list(self._by_id.values()))

    def find(self, name: str) -> Network:
        """By id, name or the beginning of the id; EngineError when there is none."""
        if name in self._by_id:
            return self._by_id[name]
        for network in self._by_id.values():
            if network.name == name or network.id.startswith(name):
                return network
        raise EngineError(HTTPStatus.NOT_FOUND, f"network {name} not found")

    def create(self, body: Json) -> Network:
        name = body.get("Name", "")
        if any(network.name == name for network in self._by_id.values()):
            raise EngineError(HTTPStatus.CONFLICT, f"network with name {name} already exists")
        network = self._add(name, body.get("Driver") or "overlay", "swarm", body=body)
        self._events.emit("network", "create", network.id, {"name": name})
        return network

    def remove(self, name: str) -> None:
        network = self.find(name)
        del self._by_id[network.id]
        self._events.emit("network", "remove", network.id, {"name": network.name})

    def _add(self, name: str, driver: str, scope: str, *, ingress: bool = False, body: Json | None = None) -> Network:
        identifier = self._ids.swarm_id("network") if scope == "swarm" else self._ids.container_id()
        network = Network(identifier, name, driver, scope, self._clock.now_ns(), ingress, body or {})
        self._by_id[network.id] = network
        return network

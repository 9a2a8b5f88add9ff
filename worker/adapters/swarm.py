"""The Swarm over a Docker engine that is one of its managers: questions, and the few changes that are allowed.

Names and ids are compared exactly here, since the engine also takes prefixes of both. An update reads the object
afresh, changes one thing, and sends the rest of the spec back as it came, fields unknown to the SDK included.
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from shared.errors import NotFound, Unavailable
from shared.fields import Role
from worker.adapters.engine import Engine
from worker.adapters.engine_address import EngineAddress
from worker.adapters.engine_api import Api, OutOfSequence
from worker.adapters.service_spec import changed_service
from worker.adapters.swarm_filters import with_ids, workload_of
from worker.adapters.swarm_json import identity_of, nodes_of, service_of, services_of, tasks_of
from worker.errors import Revised
from worker.ports.swarm import Availability, Node, Service, SwarmIdentity, Task, Workload
from worker.ports.swarm_changes import ServiceChange

ATTEMPTS = 5
"""How often an update is sent that meets "update out of sequence"."""

# What a path may hold: everything that the engine gives as a name or an id.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

Spec = dict[str, Any]


class DockerSwarm:
    """The Swarm and SwarmChanges ports. Close it with `aclose`, or use it as an asynchronous context manager."""

    def __init__(self, docker_host: str, call_timeout: timedelta, certificates: Path | None = None) -> None:
        """`certificates`: the folder with `ca.pem`, `cert.pem`, `key.pem`, for TLS. Raises BadConfiguration."""
        self._engine = Engine(EngineAddress(docker_host, certificates), call_timeout)

    async def identity(self) -> SwarmIdentity:
        """Raises Unavailable unless the socket answers as a manager of a Swarm that has a leader."""
        return await self._engine.run(lambda api: identity_of(api.get("/info")))

    async def nodes(self, ids: Collection[str] | None = None) -> Sequence[Node]:
        """All nodes, or those of some ids."""
        return await self._engine.run(
            lambda api: nodes_of(api.each("/nodes", {}) if ids is None else with_ids(api, "/nodes", ids))
        )

    async def services(self, label: str | None = None) -> Sequence[Service]:
        """All services, or those with a label (`key` or `key=value`)."""
        filters = {} if label is None else {"label": [label]}
        found = await self._engine.run(lambda api: services_of(api.each("/services", filters)))
        return [service for service in found if label is None or _labelled(service, label)]

    async def service(self, name: str) -> Service:
        """One service, by its exact name or id. Raises NotFound with the engine's own words."""
        return await self._engine.run(lambda api: service_of(_inspect_service(api, name)))

    async def tasks(self, *, service_id: str | None = None, node_id: str | None = None) -> Sequence[Task]:
        """Tasks, also old ones, all or of one service or on one node. A service or node that is gone has none."""
        wanted = {"service": service_id, "node": node_id}
        filters = {key: [value] for key, value in wanted.items() if value is not None}
        try:
            found = await self._engine.run(lambda api: tasks_of(api.each("/tasks", filters)))
        except NotFound:
            return []
        return [task for task in found if service_id in {None, task.service_id} and node_id in {None, task.node_id}]

    async def workload(self, node_ids: Collection[str], service_ids: Collection[str] = ()) -> Workload:
        """What concerns some nodes and some services, and nothing else. What is gone is left out."""
        return await self._engine.run(lambda api: workload_of(api, node_ids, service_ids))

    def changes(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Subscribed from entering on: one item for one or more events of nodes and services since the last.

        Ends, without an error, when the engine goes away. Raises Unavailable on entering.
        """
        return self._engine.events({"type": ["node", "service"], "scope": ["swarm"]})

    async def update_node(
        self,
        node_id: str,
        *,
        availability: Availability | None = None,
        role: Role | None = None,
        expected: Collection[Availability] | None = None,
    ) -> None:
        """Set one or both. Nothing happens where it is so already. Raises NotFound, and Revised."""
        wanted = {key: value for key, value in (("Availability", availability), ("Role", role)) if value is not None}

        def changed(spec: Spec) -> Spec | None:
            present = spec.get("Availability") or "active"
            if expected is not None and present != availability and present not in expected:
                raise Revised(node_id, present)
            return None if spec == {**spec, **wanted} else {**spec, **wanted}

        await self._engine.run(lambda api: _update(api, "/nodes", lambda: _inspect_node(api, node_id), changed))

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """Remove a Down node. One that is not there any more is no error. Raises Refused."""

        def remove(api: Api) -> None:
            found = _inspect_node(api, node_id)
            api.delete(f"/nodes/{found['ID']}", force="1" if force else "0")

        try:
            await self._engine.run(remove)
        except NotFound:
            return

    async def update_service(self, service_id: str, change: ServiceChange) -> None:
        """Change one field and the request label, if the label does not name this request yet. Raises NotFound."""
        await self._engine.run(
            lambda api: _update(
                api,
                "/services",
                lambda: _inspect_service(api, service_id),
                lambda spec: changed_service(spec, change),
                registryAuthFrom="spec",
            )
        )

    async def idle(self) -> None:
        """Wait until no call of ours is on its way any more, not even one that was cancelled."""
        await self._engine.idle()

    async def aclose(self) -> None:
        """End the threads and close the connections."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _update(
    api: Api, path: str, inspect: Callable[[], Any], changed: Callable[[Spec], Spec | None], **params: str
) -> None:
    """Read, change, write; again where somebody else wrote in between. None from `changed`: nothing to do."""
    for _ in range(ATTEMPTS):
        found = inspect()
        spec = changed(found["Spec"])
        if spec is None:
            return
        try:
            api.post(f"{path}/{found['ID']}/update", spec, version=found["Version"]["Index"], **params)
        except OutOfSequence:
            continue
        return
    raise Unavailable(f"Docker: update out of sequence, {ATTEMPTS} times in a row")


def _inspect_node(api: Api, node_id: str) -> Any:
    found = api.get(f"/nodes/{node_id}") if _NAME.fullmatch(node_id) else {}
    if found.get("ID") != node_id:
        raise NotFound(f"node {node_id} not found")
    return found


def _inspect_service(api: Api, name: str) -> Any:
    found = api.get(f"/services/{name}") if _NAME.fullmatch(name) else {}
    if not found or name not in {found["ID"], found["Spec"]["Name"]}:
        raise NotFound(f"service {name} not found")
    return found


def _labelled(service: Service, label: str) -> bool:
    key, has_value, value = label.partition("=")
    return key in service.labels and (not has_value or service.labels[key] == value)

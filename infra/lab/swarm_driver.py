"""The lab's Swarm as its users have it: asked and told through the socket of a manager that lives.

Waits have a deadline, and say what never came.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp

from infra.lab.engine import EngineClient, EngineError
from infra.local.folder import variables

Json = dict[str, Any]
Found = TypeVar("Found")

PATIENCE: Final = 90.0
_LOOK_SECONDS: Final = 0.1
_FORMED_SECONDS: Final = 180.0
"""A node that returns in the moment in which it is given up may be shown as Down for some time: see docs/lab.md."""
_TRIES: Final = 4


class NeverCame(AssertionError):
    """What was waited for was not there in time."""


class SwarmDriver:
    """Over the file of variables that the lab has written."""

    def __init__(self, env: Path) -> None:
        self.values = variables(env)

    async def swarm(self, method: str, path: str, **sent: Any) -> Any:
        """The answer of a manager that lives."""
        async with EngineClient(Path(self.values["DOCKER_HOST"].removeprefix("unix://"))) as engine:
            return await engine.call(method, path, **sent)

    async def nodes(self, role: str | None = None) -> list[Json]:
        """The nodes, or those of a role."""
        nodes: list[Json] = await self.swarm("GET", "/nodes")
        return [node for node in nodes if role in (None, node["Spec"]["Role"])]

    async def node(self, name: str) -> Json:
        """The newest node of that host name."""
        found = [node for node in await self.nodes() if node["Description"].get("Hostname") == name]
        return max(found, key=lambda node: str(node["CreatedAt"]))

    async def down(self, name: str) -> None:
        """Wait until the Swarm has given the node up."""

        async def given_up() -> bool:
            return bool((await self.node(name))["Status"]["State"] == "down")

        await self.eventually(given_up, f"{name} Down")

    async def label_node(self, name: str, **labels: str) -> None:
        """Set labels of a node."""
        await self.update_node(name, Labels={key.replace("_", "."): value for key, value in labels.items()})

    async def update_node(self, name: str, **change: Any) -> None:
        """Change a node's specification."""

        async def read_and_write() -> None:
            node = await self.node(name)
            spec = {**node["Spec"], **change}
            await self.swarm("POST", f"/nodes/{node['ID']}/update?version={node['Version']['Index']}", json=spec)

        await _in_sequence(read_and_write)

    async def tasks(self, service: str) -> list[Json]:
        """The tasks of a service that are wanted."""
        filters = json.dumps({"service": [service], "desired-state": ["running"]})
        tasks: list[Json] = await self.swarm("GET", "/tasks", params={"filters": filters})
        return tasks

    async def running(self, service: str) -> Counter[str]:
        """How many tasks of it run, by node id."""
        return Counter(one["NodeID"] for one in await self.tasks(service) if one["Status"]["State"] == "running")

    async def create(self, spec: Json) -> str:
        """A service, once all its tasks run; its id."""
        created = await self.swarm("POST", "/services/create", json=spec)
        replicas = spec["Mode"]["Replicated"]["Replicas"]
        await self.settled(spec["Name"], replicas)
        return str(created["ID"])

    async def settled(self, service: str, replicas: int) -> None:
        """Wait until so many tasks of it run."""

        async def all_run() -> bool:
            return (await self.running(service)).total() == replicas

        await self.eventually(all_run, f"{replicas} running tasks of {service}")

    async def update(self, service: str, change: Callable[[Json], None]) -> None:
        """Change a service's specification."""

        async def read_and_write() -> None:
            found = await self.swarm("GET", f"/services/{service}")
            change(found["Spec"])
            path = f"/services/{found['ID']}/update?version={found['Version']['Index']}"
            await self.swarm("POST", path, json=found["Spec"])

        await _in_sequence(read_and_write)

    async def formed(self, managers: int = 3, workers: int = 1) -> None:
        """Wait until so many nodes are Ready and Active, and there are no others."""
        wanted = Counter({"manager": managers, "worker": workers})

        async def as_wanted() -> bool:
            nodes = await self.nodes()
            return len(nodes) == managers + workers and Counter(map(_usable_role, nodes)) == wanted

        try:
            await self.eventually(as_wanted, f"{managers} managers and {workers} workers, all Ready", _FORMED_SECONDS)
        except NeverCame as error:
            raise NeverCame(f"{error}; there are: {'; '.join(map(_told, await self.nodes()))}") from error

    async def eventually(
        self,
        look: Callable[[], Awaitable[Found | None]],
        what: str,
        within: float = PATIENCE,
        look_seconds: float = _LOOK_SECONDS,
    ) -> Found:
        """Look until there is something to see. Raises NeverCame."""
        deadline = time.monotonic() + within
        error: EngineError | aiohttp.ClientError | None = None
        while time.monotonic() < deadline:
            try:
                if found := await look():
                    return found
            except (EngineError, aiohttp.ClientError) as failure:  # an engine that is being killed, an election
                error = failure
            await asyncio.sleep(look_seconds)
        raise NeverCame(f"{what}, in {within:.0f} s{f' (last: {error})' if error else ''}")


async def _in_sequence(read_and_write: Callable[[], Awaitable[None]]) -> None:
    """Read and write again where the Swarm wrote in between, as it does when a node reports."""
    for _ in range(_TRIES):
        try:
            return await read_and_write()
        except EngineError as error:
            if "update out of sequence" not in str(error):
                raise
    return await read_and_write()


def _usable_role(node: Mapping[str, Any]) -> str:
    usable = node["Status"]["State"] == "ready" and node["Spec"]["Availability"] == "active"
    if node["Spec"]["Role"] == "manager":
        usable = usable and node.get("ManagerStatus", {}).get("Reachability") == "reachable"
    return str(node["Spec"]["Role"]) if usable else "unusable"


def _told(node: Json) -> str:
    name, role = node["Description"].get("Hostname"), node["Spec"]["Role"]
    return f"{name} ({role}, {node['Status']['State']}, {node['Spec']['Availability']})"

"""What is so, asked of the outside world as any client would: Auto Scaling, the Docker API, the records.

Nothing here looks into the environment's own process, except the call log, for what has changed the group.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp

from infra.local.aws import LAUNCHER_ACCESS_KEY, MANAGER_ASG, WORKER_ASG
from infra.local.environment import Environment

CHANGES: Final = ("SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup", "UpdateAutoScalingGroup")
_ANSWER: Final = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node as `docker node ls` shows it, and how many tasks of `demo` run on it."""

    id: str
    name: str
    instance_id: str
    role: str
    leader: bool
    state: str
    availability: str
    tasks: int

    @property
    def ready(self) -> bool:
        """Whether its machine is there."""
        return self.state == "ready"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Groups and Swarm at one moment."""

    desired: int
    workers: frozenset[str]
    managers: frozenset[str]
    nodes: tuple[NodeFacts, ...]

    @property
    def running(self) -> int:
        """Tasks of `demo` that run."""
        return sum(node.tasks for node in self.nodes)

    @property
    def booting(self) -> frozenset[str]:
        """Instances that are no nodes yet."""
        return (self.workers | self.managers) - {node.instance_id for node in self.nodes}


class Eyes:
    """Looks at one environment, until closed."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._autoscaling = environment.aws.session(LAUNCHER_ACCESS_KEY).client("autoscaling")
        connector = aiohttp.UnixConnector(environment.docker_socket)
        self._docker = aiohttp.ClientSession("http://docker", connector=connector, timeout=_ANSWER)
        self._ingest = aiohttp.ClientSession(timeout=_ANSWER, headers=environment.services.authorization)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._docker.close()
        await self._ingest.close()

    async def post(self, path: str, body: bytes, content_type: str) -> tuple[int, str, dict[str, Any]]:
        """Ask ingest: status, Location, answer."""
        headers = {"Content-Type": content_type}
        async with self._ingest.post(f"{self._environment.url}{path}", data=body, headers=headers) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.json()

    async def record(self, location: str) -> dict[str, Any] | None:
        """A request's record; None before a worker has taken it."""
        async with self._ingest.get(f"{self._environment.url}{location}") as answer:
            found: dict[str, Any] = await answer.json()
            return found if answer.status == 200 else None

    async def page(self) -> int:
        """The status page as a browser gets it; its length in bytes."""
        async with self._ingest.get(self._environment.url, headers={"Accept": "text/html"}) as answer:
            answer.raise_for_status()
            return len(await answer.read())

    async def request_about(self, action: str, instance_id: str) -> dict[str, Any] | None:
        """The first request that AWS's events made for an instance; None before there is one."""
        async with self._ingest.get(f"{self._environment.url}/v1/requests") as answer:
            records: list[dict[str, Any]] = (await answer.json())["requests"]
        about = [one for one in records if one["action"] == action and one.get("instance") == instance_id]
        return min(about, key=lambda one: str(one["requested_at"])) if about else None

    async def cluster(self) -> Cluster:
        """How things stand."""
        groups, nodes = await asyncio.gather(asyncio.to_thread(self._groups), self._nodes())
        workers, managers = groups[WORKER_ASG], groups[MANAGER_ASG]
        return Cluster(workers["DesiredCapacity"], _alive(workers), _alive(managers), nodes)

    def changes_since(self, moment: float) -> dict[str, list[float]]:
        """When the groups were told to change, by action; moments as `time.time()`."""
        calls = self._environment.aws.calls.since(moment)
        found: dict[str, list[float]] = {}
        for call in calls:
            if call.action in CHANGES:
                found.setdefault(call.action, []).append(call.at)
        return found

    def _groups(self) -> dict[str, Any]:
        found = self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[MANAGER_ASG, WORKER_ASG])
        return {group["AutoScalingGroupName"]: group for group in found["AutoScalingGroups"]}

    async def _nodes(self) -> tuple[NodeFacts, ...]:
        wanted = json.dumps({"service": ["demo"], "desired-state": ["running"]})
        tasks = await self._ask("/tasks", filters=wanted)
        running = Counter(task["NodeID"] for task in tasks if task["Status"]["State"] == "running")
        nodes = [_node(found, running[found["ID"]]) for found in await self._ask("/nodes")]
        return tuple(sorted(nodes, key=lambda node: (node.role, node.name)))

    async def _ask(self, path: str, **query: str) -> Any:
        async with self._docker.get(path, params=query) as answer:
            answer.raise_for_status()
            return await answer.json()


def _node(found: Mapping[str, Any], tasks: int) -> NodeFacts:
    description = found["Description"]
    return NodeFacts(
        id=found["ID"],
        name=description["Hostname"],
        instance_id=description["Engine"].get("Labels", {}).get("instance_id", ""),
        role=found["Spec"]["Role"],
        leader=bool((found.get("ManagerStatus") or {}).get("Leader")),
        state=found["Status"]["State"],
        availability=found["Spec"]["Availability"],
        tasks=tasks,
    )


def _alive(group: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        one["InstanceId"] for one in group["Instances"] if not one["LifecycleState"].startswith("Terminating")
    )

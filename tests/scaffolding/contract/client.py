"""The Docker API as contract tests use it: plain JSON over the SDK's connection."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self
from uuid import uuid4

import docker
import requests

from tests.waiting import until

Json = dict[str, Any]

API_VERSION = "1.41"
SECOND = 1_000_000_000
_TRIES = 4
ENDED = ("shutdown", "complete", "failed", "rejected", "orphaned", "remove")


class RefusedError(Exception):
    """An answer of 400 or above."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class OutOfSequenceError(RefusedError):
    """The object has been written since it was read."""


def _in_sequence(read_and_write: Callable[[], None]) -> None:
    """Read and write again where the Swarm itself wrote in between, as it does when a node reports."""
    for _ in range(_TRIES):
        with suppress(OutOfSequenceError):
            return read_and_write()
    return read_and_write()


@dataclass
class SwarmClient:
    """One manager, spoken to as any client would."""

    docker: docker.DockerClient
    image: str
    command: list[str]
    _services: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def connected(cls, host: str, image: str, command: list[str]) -> Iterator[Self]:
        client = docker.DockerClient(base_url=host, version=API_VERSION, timeout=60)
        try:
            yield cls(client, image, command)
        finally:
            client.close()

    # Plain calls

    def call(
        self, method: str, path: str, body: Json | None = None, *, version: str = f"/v{API_VERSION}", **query: Any
    ) -> Any:
        """The answer's JSON (None when it is empty); RefusedError for an error."""
        answer = self.raw(method, version + path, body, **query)
        if answer.status_code >= 400:
            message = answer.json()["message"]
            kind = OutOfSequenceError if "update out of sequence" in message else RefusedError
            raise kind(answer.status_code, message)
        return answer.json() if answer.content.strip() else None

    def raw(self, method: str, path: str, body: Json | None = None, **query: Any) -> requests.Response:
        params = {key: json.dumps(value) if isinstance(value, dict) else str(value) for key, value in query.items()}
        url = f"{self.docker.api.base_url}{path}"
        return self.docker.api.request(method, url, json=body, params=params, timeout=60)

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, **query)

    # Nodes

    def nodes(self) -> list[Json]:
        nodes: list[Json] = self.get("/nodes")
        return nodes

    def set_node(self, node_id: str, **change: object) -> None:
        """Change the node's specification, as it is now."""

        def read_and_write() -> None:
            node = self.get(f"/nodes/{node_id}")
            self.update_node(node_id, node["Version"]["Index"], {**node["Spec"], **change})

        _in_sequence(read_and_write)

    def update_node(self, node_id: str, version: int, spec: Json) -> None:
        self._post(f"/nodes/{node_id}/update?version={version}", spec)

    # Services

    def spec(self, *, replicas: int = 1, command: list[str] | None = None, **change: Any) -> Json:
        """A service that runs at once, stops fast, and whose updates are not watched for long."""
        container = {"Image": self.image, "Command": command or self.command, "StopGracePeriod": SECOND}
        return {
            "Name": f"contract-{uuid4().hex[:12]}",
            "TaskTemplate": {"ContainerSpec": container, "RestartPolicy": {"Condition": "any", "Delay": 0}},
            "Mode": {"Replicated": {"Replicas": replicas}},
            "UpdateConfig": {"Parallelism": 0, "Monitor": SECOND // 5},
            **change,
        }

    def create(self, spec: Json) -> str:
        service_id: str = self._post("/services/create", spec)["ID"]
        self._services.append(service_id)
        return service_id

    def service(self, service_id: str) -> Json:
        service: Json = self.get(f"/services/{service_id}")
        return service

    def update(self, service_id: str, change: Callable[[Json], None]) -> None:
        """Read the service, change its specification, write it."""

        def read_and_write() -> None:
            service = self.service(service_id)
            change(service["Spec"])
            self.update_to(service_id, service["Version"]["Index"], service["Spec"])

        _in_sequence(read_and_write)

    def update_to(self, service_id: str, version: int, spec: Json, rollback: str = "") -> None:
        back = f"&rollback={rollback}" if rollback else ""
        self._post(f"/services/{service_id}/update?version={version}{back}", spec)

    def _post(self, path: str, body: Json) -> Any:
        return self.call("POST", path, body)

    # Tasks

    def tasks(self, service_id: str, **filters: list[str]) -> list[Json]:
        tasks: list[Json] = self.get("/tasks", filters={"service": [service_id], **filters})
        return tasks

    def in_state(self, service_id: str, state: str) -> list[Json]:
        """The tasks that are wanted and in that state."""
        wanted = [task for task in self.tasks(service_id) if task["DesiredState"] in ("running", "complete")]
        return [task for task in wanted if task["Status"]["State"] == state]

    def running(self, service_id: str, count: int) -> list[Json]:
        """Wait until so many tasks run, and no more are wanted or still stop."""

        def settled() -> list[Json] | None:
            tasks = self.in_state(service_id, "running")
            left = [task for task in self.tasks(service_id) if task["Status"]["State"] not in ENDED]
            return tasks if len(tasks) == len(left) == count else None

        return until(settled, f"{count} running tasks") if count else []

    def pending(self, service_id: str, count: int) -> list[Json]:
        """Wait until so many tasks wait for a node, with the reason told."""

        def told() -> list[Json] | None:
            tasks = [task for task in self.in_state(service_id, "pending") if task["Status"].get("Err")]
            return tasks if len(tasks) == count else None

        return until(told, f"{count} pending tasks")

    def update_state(self, service_id: str, state: str) -> Json:
        """Wait until the service's update is in that state; its whole status."""

        def reached() -> Json | None:
            status: Json = self.service(service_id).get("UpdateStatus") or {}
            return status if status.get("State") == state else None

        return until(reached, f"update {state}")

    # Cleaning up

    @contextmanager
    def restored(self) -> Iterator[None]:
        before = {node["ID"]: node["Spec"] for node in self.nodes()}
        try:
            yield
        finally:
            for service_id in self._services:
                with suppress(RefusedError):
                    self.call("DELETE", f"/services/{service_id}")
            for node_id, spec in before.items():
                if self.get(f"/nodes/{node_id}")["Spec"] != spec:
                    self.set_node(node_id, **spec)
            for service_id in self._services:
                until(partial(self._is_gone, service_id), "the end of all tasks")

    def _is_gone(self, service_id: str) -> bool:
        """No task left that could run: engines keep those that completed (20.10 those of removed jobs, too)."""
        left = [task for task in self.get("/tasks") if task["ServiceID"] == service_id]
        return all(task["Status"]["State"] in ENDED for task in left)

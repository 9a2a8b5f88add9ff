"""A small Swarm and the words to speak about it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from infra.local.engine import SimulatedSwarm
from infra.local.engine.model import Node, Service, Task, TaskState, UpdateState

Json = dict[str, Any]
SECOND = 1_000_000_000


@dataclass
class Lab:
    swarm: SimulatedSwarm
    managers: list[str]
    workers: list[str]

    @classmethod
    def with_nodes(cls, swarm: SimulatedSwarm, managers: int, workers: int, **machine: Any) -> Self:
        return cls(
            swarm,
            [swarm.add_node(f"manager-{i}", role="manager", address=f"10.0.1.{i}") for i in range(managers)],
            [swarm.add_node(f"worker-{i}", address=f"10.0.3.{i}", **machine) for i in range(workers)],
        )

    # Services

    def spec(self, name: str = "web", *, replicas: int = 1, image: str = "nginx", **change: Any) -> Json:
        """By default on workers only, without a restart delay, updated all at once."""
        template = {
            "ContainerSpec": {"Image": image, "Command": change.pop("command", [])},
            "Placement": {"Constraints": ["node.role==worker"]},
            "RestartPolicy": {"Delay": 0},
            **change.pop("template", {}),
        }
        mode = {"Replicated": {"Replicas": replicas}}
        update = {"Parallelism": 0, "Monitor": SECOND}
        return {"Name": name, "TaskTemplate": template, "Mode": mode, "UpdateConfig": update, **change}

    def create(self, name: str = "web", **change: Any) -> Service:
        return self.swarm.control.create_service(self.spec(name, **change))

    def update(self, name: str = "web", **change: Any) -> None:
        service = self.service(name)
        body = {**service.spec.body, **change}
        self.swarm.control.update_service(name, service.meta.version, body, rollback=False)

    def force(self, name: str = "web", **change: Any) -> None:
        template = self.service(name).spec.template
        self.update(name, TaskTemplate={**template, "ForceUpdate": template["ForceUpdate"] + 1}, **change)

    def scale(self, replicas: int, name: str = "web") -> None:
        self.update(name, Mode={"Replicated": {"Replicas": replicas}})

    def service(self, name: str = "web") -> Service:
        return self.swarm.control.service(name)

    def update_state(self, name: str = "web") -> UpdateState | None:
        status = self.service(name).update_status
        return status.state if status else None

    # Nodes

    def node(self, node_id: str) -> Node:
        return self.swarm.store.nodes[node_id]

    def set_node(self, node_id: str, **change: Any) -> None:
        node = self.node(node_id)
        spec = {
            "Role": node.spec.role,
            "Availability": node.spec.availability,
            "Labels": node.spec.labels,
            **change,
        }
        self.swarm.control.update_node(node_id, node.meta.version, spec)

    # Tasks

    def tasks(self, name: str = "web") -> list[Task]:
        return [task for task in self.swarm.store.tasks.values() if task.spec.name == name]

    def wanted(self, name: str = "web") -> list[Task]:
        return [task for task in self.tasks(name) if task.wanted]

    def running(self, name: str = "web") -> list[Task]:
        return [task for task in self.wanted(name) if task.state is TaskState.RUNNING]

    def per_node(self, name: str = "web") -> Counter[str]:
        return Counter(self.node(task.node_id).machine.hostname for task in self.running(name))

    def errors(self, name: str = "web") -> set[str]:
        return {task.error for task in self.wanted(name) if task.error}


async def seconds(count: float) -> None:
    """Let so much fake time pass, and what falls due at its end happen."""
    await asyncio.sleep(count + 0.001)


async def until(condition: Callable[[], object], *, within: float = 120.0, step: float = 0.05) -> float:
    """Let fake time pass until the condition holds; how long that took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while not condition():
        assert loop.time() - start < within, "never came true"
        await asyncio.sleep(step)
    return loop.time() - start


def with_reservation(nano_cpus: int) -> Json:
    return {"Resources": {"Reservations": {"NanoCPUs": nano_cpus}}}

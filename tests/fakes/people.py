"""What people and Swarm itself do to an in-memory Swarm beside the worker, where a test begins with it done.

Everything but the hand-over goes through the control plane, so that Swarm reacts to it as to anybody's command.
"""

from dataclasses import replace
from typing import Any

from infra.local.engine.model import Role as EngineRole
from shared.fields import Role
from tests.fakes.swarm import InMemorySwarm


def set_env(swarm: InMemorySwarm, name: str, **env: str) -> None:
    """`docker service update --env-add`: the tasks are replaced, one by one."""
    template = dict(swarm.simulated.control.service(name).spec.template)
    container = dict(template["ContainerSpec"])
    kept = [entry for entry in container.get("Env", ()) if entry.partition("=")[0] not in env]
    container["Env"] = [*kept, *(f"{key}={value}" for key, value in env.items())]
    _update(swarm, name, TaskTemplate={**template, "ContainerSpec": container})


def replace_tasks(swarm: InMemorySwarm, name: str) -> None:
    """`docker service update --force`: all tasks are replaced, one by one."""
    template = dict(swarm.simulated.control.service(name).spec.template)
    _update(swarm, name, TaskTemplate={**template, "ForceUpdate": int(template.get("ForceUpdate", 0)) + 1})


def roll_back(swarm: InMemorySwarm, name: str) -> None:
    """`docker service rollback`: the specification before the last update is the present one again."""
    control = swarm.simulated.control
    service = control.service(name)
    control.update_service(service.id, service.meta.version, {}, rollback=True)


def set_role(swarm: InMemorySwarm, node_id: str, role: Role) -> None:
    """`docker node promote`, or `demote`."""
    store = swarm.simulated.store
    node = store.nodes[node_id]
    store.put_node(replace(node, spec=replace(node.spec, role=EngineRole(role))))


def hand_over(swarm: InMemorySwarm, node_id: str) -> None:
    """An election has made another manager the leader."""
    swarm.simulated.raft._lead(node_id)


def _update(swarm: InMemorySwarm, name: str, **changed: Any) -> None:
    control = swarm.simulated.control
    service = control.service(name)
    control.update_service(service.id, service.meta.version, {**service.spec.body, **changed}, rollback=False)

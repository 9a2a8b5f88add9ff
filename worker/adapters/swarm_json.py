"""Nodes, services and tasks out of the Engine API's JSON (https://docs.docker.com/reference/api/engine/).

Only what decisions need is kept, and equal values are kept once: 20,000 tasks must fit beside everything else.
Any object may be null or missing where Go calls it empty.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from json import dumps
from sys import intern
from typing import Any

from shared.clock import parse_rfc3339
from shared.errors import Unavailable
from worker.ports.swarm import Manager, Node, Service, ServiceMode, SwarmIdentity, Task

Json = Mapping[str, Any]

_MODES: Mapping[str, ServiceMode] = {
    "Replicated": "replicated",
    "Global": "global",
    "ReplicatedJob": "replicated-job",
    "GlobalJob": "global-job",
}


def identity_of(info: Json) -> SwarmIdentity:
    """Which Swarm it is. Raises Unavailable unless the engine is a manager of a Swarm that has a leader."""
    swarm = info.get("Swarm") or {}
    cluster = (swarm.get("Cluster") or {}).get("ID")
    if swarm.get("LocalNodeState") != "active":
        raise Unavailable(f"Docker: the engine's Swarm state is {swarm.get('LocalNodeState') or 'unknown'}, not active")
    if not swarm.get("ControlAvailable"):
        raise Unavailable("Docker: the engine is not a manager of its Swarm")
    if not cluster:
        raise Unavailable(f"Docker: the Swarm has no leader ({swarm.get('Error') or 'no cluster id'})")
    return SwarmIdentity(cluster_id=cluster, node_id=swarm["NodeID"])


def nodes_of(found: Iterable[Json]) -> list[Node]:
    """Nodes."""
    return [_node(each) for each in found]


def services_of(found: Iterable[Json]) -> list[Service]:
    """Services."""
    return [service_of(each) for each in found]


def tasks_of(found: Iterable[Json]) -> list[Task]:
    """Tasks. Those of one service share their environment."""
    environments: dict[tuple[str, ...], Mapping[str, str]] = {}
    return [_task(each, environments) for each in found]


def _node(found: Json) -> Node:
    spec, description = found.get("Spec") or {}, found.get("Description") or {}
    platform, resources = description.get("Platform") or {}, description.get("Resources") or {}
    engine, status = description.get("Engine") or {}, found.get("Status") or {}
    return Node(
        id=found["ID"],
        hostname=description.get("Hostname") or "",
        role=spec.get("Role") or "worker",
        availability=spec.get("Availability") or "active",
        state=intern(status.get("State") or "unknown"),
        labels=spec.get("Labels") or {},
        engine_labels=engine.get("Labels") or {},
        manager=_manager(found.get("ManagerStatus")),
        cpus=resources.get("NanoCPUs") or 0,
        memory=resources.get("MemoryBytes") or 0,
        generic=_generic(resources.get("GenericResources")),
        os=platform.get("OS") or "linux",
        architecture=platform.get("Architecture") or "x86_64",
        address=status.get("Addr") or "",
        created_at=parse_rfc3339(found["CreatedAt"]) if found.get("CreatedAt") else None,
    )


def _manager(status: Json | None) -> Manager | None:
    if not status:
        return None
    return Manager(leader=bool(status.get("Leader")), reachable=status.get("Reachability") == "reachable")


def service_of(found: Json) -> Service:
    """One service."""
    spec, status = found["Spec"], found.get("UpdateStatus") or {}
    template = spec.get("TaskTemplate") or {}
    placement = template.get("Placement") or {}
    reserved = (template.get("Resources") or {}).get("Reservations") or {}
    mode, replicas = _mode(spec.get("Mode") or {})
    return Service(
        id=found["ID"],
        name=spec["Name"],
        version=found["Version"]["Index"],
        mode=mode,
        replicas=replicas,
        labels=spec.get("Labels") or {},
        env=_env((template.get("ContainerSpec") or {}).get("Env")),
        constraints=tuple(placement.get("Constraints") or ()),
        platforms=tuple(
            (pair.get("OS") or "", pair.get("Architecture") or "") for pair in placement.get("Platforms") or ()
        ),
        max_per_node=placement.get("MaxReplicas") or 0,
        cpus=reserved.get("NanoCPUs") or 0,
        memory=reserved.get("MemoryBytes") or 0,
        generic=_generic(reserved.get("GenericResources")),
        host_ports=_host_ports(spec.get("EndpointSpec") or {}),
        **_restarts(template.get("RestartPolicy") or {}),
        local_volumes=_local_volumes((template.get("ContainerSpec") or {}).get("Mounts")),
        stop_grace=_stop_grace((template.get("ContainerSpec") or {}).get("StopGracePeriod")),
        start_first=(spec.get("UpdateConfig") or {}).get("Order") == "start-first",
        update_state=status.get("State") or None,
        update_message=status.get("Message") or "",
        updated_at=_moment(status.get("StartedAt")) or _moment(found.get("UpdatedAt")),
    )


def _restarts(policy: Json) -> dict[str, Any]:
    """The fields that tell when a task is started again."""
    return {
        "restarts": policy.get("Condition") != "none",
        "restarts_completed": policy.get("Condition") != "on-failure",
        "max_attempts": policy.get("MaxAttempts") or 0,
        "attempts_window": timedelta(microseconds=(policy.get("Window") or 0) / 1000),
    }


def _stop_grace(nanoseconds: int | None) -> timedelta | None:
    """https://docs.docker.com/reference/api/engine/version/v1.44/#tag/Service: in nanoseconds."""
    return None if nanoseconds is None else timedelta(microseconds=nanoseconds / 1000)


def _moment(text: str | None) -> datetime | None:
    """A time of the managers. Go's zero time is none."""
    try:
        moment = parse_rfc3339(text or "")
    except ValueError:
        return None
    return moment if moment.year > 1 else None


def _mode(mode: Json) -> tuple[ServiceMode, int]:
    """The mode, and how many replicas are wanted. No mode is a replicated service, and no number is one replica."""
    key = next((key for key in _MODES if mode.get(key) is not None), "Replicated")
    wishes = mode.get(key) or {}
    counts = {"Replicated": wishes.get("Replicas", 1), "ReplicatedJob": wishes.get("TotalCompletions", 1)}
    return _MODES[key], counts.get(key, 0)


def _host_ports(endpoint: Json) -> frozenset[tuple[str, int]]:
    """Ports on the node itself. One without a number takes any free port, and so needs none in particular."""
    return frozenset(
        (port.get("Protocol") or "tcp", port["PublishedPort"])
        for port in endpoint.get("Ports") or ()
        if port.get("PublishMode") == "host" and port.get("PublishedPort")
    )


_NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb", "smb3", "ceph", "glusterfs"})
"""What the driver `local` mounts from elsewhere, where its options ask for it."""


def _local_volumes(mounts: Sequence[Json] | None) -> tuple[str, ...]:
    """Named volumes that are written and stay on their node.

    An anonymous one ends with its container anyway, and a bind mount is the operator's own folder. Where no driver is
    named, the engine takes `local`, unless somebody made a volume of that name with another one before.
    """
    return tuple(sorted({mount["Source"] for mount in mounts or () if _is_local_volume(mount)}))


def _is_local_volume(mount: Json) -> bool:
    driver = (mount.get("VolumeOptions") or {}).get("DriverConfig") or {}
    options = driver.get("Options") or {}
    named = mount.get("Type") == "volume" and mount.get("Source") and not mount.get("ReadOnly")
    return (
        bool(named) and driver.get("Name") in {None, "", "local"} and options.get("type") not in _NETWORK_FILE_SYSTEMS
    )


def _generic(resources: Sequence[Json] | None) -> dict[str, int]:
    """How many there are of each kind, be they counted or named one by one."""
    counts: dict[str, int] = {}
    for resource in resources or ():
        counted, named = resource.get("DiscreteResourceSpec"), resource.get("NamedResourceSpec")
        one = counted or named or {}
        kind = one.get("Kind") or ""
        counts[kind] = counts.get(kind, 0) + (one.get("Value") or 0 if counted else 1)
    return counts


def _env(lines: Iterable[str] | None) -> dict[str, str]:
    pairs = (line.partition("=") for line in lines or ())
    return {key: value for key, _, value in pairs}


def _task(found: Json, environments: dict[tuple[str, ...], Mapping[str, str]]) -> Task:
    spec, status, node = found.get("Spec") or {}, found.get("Status") or {}, found.get("NodeID")
    lines = tuple((spec.get("ContainerSpec") or {}).get("Env") or ())
    limited = bool((spec.get("RestartPolicy") or {}).get("MaxAttempts"))
    if lines not in environments:
        environments[lines] = _env(lines)
    return Task(
        id=found["ID"],
        service_id=intern(found.get("ServiceID") or ""),
        node_id=intern(node) if node else None,
        slot=found.get("Slot") or 0,
        state=intern(status.get("State") or "new"),
        desired=intern(found.get("DesiredState") or "running"),
        error=intern(status.get("Err") or ""),
        env=environments[lines],
        template=_digest(spec) if limited else "",
        created_at=_moment(found.get("CreatedAt")) if limited else None,
        since=_moment(status.get("Timestamp")) if limited else None,
    )


def _digest(spec: Json) -> str:
    """Of a task's specification without its placement: a change of that alone leaves tasks where they run."""
    rest = {key: value for key, value in spec.items() if key != "Placement"}
    return intern(blake2b(dumps(rest, sort_keys=True).encode(), digest_size=8).hexdigest())

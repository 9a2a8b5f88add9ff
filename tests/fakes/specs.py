"""Services as the Docker API wants them, out of the fields of `worker.ports.Service`."""

import os
import shlex
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

IMAGE = os.environ.get("CONTRACT_IMAGE", "busybox")
COMMAND = shlex.split(os.environ.get("CONTRACT_COMMAND", "sleep 100000"))
SECOND = 1_000_000_000


def as_spec(name: str, replicas: int, **wishes: Any) -> dict[str, Any]:
    """A specification that says everything that Service can say. Tasks that end are replaced at once."""
    kinds = {
        "replicated": {"Replicated": {"Replicas": replicas}},
        "global": {"Global": {}},
        "replicated-job": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": replicas}},
        "global-job": {"GlobalJob": {}},
    }
    container = {
        "Image": IMAGE,
        "Command": wishes.get("command", COMMAND),
        "Env": [f"{key}={value}" for key, value in wishes.get("env", {}).items()],
        "StopGracePeriod": int(wishes.get("stop_grace", timedelta(seconds=1)).total_seconds() * SECOND),
        "Mounts": [
            {"Type": "volume", "Source": name, "Target": f"/{name}"} for name in wishes.get("local_volumes", ())
        ],
    }
    job = wishes.get("mode", "").endswith("job")
    return {
        "Name": name,
        "Labels": wishes.get("labels", {}),
        "Mode": kinds[wishes.get("mode", "replicated")],
        "TaskTemplate": {
            "ContainerSpec": container,
            "RestartPolicy": _restarts(wishes, wishes.get("restarts", not job)),
            "Placement": _placement(wishes),
            "Resources": {"Reservations": _reservations(wishes)},
        },
        "EndpointSpec": {
            "Ports": [
                {"Protocol": protocol, "TargetPort": port, "PublishedPort": port, "PublishMode": "host"}
                for protocol, port in wishes.get("host_ports", ())
            ]
        },
        **({} if job else {"UpdateConfig": _update(wishes)}),
    }


def _restarts(wishes: Mapping[str, Any], restarts: bool) -> dict[str, Any]:
    """Whether they are started again."""
    lasting = "any" if wishes.get("restarts_completed", True) else "on-failure"
    return {
        "Condition": lasting if restarts else "none",
        "Delay": 0,
        "MaxAttempts": wishes.get("max_attempts", 0),
        "Window": int(wishes.get("attempts_window", timedelta()).total_seconds() * SECOND),
    }


def _placement(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Where the tasks may go."""
    return {
        "Constraints": list(wishes.get("constraints", ())),
        "MaxReplicas": wishes.get("max_per_node", 0),
        "Platforms": [{"OS": os_, "Architecture": kind} for os_, kind in wishes.get("platforms", ())],
    }


def _reservations(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """What they need."""
    generic = wishes.get("generic", {})
    return {
        "NanoCPUs": wishes.get("cpus", 0),
        "MemoryBytes": wishes.get("memory", 0),
        "GenericResources": [{"DiscreteResourceSpec": {"Kind": kind, "Value": n}} for kind, n in generic.items()],
    }


def _update(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """How they are replaced."""
    order = "start-first" if wishes.get("start_first") else "stop-first"
    return {"Parallelism": 1, "Monitor": SECOND // 100, "Order": order, "FailureAction": "pause"}

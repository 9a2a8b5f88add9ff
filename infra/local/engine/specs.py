"""Service specifications: the API's JSON, read through names, with the engine's defaults.

The JSON is kept as the client sent it (normalised as an engine does) and never changed after that.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

Json = dict[str, Any]

SECOND_NS = 1_000_000_000
DEFAULT_RESTART_DELAY = 5.0


class Mode(StrEnum):
    REPLICATED = "replicated"
    GLOBAL = "global"
    REPLICATED_JOB = "replicated-job"
    GLOBAL_JOB = "global-job"

    @property
    def is_global(self) -> bool:
        return self in (Mode.GLOBAL, Mode.GLOBAL_JOB)

    @property
    def is_job(self) -> bool:
        return self in (Mode.REPLICATED_JOB, Mode.GLOBAL_JOB)


MODE_KEYS = {
    "Replicated": Mode.REPLICATED,
    "Global": Mode.GLOBAL,
    "ReplicatedJob": Mode.REPLICATED_JOB,
    "GlobalJob": Mode.GLOBAL_JOB,
}
_MODE_KEY = {key.lower(): key for key in MODE_KEYS}


class RestartCondition(StrEnum):
    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Times in seconds; no limit of attempts is 0."""

    condition: RestartCondition = RestartCondition.ANY
    delay: float = DEFAULT_RESTART_DELAY
    max_attempts: int = 0
    window: float = 0.0


@dataclass(frozen=True, slots=True)
class UpdateConfig:
    """How a rolling update (or rollback) proceeds. Times in seconds; `monitor` 0 is the engine's default."""

    parallelism: int = 1
    delay: float = 0.0
    failure_action: str = "pause"
    monitor: float = 0.0
    max_failure_ratio: float = 0.0
    order: str = "stop-first"


@dataclass(frozen=True, slots=True)
class Reservation:
    nano_cpus: int = 0
    memory_bytes: int = 0


class ServiceSpec:
    """A service's specification. `check` raises ValueError or the like when the JSON cannot be read as one."""

    def __init__(self, body: Json) -> None:
        self.body = _normalised(body)

    def check(self) -> None:
        _ = (self.restart_policy, self.update_config, self.rollback_config, self.reservation, self.host_ports)
        _ = (self.command, self.constraints, self.max_replicas_per_node)
        if self.mode is Mode.REPLICATED and self.replicas < 0:
            raise ValueError("Number of replicas must be non-negative")

    @property
    def name(self) -> str:
        return str(self.body["Name"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.body["Labels"])

    @cached_property
    def mode(self) -> Mode:
        return next(mode for key, mode in MODE_KEYS.items() if self.body["Mode"].get(key) is not None)

    @cached_property
    def replicas(self) -> int:
        """Only of a replicated service."""
        count = self.body["Mode"]["Replicated"].get("Replicas")
        return 1 if count is None else int(count)

    @cached_property
    def max_concurrent(self) -> int:
        """Of a replicated job: how many tasks at a time."""
        count = self.body["Mode"]["ReplicatedJob"].get("MaxConcurrent")
        return 1 if count is None else int(count)

    @cached_property
    def total_completions(self) -> int:
        """Of a replicated job: how many tasks in all."""
        count = self.body["Mode"]["ReplicatedJob"].get("TotalCompletions")
        return self.max_concurrent if count is None else int(count)

    @property
    def template(self) -> Json:
        template: Json = self.body["TaskTemplate"]
        return template

    @cached_property
    def template_json(self) -> str:
        """The template as it stands in tasks."""
        in_tasks = {key: value for key, value in self.template.items() if key != "Runtime"}
        return json.dumps(in_tasks, separators=(",", ":"))

    @cached_property
    def container(self) -> Json:
        return self.template.get("ContainerSpec") or {}

    @property
    def image(self) -> str:
        return str(self.container.get("Image", ""))

    @cached_property
    def command(self) -> tuple[str, ...]:
        """What the container runs, as far as the specification says."""
        return (*(self.container.get("Command") or ()), *(self.container.get("Args") or ()))

    @cached_property
    def placement(self) -> Json:
        return self.template.get("Placement") or {}

    @cached_property
    def constraints(self) -> tuple[str, ...]:
        return tuple(self.placement.get("Constraints") or ())

    @cached_property
    def max_replicas_per_node(self) -> int:
        return int(self.placement.get("MaxReplicas") or 0)

    @cached_property
    def reservation(self) -> Reservation:
        asked = (self.template.get("Resources") or {}).get("Reservations") or {}
        return Reservation(int(asked.get("NanoCPUs") or 0), int(asked.get("MemoryBytes") or 0))

    @cached_property
    def ports(self) -> tuple[Json, ...]:
        return tuple((self.body.get("EndpointSpec") or {}).get("Ports") or ())

    @cached_property
    def host_ports(self) -> frozenset[tuple[str, int]]:
        """Published on the node itself: no two tasks of one node can have the same."""
        return frozenset(
            (port.get("Protocol") or "tcp", int(port["PublishedPort"]))
            for port in self.ports
            if port.get("PublishMode") == "host" and port.get("PublishedPort")
        )

    @cached_property
    def restart_policy(self) -> RestartPolicy:
        body = self.template.get("RestartPolicy") or {}
        delay = body.get("Delay")
        return RestartPolicy(
            RestartCondition(body.get("Condition") or RestartCondition.ANY),
            DEFAULT_RESTART_DELAY if delay is None else delay / SECOND_NS,
            int(body.get("MaxAttempts") or 0),
            (body.get("Window") or 0) / SECOND_NS,
        )

    @cached_property
    def update_config(self) -> UpdateConfig:
        return _update_config(self.body.get("UpdateConfig"))

    @cached_property
    def rollback_config(self) -> UpdateConfig:
        return _update_config(self.body.get("RollbackConfig"))

    @cached_property
    def task_facts(self) -> object:
        """What tasks are made of; as long as it is equal, none has to be replaced."""
        return _significant([self.template, self.body.get("EndpointSpec")])

    @cached_property
    def unplaced_facts(self) -> object:
        """The same without where tasks may go."""
        return _significant([{**self.template, "Placement": None}, self.body.get("EndpointSpec")])

    def tasks_differ(self, other: "ServiceSpec") -> bool:
        """Whether tasks of the one have to be replaced to follow the other."""
        return self is not other and self.task_facts != other.task_facts

    def differs_in_placement_only(self, other: "ServiceSpec") -> bool:
        return self.tasks_differ(other) and self.unplaced_facts == other.unplaced_facts


def _normalised(body: Json) -> Json:
    template = {"ForceUpdate": 0, "Runtime": "container", **(body.get("TaskTemplate") or {})}
    if template.get("ContainerSpec"):
        template["ContainerSpec"] = {**template["ContainerSpec"]}
        template["ContainerSpec"].setdefault("Isolation", "default")
    labels = body.get("Labels") or {}
    return {**body, "Labels": labels, "TaskTemplate": template, "Mode": _normalised_mode(body.get("Mode") or {})}


def _normalised_mode(body: Json) -> Json:
    """Under the API's key, whatever its case: the engine does not mind, and the Python SDK sends its own."""
    mode = {_MODE_KEY.get(key.lower(), key): value for key, value in body.items() if value is not None}
    if not mode or mode.get("Replicated") == {}:
        return {"Replicated": {"Replicas": 1}}
    return mode


def _significant(value: Any) -> object:
    """Without what means the same as being absent, so that a round trip through a client changes nothing."""
    if isinstance(value, dict):
        kept = {key: _significant(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, "", 0, False, [])}
    if isinstance(value, list | tuple):
        return [_significant(inner) for inner in value]
    return value


def _update_config(body: Json | None) -> UpdateConfig:
    if body is None:
        return UpdateConfig()
    return UpdateConfig(
        parallelism=int(body.get("Parallelism") or 0),
        delay=(body.get("Delay") or 0) / SECOND_NS,
        failure_action=body.get("FailureAction") or "pause",
        monitor=(body.get("Monitor") or 0) / SECOND_NS,
        max_failure_ratio=float(body.get("MaxFailureRatio") or 0),
        order=body.get("Order") or "stop-first",
    )

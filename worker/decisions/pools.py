"""What is scaled, as the settings have it: the node pools, each with its group, and the replicas of services.

Built once from the settings. Requests call a pool by its name (`type=worker`, `type=manager`). What a label or a
group makes of the numbers is left to `bounds`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.fields import Direction, Role
from worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class Tunable:
    """A number that the label of a service may set."""

    label: str
    """The label's key."""
    default: int
    """Without the label."""
    variable: str = ""
    """The environment variable that sets the default."""


@dataclass(frozen=True, slots=True)
class Tunables:
    """How far a scale may go, and in which steps."""

    minimum: Tunable
    maximum: Tunable
    steps: Mapping[Direction, Tunable]


@dataclass(frozen=True, slots=True)
class NodePool:
    """The nodes of one Auto Scaling group."""

    name: str
    """As requests and people call it."""
    role: Role
    """What its nodes are in the Swarm."""
    group: str
    """The group's name; empty: node scaling is off."""
    tunables: Tunables
    cooldowns: Mapping[Direction, timedelta]
    """How long after the end of a scale the next one of its direction may begin."""


def node_pools(settings: WorkerSettings) -> Mapping[Role, NodePool]:
    """The pools by the type that requests name."""
    return {"worker": _node_pool(settings, "worker"), "manager": _node_pool(settings, "manager")}


def replica_tunables(settings: WorkerSettings) -> Tunables:
    """The same numbers for the replicas of a service."""
    return Tunables(
        minimum=_tunable(settings, "min_scale_label", "default_min_replicas"),
        maximum=_tunable(settings, "max_scale_label", "default_max_replicas"),
        steps={
            "up": _tunable(settings, "scale_up_by_label", "default_scale_service_up_by"),
            "down": _tunable(settings, "scale_down_by_label", "default_scale_service_down_by"),
        },
    )


def _tunable(settings: WorkerSettings, label: str, default: str) -> Tunable:
    """From the names of two settings: the label's key, and the number without it."""
    return Tunable(getattr(settings, label), getattr(settings, default), default.upper())


def _node_pool(settings: WorkerSettings, role: Role) -> NodePool:
    tunables = Tunables(
        minimum=_tunable(settings, f"min_scale_{role}_node_label", f"default_min_{role}_nodes"),
        maximum=_tunable(settings, f"max_scale_{role}_node_label", f"default_max_{role}_nodes"),
        steps={
            "up": _tunable(settings, f"scale_{role}_node_up_by_label", f"default_scale_{role}_node_up_by"),
            "down": _tunable(settings, f"scale_{role}_node_down_by_label", f"default_scale_{role}_node_down_by"),
        },
    )
    group: str | None = getattr(settings, f"aws_{role}_asg") if settings.node_scaler_backend == "aws" else None
    cooldowns: Mapping[Direction, timedelta] = {"up": settings.scale_up_cooldown, "down": settings.scale_down_cooldown}
    return NodePool(role, role, group or "", tunables, cooldowns)

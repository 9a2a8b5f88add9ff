"""AWS on this machine: moto with its gaps filled, our CloudFormation deployed on it, two groups."""

from infra.local.aws.deploy import (
    MANAGER_ASG,
    MANAGERS,
    WORKER_ASG,
    WORKERS,
    Size,
    create_group,
    create_groups,
    create_network,
    deploy,
    deploy_swarm,
    put_hooks,
)
from infra.local.aws.embedded import ACCESS_KEY, LAUNCHER_ACCESS_KEY, EmbeddedAws
from infra.local.aws.world import REGION

__all__ = [
    "ACCESS_KEY",
    "LAUNCHER_ACCESS_KEY",
    "MANAGERS",
    "MANAGER_ASG",
    "REGION",
    "WORKERS",
    "WORKER_ASG",
    "EmbeddedAws",
    "Size",
    "create_group",
    "create_groups",
    "create_network",
    "deploy",
    "deploy_swarm",
    "put_hooks",
]

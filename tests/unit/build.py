"""Small makers of nodes, instances, groups, services and tasks: tests name what matters to them, the rest is dull."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.ports.scaling import Activity, Group, Instance, Outcome, Phase
from worker.ports.swarm import Manager, Node, Service, Task
from worker.settings import WorkerSettings

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
JOIN_TIMEOUT = timedelta(seconds=1000)
GIB = 2**30
CPU = 10**9


def ago(seconds: float) -> datetime:
    """A moment before NOW."""
    return NOW - timedelta(seconds=seconds)


def host(number: int) -> str:
    """The hostname of machine `number`."""
    return f"ip-10-0-3-{number}"


def instance(number: int, **changes: Any) -> Instance:
    """Machine `number` as an instance: InService, an hour old."""
    values: dict[str, Any] = {
        "id": f"i-{number:04d}",
        "phase": Phase.IN_SERVICE,
        "private_dns_name": f"{host(number)}.ec2.internal",
        "launched_at": ago(3600),
        "zone": "a",
    }
    return Instance(**{**values, **changes})


def node(number: int, **changes: Any) -> Node:
    """Machine `number` as a worker: Ready, active, known by its hostname only."""
    values: dict[str, Any] = {
        "id": f"n-{number:04d}",
        "hostname": host(number),
        "role": "worker",
        "cpus": 4 * CPU,
        "memory": 8 * GIB,
    }
    return Node(**{**values, **changes})


def manager(number: int, *, leader: bool = False, reachable: bool = True, **changes: Any) -> Node:
    """Machine `number` as a manager."""
    return node(number, **{"role": "manager", "manager": Manager(leader, reachable), **changes})


def group(instances: Iterable[Instance] = (), **changes: Any) -> Group:
    """A group that wants just these instances."""
    members = tuple(instances)
    values: dict[str, Any] = {
        "name": "swarm-NodeAsg-1",
        "desired": sum(not member.leaving for member in members),
        "min_size": 0,
        "max_size": 10,
        "instances": members,
    }
    return Group(**{**values, **changes})


def service(name: str = "web", **changes: Any) -> Service:
    """A replicated service that any node can run."""
    values: dict[str, Any] = {"id": f"s-{name}", "name": name, "version": 1, "mode": "replicated", "replicas": 1}
    return Service(**{**values, **changes})


def task(of: Service, slot: int, on: Node | None, **changes: Any) -> Task:
    """A task that runs on a node, or waits for one."""
    values: dict[str, Any] = {
        "id": f"t-{of.name}-{slot}-{on.id if on else 'none'}",
        "service_id": of.id,
        "node_id": on.id if on else None,
        "slot": slot,
        "state": "running" if on else "pending",
        "desired": "running",
    }
    return Task(**{**values, **changes})


def launch(outcome: Outcome, seconds_ago: float, **changes: Any) -> Activity:
    """A launch that a group began some seconds before NOW."""
    return Activity("launch", outcome, ago(seconds_ago), **changes)


def termination(outcome: Outcome, seconds_ago: float, *machines: int, **changes: Any) -> Activity:
    """A termination of some machines that a group began some seconds before NOW."""
    return Activity("termination", outcome, ago(seconds_ago), frozenset(instance(m).id for m in machines), **changes)


def settings(**changes: Any) -> WorkerSettings:
    """The worker's settings with their defaults."""
    values: dict[str, Any] = {
        "sqs_queue_url": "http://sqs/inbox",
        "sqs_dlq_url": "http://sqs/dead",
        "dynamodb_table": "table",
        "aws_manager_asg": "managers",
        "aws_worker_asg": "workers",
    }
    return WorkerSettings(**{**values, **changes})

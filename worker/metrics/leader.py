"""What only the active worker knows: read anew at each scrape, and gone when it is active no more.

Groups, nodes and the pause are a view of the status document, so that they cannot disagree with what people see.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.status import NodeStatus, Status


class Leading(Protocol):
    """What the active worker tells of itself."""

    def oldest_age(self) -> timedelta:
        """The age of the oldest request that has not ended; zero without one."""

    def lease_age(self) -> timedelta:
        """How long ago the lease was renewed."""

    def pending_notices(self) -> int:
        """Notices that Alertmanager has not taken yet."""

    def open_requests(self) -> Mapping[str, int]:
        """By state."""

    def waiting_requests(self) -> Mapping[str, int]:
        """By what they wait for, as one of a few codes."""

    def cooldown_ends(self) -> Iterable[tuple[str, str, datetime]]:
        """Type, direction, and when its cool-down is over: those that have one."""

    def status(self) -> Status | None:
        """The newest status document; None before the first."""


class Leader(Collector):
    """Asks at each scrape. On standby only the age of the oldest request is shown, as none."""

    def __init__(self) -> None:
        self.known: Leading | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the first scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        known = self.known
        age = timedelta() if known is None else known.oldest_age()
        yield _gauge(
            "scaler_oldest_request_seconds",
            "Age of the oldest request that the active worker has not ended; 0 without one, and on standby.",
            age.total_seconds(),
        )
        if known is not None:
            yield from _own(known)
            status = known.status()
            if status is not None:
                yield from document(status)


def _own(known: Leading) -> Iterator[Metric]:
    yield _gauge("scaler_lease_age_seconds", "Since the lease was renewed.", known.lease_age().total_seconds())
    yield _gauge("scaler_pending_notices", "Notices that Alertmanager has not taken yet.", known.pending_notices())
    yield _by("scaler_open_requests", "Requests that have not ended.", "state", known.open_requests())
    waits = "Open requests that wait: for their turn, for AWS or Docker to answer, or what their step waits for."
    yield _by("scaler_waiting_requests", waits, "reason", known.waiting_requests())
    ends = GaugeMetricFamily(
        "scaler_cooldown_end_timestamp_seconds", "When the cool-down of a direction is over.", labels=["type", "scale"]
    )
    for kind, scale, moment in known.cooldown_ends():
        ends.add_metric([kind, scale], moment.timestamp())
    yield ends


def document(status: Status) -> Iterator[Metric]:
    """The metrics that are a view of the status document."""
    yield _gauge("scaler_paused", "1 while node scales and replacements are paused.", int(status.paused is not None))
    for name, field, meaning in _GROUP:
        values = {group.type: getattr(group, field) for group in status.groups}
        yield _by(f"scaler_group_{name}", meaning, "type", values)
    drained = Counter({group.type: 0 for group in status.groups})
    drained.update(node.type for node in status.nodes if node.availability == "drain")
    yield _by("scaler_nodes_drained", "Nodes whose availability is drain.", "type", drained)
    yield _by(
        "scaler_nodes_unremovable",
        "Nodes that a scale-down would not take now, once for each reason; docs/operations.md says what each means.",
        "reason",
        _obstacles(status.nodes),
    )
    yield _gauge("scaler_tasks_pending", "Tasks of services that no node has taken yet.", status.pending_tasks)


_GROUP = (
    ("desired", "desired", "Desired capacity of the group."),
    ("instances", "instances", "Members of the group: booting or in service."),
    ("ready", "ready", "Members that are Ready nodes of the Swarm."),
    ("min", "min", "The fewest nodes, as ours and the group's bounds have it."),
    ("max", "max", "The most nodes, as ours and the group's bounds have it."),
    ("debt", "debt", "Instances that the group desires and AWS has not launched."),
)
"""Name, field of the document, meaning."""


def _obstacles(nodes: Iterable[NodeStatus]) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in nodes:
        if isinstance(node.removable, tuple):
            found.update({obstacle.code for obstacle in node.removable})
    return found


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _by(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family

"""The worker's metrics: what is shown, that it is a view of the status document, and that it stays small."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ingest.metrics import Metrics as IngestMetrics
from rules.metrics import Metrics as RulesMetrics
from shared import __version__
from shared.actions import ACTIONS
from shared.errors import Unavailable
from shared.records import Record, State, Step
from shared.status import GroupStatus, NodeStatus, Obstacle, PauseStatus, Status
from worker.decisions.reasons import Reason
from worker.metrics import Metrics
from worker.metrics.registry import launch_failure
from worker.ports import alerts, queue, scaling, storage, swarm, swarm_changes

NOW = datetime(2026, 11, 27, tzinfo=UTC)
STEPS: Mapping[str, Sequence[str]] = {
    "up": ("plan", "apply", "wait", "reschedule"),
    "down": ("plan", "drain", "terminate", "remove", "undo"),
    "none": ("plan", "apply", "reschedule"),
}
ORDINARY = ("scale-nodes", "scale-service", "reschedule-services", "reschedule-service")
PORTS = (queue.Inbox, storage.Journal, storage.LeaseStore, scaling.Groups, scaling.GroupChanges, swarm.Swarm)
LARGEST = 300


class Knows:
    """An active worker of a cluster that is `of` nodes."""

    def __init__(self, of: int, paused: PauseStatus | None = None) -> None:
        reasons = list(Reason)
        nodes = tuple(
            NodeStatus(
                hostname=f"ip-{n}",
                type="worker",
                availability="drain" if n % 2 else "active",
                removable="yes" if n % 3 == 0 else (Obstacle(code=str(reasons[n % len(reasons)])),),
            )
            for n in range(of)
        )
        groups = tuple(
            GroupStatus(type=kind, desired=3, instances=4, ready=2, min=1, max=5, debt=1)
            for kind in ("worker", "manager")
        )
        self.document = Status(groups=groups, nodes=nodes, paused=paused, pending_tasks=7)

    def oldest_age(self) -> timedelta:
        return timedelta(seconds=61)

    def lease_age(self) -> timedelta:
        return timedelta(seconds=4)

    def pending_notices(self) -> int:
        return 2

    def open_requests(self) -> Mapping[str, int]:
        return {"queued": 1, "running": 2}

    def waiting_requests(self) -> Mapping[str, int]:
        return {"turn": 1, "aws": 0, "docker": 0, **dict.fromkeys((*STEPS["up"], *STEPS["down"]), 1)}

    def cooldown_ends(self) -> Sequence[tuple[str, str, datetime]]:
        return [(kind, scale, NOW) for kind in ("worker", "manager") for scale in ("up", "down")]

    def status(self) -> Status:
        return self.document


def record(action: str, scale: str | None, *steps: str, **more: Any) -> Record:
    """One that took a second for each step."""
    ends = NOW + timedelta(seconds=1)
    taken = tuple(Step(name, NOW, ends) for name in steps)
    plain = Record(id="r", action=action, requested_at=NOW, source="http", request={}, scale=scale, steps=taken)
    return plain.but(started_at=NOW, ended_at=ends, state=State.SUCCEEDED, **more)


def samples(metrics: Metrics) -> dict[str, float]:
    """Each series with its value, as Prometheus would name it."""
    text = generate_latest(metrics.registry).decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        sample.name + "".join(f",{value}" for _, value in sorted(sample.labels.items())): sample.value
        for sample in found
    }


def series(of: int, actions: Iterable[str]) -> int:
    """How many series there are in a cluster of so many nodes, once these actions have ended in every way."""
    metrics = Metrics()
    for action in actions:
        for state in (State.SUCCEEDED, State.FAILED, State.SKIPPED):
            metrics.ended(record(action, None).but(state=state))
    for scale, steps in STEPS.items():
        metrics.ended(record("scale-nodes", None if scale == "none" else scale, *steps))
    for port in (*PORTS, swarm_changes.SwarmChanges, alerts.AlertSink):
        for name in operations(port):
            metrics.calls.made(port.__name__, name, 0.1, failed=False)
    with metrics.leading(Knows(of)):
        return len(samples(metrics))


def operations(port: type) -> list[str]:
    return [name for name, member in vars(port).items() if inspect.iscoroutinefunction(member)]


def test_there_are_few_series_in_a_small_cluster() -> None:
    assert series(4, ORDINARY) <= LARGEST


def test_there_are_no_more_in_a_large_one() -> None:
    """The rarer actions have a histogram each; nodes add none, but for the reasons why they stay."""
    small, large, larger = series(4, ACTIONS), series(200, ACTIONS), series(1000, ACTIONS)
    assert large == larger
    assert large - small <= len(Reason)
    assert large <= 2 * LARGEST


@pytest.mark.parametrize(
    ("metrics", "cluster"),
    [
        (Metrics("blue").registry, "blue"),
        (IngestMetrics(lambda: 0, "blue")._registry, "blue"),
        (RulesMetrics().registry, ""),
    ],
)
def test_every_process_says_which_build_it_is_and_nothing_of_when_it_counted(metrics: Any, cluster: str) -> None:
    text = generate_latest(metrics).decode()
    assert f'scaler_build_info{{cluster="{cluster}",version="{__version__}"}} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text


def test_groups_and_nodes_are_what_the_status_document_says() -> None:
    metrics, knows = Metrics(), Knows(6)
    with metrics.leading(knows):
        found = samples(metrics)
    assert {
        name: found[f"scaler_group_{name},worker"] for name in ("desired", "instances", "ready", "min", "max", "debt")
    } == {"desired": 3, "instances": 4, "ready": 2, "min": 1, "max": 5, "debt": 1}
    assert found["scaler_nodes_drained,worker"] == 3
    assert found["scaler_nodes_drained,manager"] == 0
    kept = {name: value for name, value in found.items() if name.startswith("scaler_nodes_unremovable")}
    assert sum(kept.values()) == sum(1 for node in knows.document.nodes if node.removable != "yes")
    assert found["scaler_tasks_pending"] == 7
    assert found["scaler_paused"] == 0


def test_a_pause_shows() -> None:
    metrics = Metrics()
    with metrics.leading(Knows(0, PauseStatus(by="alice"))):
        assert samples(metrics)["scaler_paused"] == 1


def test_what_the_active_worker_knows_is_gone_when_it_is_active_no_more() -> None:
    metrics = Metrics()
    with metrics.leading(Knows(1)):
        found = samples(metrics)
        assert found["scaler_oldest_request_seconds"] == 61
        assert found["scaler_lease_age_seconds"] == 4
        assert found["scaler_pending_notices"] == 2
        assert found["scaler_open_requests,running"] == 2
        assert found["scaler_waiting_requests,turn"] == 1
        assert found["scaler_cooldown_end_timestamp_seconds,up,worker"] == NOW.timestamp()
    after = samples(metrics)
    assert after["scaler_oldest_request_seconds"] == 0
    assert not [name for name in after if name.startswith(("scaler_group", "scaler_lease", "scaler_open"))]


def test_steps_are_counted_by_direction() -> None:
    metrics = Metrics()
    metrics.ended(record("scale-nodes", "down", "plan", "drain"))
    metrics.ended(record("reschedule-services", None, "reschedule"))
    found = samples(metrics)
    assert found["scaler_step_seconds_sum,down,drain"] == 1
    assert found["scaler_step_seconds_count,none,reschedule"] == 1


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("We currently do not have sufficient t3.large capacity in the Availability Zone", "capacity"),
        ("You have requested more vCPU capacity than your current vCPU limit of 1", "quota"),
        ("Your Spot request price of 0.01 is lower than the minimum. Launching EC2 instance failed", "spot"),
        ("Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state", "key"),
        ("The image id '[ami-1]' does not exist", "template"),
        ("Something new", "other"),
    ],
)
def test_launch_failures_are_counted_by_a_few_reasons(sentence: str, code: str) -> None:
    assert launch_failure(sentence) == code
    metrics = Metrics()
    metrics.ended(record("scale-nodes", "up", plan={"launch_failure": sentence}))
    assert samples(metrics)[f"scaler_launch_failures_total,{code}"] == 1


class Port:
    """A port."""

    name = "x"

    async def answers(self, value: int) -> int:
        return value

    async def fails(self) -> None:
        raise Unavailable("AWS: no answer in time")

    def plain(self) -> str:
        return self.name


async def test_calls_are_measured_under_their_own_name_and_otherwise_unchanged() -> None:
    metrics = Metrics()
    port = metrics.calls.measured("aws", Port())
    assert (await port.answers(3), port.plain(), port.name) == (3, "x", "x")
    with pytest.raises(Unavailable):
        await port.fails()
    found = samples(metrics)
    assert found["scaler_call_seconds_count,answers,aws"] == 1
    assert found["scaler_call_seconds_count,fails,aws"] == 1
    assert found["scaler_call_errors_total,fails,aws"] == 1
    assert found["scaler_call_errors_total,answers,aws"] == 0

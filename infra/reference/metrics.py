"""The metrics, from what each process would show to Prometheus."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infra.reference.markdown import code, table
from ingest.metrics import Metrics as IngestMetrics
from rules.metrics import Metrics as RulesMetrics
from rules.model import Decision
from rules.model import Problem as WrongLabel
from shared.records import Record, State, Step
from shared.status import GroupStatus, NodeStatus, Obstacle, Problem, Queue, Status
from worker.metrics import Metrics as WorkerMetrics

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ingest() -> str:
    """What ingest counts."""
    counted = IngestMetrics(lambda: 0, "default", lambda: Queue(waiting=0, oldest=None, dead_letters=0))
    counted.answered("/v1/ping", 200, 0.0)  # labels are shown once they have a value
    return _table(counted.text([Problem(code="paused")]).decode())


def worker() -> str:
    """What the worker counts."""
    counted = WorkerMetrics()
    counted.calls.made("sqs", "receive", 0.0, failed=True)  # labels are shown once they have a value
    counted.ended(_ended())
    with counted.leading(_Leading()):
        return _table(generate_latest(counted.registry).decode())


def rules() -> str:
    """What `rules` counts."""
    counted = RulesMetrics()
    counted.decided(Decision((), (WrongLabel("web", "memory", ""),)))  # labels are shown once they have a value
    return _table(generate_latest(counted.registry).decode())


class _Leading:
    """An active worker that has one of everything."""

    def oldest_age(self) -> timedelta:
        return timedelta()

    def lease_age(self) -> timedelta:
        return timedelta()

    def pending_notices(self) -> int:
        return 0

    def open_requests(self) -> Mapping[str, int]:
        return {"running": 1}

    def waiting_requests(self) -> Mapping[str, int]:
        return {"turn": 1}

    def cooldown_ends(self) -> Sequence[tuple[str, str, datetime]]:
        return [("worker", "up", _NOW)]

    def status(self) -> Status:
        node = NodeStatus(type="worker", removable=(Obstacle(code="protected"),))
        return Status(groups=(GroupStatus(type="worker"),), nodes=(node,))


def _ended() -> Record:
    record = Record(id="1", action="scale-nodes", requested_at=_NOW, source="http", request={})
    return record.but(
        state=State.SUCCEEDED, scale="up", steps=(Step("plan", _NOW, _NOW),), started_at=_NOW, ended_at=_NOW
    )


def _table(text: str) -> str:
    return table(("metric", "is", "counts"), [_row(family) for family in _families(text)])


def _families(text: str) -> Iterator[Metric]:
    """Ours: not the process's own."""
    for family in text_string_to_metric_families(text):
        if family.name.startswith("scaler_"):
            yield family


def _row(family: Metric) -> tuple[str, str, str]:
    labels = [name for name in family.samples[0].labels if name != "le"] if family.samples else []
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return code(name + (f"{{{','.join(sorted(labels))}}}" if labels else "")), family.type, family.documentation

"""The metrics, from what each process would show to Prometheus."""

from collections.abc import Iterator

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infra.reference.markdown import code, table
from ingest.metrics import Metrics as IngestMetrics
from rules.metrics import Metrics as RulesMetrics
from rules.model import Decision, Problem
from worker.metrics import Metrics as WorkerMetrics


def ingest() -> str:
    """What ingest counts."""
    counted = IngestMetrics(lambda: 0)
    counted.answered("/v1/ping", 200, 0.0)  # labels are shown once they have a value
    return _table(counted.text().decode())


def worker() -> str:
    """What the worker counts."""
    return _table(generate_latest(WorkerMetrics().registry).decode())


def rules() -> str:
    """What `rules` counts."""
    counted = RulesMetrics()
    counted.decided(Decision((), (Problem("web", "memory", ""),)))  # labels are shown once they have a value
    return _table(generate_latest(counted.registry).decode())


def _table(text: str) -> str:
    return table(("metric", "is", "counts"), [_row(family) for family in _families(text)])


def _families(text: str) -> Iterator[Metric]:
    """Ours: not the process's own, and not the moments at which counters were made."""
    for family in text_string_to_metric_families(text):
        if family.name.startswith("scaler_") and not family.name.endswith("_created"):
            yield family


def _row(family: Metric) -> tuple[str, str, str]:
    labels = [name for name in family.samples[0].labels if name != "le"] if family.samples else []
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return code(name + (f"{{{','.join(sorted(labels))}}}" if labels else "")), family.type, family.documentation

"""What is counted, in a registry of its own, which the process's entry serves.

The number of series is bounded: labels have the values that the code knows, never names of nodes or services.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Summary

from shared import metrics
from shared.actions import ACTIONS
from shared.records import Record, State
from worker.metrics.calls import Calls
from worker.metrics.leader import Leader, Leading

_SECONDS: Final = (1, 10, 60, 300, 1200)
"""At once, soon, as a boot takes, as a drain may take, as the longest wait may take."""
_LAUNCH_FAILURES: Final[Mapping[str, tuple[str, ...]]] = {
    "quota": ("limit", "quota", "vcpu"),
    "spot": ("spot",),
    "capacity": ("capacity",),
    "key": ("kms", "key"),
    "template": ("template", "image", "ami", "invalid"),
}
"""Words of AWS's own sentences, the first that fits."""
OTHER: Final = "other"

DRY_RUN = "dry_run"
"""The outcome of a dry run, however it ended."""


_EVENTS: Final = (
    "What AWS said by itself: `taken` (a record), `joined` (an open request sees to it), `ignored` (nothing to do) or "
    "`foreign` (somebody else's instance)."
)


class Metrics:
    """What a person would want to see and alert on."""

    def __init__(self, cluster: str = "default") -> None:
        self.registry = metrics.registry(cluster)
        self.calls = Calls(self.registry)
        self._leader = Leader()
        counter = partial(Counter, registry=self.registry)
        self.requests = counter("scaler_requests", "Requests that ended.", ["action", "outcome"])
        seconds = "Seconds from a request's first step to its end."
        self.seconds = Histogram(
            "scaler_request_seconds", seconds, ["action"], buckets=_SECONDS, registry=self.registry
        )
        steps = "Seconds that a step of an ended request took; `scale` is up, down, or none."
        self.steps = Summary("scaler_step_seconds", steps, ["step", "scale"], registry=self.registry)
        failures = "Ended scale-ups for which AWS could not launch an instance, by the last reason."
        self.launch_failures = counter("scaler_launch_failures", failures, ["reason"])
        self.active = Gauge("scaler_active", "1 on the active worker, 0 on standby.", registry=self.registry)
        self.takeovers = counter("scaler_takeovers", "Times this worker became active.")
        self.dead_letters = counter("scaler_dead_letters", "Messages that could never be valid.")
        self.events = counter("scaler_events", _EVENTS, ["event", "outcome"])
        self.registry.register(self._leader)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """So that the first one is an increase, too."""
        for action in ACTIONS:
            for outcome in (State.SUCCEEDED, State.FAILED, State.SKIPPED, DRY_RUN):
                self.requests.labels(action, str(outcome))
        for reason in (*_LAUNCH_FAILURES, OTHER):
            self.launch_failures.labels(reason)

    def ended(self, record: Record) -> None:
        """A request has ended."""
        self.requests.labels(record.action, DRY_RUN if record.dry_run else str(record.state)).inc()
        if record.started_at is not None and record.ended_at is not None:
            self.seconds.labels(record.action).observe((record.ended_at - record.started_at).total_seconds())
        for step in record.steps:
            if step.ended_at is not None:
                took = (step.ended_at - step.started_at).total_seconds()
                self.steps.labels(step.name, record.scale or "none").observe(max(took, 0.0))
        failure = record.plan.get("launch_failure")
        if isinstance(failure, str):
            self.launch_failures.labels(launch_failure(failure)).inc()

    @contextmanager
    def leading(self, known: Leading) -> Iterator[None]:
        """While it lasts, each scrape asks what the active worker knows; afterwards this worker knows nothing."""
        self._leader.known = known
        try:
            yield
        finally:
            self._leader.known = None


def launch_failure(sentence: str) -> str:
    """AWS's sentence as one of a few codes."""
    words = sentence.lower()
    return next((code for code, parts in _LAUNCH_FAILURES.items() if any(part in words for part in parts)), OTHER)

"""The worker's Prometheus metrics. A registry of its own; the process's entry serves it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.messages import ACTIONS
from shared.records import Record, State


class Aged(Protocol):
    """What knows the age of the oldest open request."""

    def oldest_age(self) -> timedelta:
        """Zero without one."""
        ...


class Metrics:
    """What a person would want to see and alert on."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "scaler_requests", "Requests that ended.", ["action", "outcome"], registry=self.registry
        )
        self.seconds = Histogram(
            "scaler_request_seconds",
            "Seconds from a request's first step to its end.",
            ["action"],
            buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1200, 3600),
            registry=self.registry,
        )
        self.active = Gauge("scaler_active", "1 on the active worker, 0 on standby.", registry=self.registry)
        self._requests: Aged | None = None
        oldest = Gauge(
            "scaler_oldest_request_seconds",
            "Age of the oldest request that the active worker has not ended; 0 without one, and on standby.",
            registry=self.registry,
        )
        oldest.set_function(self._oldest_seconds)
        self.takeovers = Counter("scaler_takeovers", "Times this worker became active.", registry=self.registry)
        self.dead_letters = Counter(
            "scaler_dead_letters", "Messages that could never be valid.", registry=self.registry
        )
        for action in ACTIONS:
            self.seconds.labels(action)
            for state in (State.SUCCEEDED, State.FAILED, State.SKIPPED):
                self.requests.labels(action, str(state))

    def ended(self, record: Record) -> None:
        """A request has ended."""
        self.requests.labels(record.action, str(record.state)).inc()
        if record.started_at is not None and record.ended_at is not None:
            self.seconds.labels(record.action).observe((record.ended_at - record.started_at).total_seconds())

    @contextmanager
    def oldest_request(self, requests: Aged) -> Iterator[None]:
        """While it lasts, each scrape asks how old the oldest open request is; afterwards this worker knows of none."""
        self._requests = requests
        try:
            yield
        finally:
            self._requests = None

    def _oldest_seconds(self) -> float:
        return 0.0 if self._requests is None else self._requests.oldest_age().total_seconds()

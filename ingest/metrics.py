"""What ingest counts, for Prometheus."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from prometheus_client import Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared import metrics
from shared.actions import ACTIONS
from shared.status import Problem, Queue

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0)


class Metrics:
    """Counters in a registry of their own."""

    def __init__(
        self,
        waiting: Callable[[], int],
        cluster: str = "default",
        queue: Callable[[], Queue | None] = lambda: None,
    ) -> None:
        self._registry = metrics.registry(cluster)
        counter = partial(Counter, registry=self._registry)
        self._requests = counter("scaler_http_requests", "HTTP requests answered.", ["route", "code"])
        self._seconds = Histogram(
            "scaler_http_request_seconds",
            "Time from a request's headers to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._send_failures = counter("scaler_queue_send_failures", "Requests that SQS did not confirm (answered 503).")
        never = "Requests that can never be valid (answered 400); Alertmanager does not repeat them."
        self._bad_requests = counter("scaler_bad_requests", never, ["action"])
        self._auth_failures = counter("scaler_auth_failures", "Requests without the right token (answered 401).")
        for action in ACTIONS:  # so that the first one is an increase, too
            self._bad_requests.labels(action)
        Gauge("scaler_http_waiting", "Callers that wait for an outcome.", registry=self._registry).set_function(waiting)

        self._registry.register(_Queues(queue))
        self._problems = Gauge(
            "scaler_problems",
            "1 for each thing that GET /v1/status says is wrong; docs/reference.md says what to do about each.",
            ["code"],
            registry=self._registry,
        )

    def answered(self, route: str, code: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(route, str(code)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, action: str) -> None:
        """One request could never be valid."""
        self._bad_requests.labels(action).inc()

    def not_let_in(self) -> None:
        """One request had not got the token."""
        self._auth_failures.inc()

    def not_queued(self) -> None:
        """One request could not be queued."""
        self._send_failures.inc()

    def text(self, problems: Iterable[Problem] = ()) -> bytes:
        """All of it, in Prometheus's text format, with what is wrong now."""
        self._problems.clear()
        for problem in problems:
            self._problems.labels(problem.code).set(1)
        return generate_latest(self._registry)


class _Queues(Collector):
    """What SQS said last, as `GET /v1/status` shows it."""

    def __init__(self, newest: Callable[[], Queue | None]) -> None:
        self._newest = newest

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the first scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Nothing while SQS does not answer."""
        queue = self._newest()
        if queue is None:
            return
        messages = GaugeMetricFamily("scaler_queue_messages", "Messages that wait, in each queue.", labels=["queue"])
        for name, count in (("inbox", queue.waiting), ("dead_letters", queue.dead_letters)):
            if count is not None:
                messages.add_metric([name], count)
        yield messages
        meaning = "For how long the inbox has not been seen empty; 0 where nothing waits."
        yield GaugeMetricFamily("scaler_queue_oldest_seconds", meaning, value=queue.oldest or 0.0)

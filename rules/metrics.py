"""What `rules` counts. A registry of its own; `health` serves it."""

from collections.abc import Iterable
from functools import partial

from prometheus_client import Counter, Gauge

from rules.model import Decision, Problem
from shared import metrics


class Metrics:
    """What a person would want to see and alert on."""

    def __init__(self) -> None:
        self.registry = metrics.registry()
        gauge = partial(Gauge, registry=self.registry)
        self._rules = gauge("scaler_rules", "Rules in the file.")
        invalid = "1 for each alert of a service that was left out; the log and the alert ScalerRuleInvalid say why."
        self._invalid = gauge("scaler_rules_invalid", invalid, ["service", "alert"])
        self._read = gauge("scaler_rules_read_timestamp_seconds", "When the services were last read.")
        self._written = gauge("scaler_rules_written_timestamp_seconds", "When the file last changed.")
        self._failures = Counter(
            "scaler_rules_failures", "Times that something could not be done.", ["what"], registry=self.registry
        )
        for what in ("read", "write"):
            self._failures.labels(what)

    def decided(self, decision: Decision) -> None:
        """What the file now says."""
        self._rules.set(len(decision.rules))
        self._tell_invalid(decision.problems)

    def read(self) -> None:
        """The services have been read."""
        self._read.set_to_current_time()

    def written(self) -> None:
        """The file has changed."""
        self._written.set_to_current_time()

    def failed(self, what: str) -> None:
        """`read`: the services; `write`: the file."""
        self._failures.labels(what).inc()

    def _tell_invalid(self, problems: Iterable[Problem]) -> None:
        self._invalid.clear()
        for problem in problems:
            self._invalid.labels(problem.service, problem.alert).set(1)

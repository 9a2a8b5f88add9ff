"""What the decision is about: services as they come in, rules as they go out, and what is wrong with a label."""

from collections.abc import Mapping
from dataclasses import dataclass


class BadLabel(Exception):
    """A label that cannot become part of a valid rule. Its text is for the person who set it."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the Swarm, as far as its labels need it."""

    name: str
    labels: Mapping[str, str]
    replicas: int | None
    """Tasks that it shall have. None: a job, or an engine that does not tell it of a global service."""
    scaled_to_zero: bool = False
    """A replicated service without replicas."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One alerting rule."""

    service: str
    name: str
    expression: str
    lasting: str
    """Prometheus's `for`; empty: it fires at once."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def identity(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """Two rules with the same one would be one alert to Alertmanager."""
        return self.name, frozenset(self.labels.items())


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A rule that was left out, or a label that does nothing."""

    service: str
    alert: str
    """The alert's name; where it has none, the label without `com.df.`."""
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the labels of all services come to."""

    rules: tuple[Rule, ...]
    problems: tuple[Problem, ...]

"""How far a scale may go: bounds and step from labels, settings and the group, and the target they allow.

A label beats the default, a request's own `by` beats the label, and a group's MinSize and MaxSize, which nobody here
ever changes, narrow both bounds. A label that makes no sense is passed over and told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.fields import MAX_BY, Direction
from worker.decisions.pools import NodePool, Tunable, replica_tunables
from worker.ports.scaling import Group
from worker.settings import WorkerSettings

MOST = 10_000
"""The highest bound that settings and labels may name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds and the step of one scale, and what was odd about the labels."""

    minimum: int
    maximum: int
    by: int
    warnings: tuple[str, ...] = ()
    minimum_from: str = field(default="", compare=False)
    """What sets the minimum: a label, a setting or the group's MinSize."""
    maximum_from: str = field(default="", compare=False)
    """The same of the maximum."""

    def named(self, bound: Literal["maximum", "minimum"]) -> str:
        """A bound in words: `the maximum of 5 (DEFAULT_MAX_WORKER_NODES)`."""
        number, source = (self.maximum, self.maximum_from) if bound == "maximum" else (self.minimum, self.minimum_from)
        return f"the {bound} of {number} ({source})" if source else f"the {bound} of {number}"


@dataclass(frozen=True, slots=True)
class Target:
    """The number there is, and the number there shall be."""

    before: int
    after: int
    limited_by: str | None = field(default=None, compare=False)
    """The bound that cut it short."""


@dataclass(frozen=True, slots=True)
class AtBound:
    """Nothing to do: the real number is at this bound already, or beyond it."""

    number: int
    bound: Literal["maximum", "minimum"]
    limit: str = field(default="", compare=False)
    """The bound itself, in words."""


def node_limits(
    pool: NodePool, labels: Mapping[str, str], direction: Direction, by: int | None, group: Group
) -> Limits:
    """The limits of a node scale. `labels` are those of the service that the request names, or none."""
    reader = _Reader(labels)
    minimum, maximum = reader.bound(pool.tunables.minimum), reader.bound(pool.tunables.maximum)
    step = reader.read(pool.tunables.steps[direction], 1, MAX_BY) if by is None else by
    minimum = max(minimum, _Bound(group.min_size, f"MinSize of {group.name}"), key=_number)
    maximum = min(maximum, _Bound(group.max_size, f"MaxSize of {group.name}"), key=_number)
    return _limits(minimum, maximum, step, reader.warnings, f"{pool.name} nodes (group {group.name} included)")


def service_limits(settings: WorkerSettings, labels: Mapping[str, str], direction: Direction, by: int | None) -> Limits:
    """The limits of a replica scale. `labels` are those of the service itself."""
    reader, tunables = _Reader(labels), replica_tunables(settings)
    minimum, maximum = reader.bound(tunables.minimum), reader.bound(tunables.maximum)
    step = reader.read(tunables.steps[direction], 1, MAX_BY) if by is None else by
    return _limits(minimum, maximum, step, reader.warnings, "replicas")


def target(direction: Direction, present: int, limits: Limits) -> Target | AtBound:
    """Where a scale leads. An up never lowers, a down never raises, and a down never takes more than its step.

    An up from below the minimum goes at least to the minimum. Where the minimum is above the maximum, an up still
    ends at the maximum and a down at the minimum: of the numbers that could be meant, the one that changes least.
    """
    if direction == "up":
        after = min(max(present + limits.by, limits.minimum), limits.maximum)
        if after <= present:
            return AtBound(present, "maximum", limits.named("maximum"))
        return Target(present, after, limits.named("maximum") if after < present + limits.by else None)
    after = max(present - limits.by, limits.minimum)
    if after >= present:
        return AtBound(present, "minimum", limits.named("minimum"))
    return Target(present, after, limits.named("minimum") if after > present - limits.by else None)


@dataclass(frozen=True, slots=True)
class _Bound:
    """A bound, and what set it."""

    number: int
    source: str


def _number(bound: _Bound) -> int:
    return bound.number


class _Reader:
    """Reads whole numbers from labels, and notes what is wrong with them."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self.warnings: list[str] = []

    def bound(self, tunable: Tunable) -> _Bound:
        """The same, with what has set it."""
        warned = len(self.warnings)
        number = self.read(tunable)
        by_label = tunable.label in self._labels and len(self.warnings) == warned
        return _Bound(number, f"label {tunable.label}" if by_label else tunable.variable)

    def read(self, tunable: Tunable, lowest: int = 0, highest: int = MOST) -> int:
        """The label's number, or the default where there is none."""
        value = self._labels.get(tunable.label)
        if value is None:
            return tunable.default
        number = int(value) if value.isascii() and value.isdigit() and len(value) <= 12 else -1
        if lowest <= number <= highest:
            return number
        self.warnings.append(
            f"Label {tunable.label}={_short(value)} is not a whole number from {lowest} to {highest}: "
            f"{tunable.default} is used instead"
        )
        return tunable.default


def _limits(minimum: _Bound, maximum: _Bound, by: int, warnings: list[str], what: str) -> Limits:
    low, high = minimum.number, maximum.number
    if low > high:
        warnings.append(
            f"The minimum of {what}, {low}, is more than the maximum, {high}: an up stops at {high}, "
            f"a down at {low}; correct the labels, the settings or the group"
        )
    return Limits(low, high, by, tuple(warnings), minimum.source, maximum.source)


def _short(value: str) -> str:
    text = "".join(char if char.isprintable() else "?" for char in value)
    return text if len(text) <= 40 else f"{text[:37]}..."

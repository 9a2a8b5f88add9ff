"""Figures that a benchmark takes, and the table that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final

_WORST: Final[Mapping[bool, Callable[[list[float]], float]]] = {False: max, True: min}


@dataclass(slots=True)
class Figure:
    """What was measured, each time."""

    unit: str
    more_is_better: bool
    values: list[float] = field(default_factory=list)

    @property
    def worst(self) -> float:
        """The one that nobody would boast of."""
        return _WORST[self.more_is_better](self.values)


class Figures:
    """In the order in which they were first taken."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}

    def note(self, what: str, *values: float, unit: str = "s", more_is_better: bool = False) -> None:
        """Take one or more values down."""
        self._figures.setdefault(what, Figure(unit, more_is_better)).values.extend(values)

    def median(self, what: str) -> float:
        """The median of what was taken down."""
        return median(self._figures[what].values)

    def table(self) -> str:
        """For a person: one line for each, the median and the worst; how often it was measured."""
        width = max(map(len, self._figures))
        lines = [f"{'what':<{width}}  {'median':>12}  {'worst':>12}  {'of':>4}"]
        for what, figure in self._figures.items():
            values = (_shown(median(figure.values), figure.unit), _shown(figure.worst, figure.unit))
            lines.append(f"{what:<{width}}  {values[0]:>12}  {values[1]:>12}  {len(figure.values):>4}")
        return "\n".join(lines)


def _shown(value: float, unit: str) -> str:
    """Three digits that count: nobody needs more, and nobody wants a 0.00."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 or value == 0 else 3
    return f"{value:.{digits}f} {unit}".rstrip()

"""The dashboard's panels, drawn from what a Prometheus has recorded: with their units, legends and thresholds.

It is no Grafana: it shows what the queries answer, in the panels' places and units. A unit, a kind of panel, or a way
to draw that it does not know is an error, so that nothing of the dashboard goes unseen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

Answers = Callable[[str], Sequence[Mapping[str, Any]]]
"""What Prometheus says to a query over the whole time: its `result`, a matrix."""

PAGE_WIDTH: Final = 1400
COLUMN, HEIGHT, LEFT, GAP = 57, 150, 62, 24
"""In pixels: of a column of the grid, of a drawing, of the space for its scale, and of a panel's edges together."""
TICKS: Final = 4
PALETTE: Final = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#8ab8ff", "#b877d9", "#fade2a")
COLORS: Final = {"green": "#73bf69", "red": "#f2495c", "blue": "#5794f2", "orange": "#ff9830"}


@dataclass(frozen=True, slots=True)
class Series:
    """What one legend stands for."""

    name: str
    points: tuple[tuple[float, float], ...]
    """Second and value; seconds in which there is none are left out."""

    @property
    def last(self) -> float:
        """Grafana's `lastNotNull`."""
        return self.points[-1][1]


@dataclass(frozen=True, slots=True)
class Line:
    """A series in a drawing."""

    path: str
    color: str
    legend: str


@dataclass(frozen=True, slots=True)
class Stat:
    """The one thing that a panel of this kind says."""

    text: str
    color: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel, ready to be shown."""

    title: str
    kind: str
    place: str
    """In a grid of 24 columns, as CSS has it."""
    stats: tuple[Stat, ...] = ()
    width: int = 0
    """Of the drawing."""
    lines: tuple[Line, ...] = ()
    times: tuple[tuple[float, str], ...] = ()
    ticks: tuple[tuple[float, str], ...] = ()
    marks: tuple[tuple[float, str], ...] = ()
    """Annotations: where, and in which color."""


class Drawing:
    """A dashboard over one stretch of time."""

    def __init__(self, dashboard: Mapping[str, Any], answers: Answers, began: float, ended: float) -> None:
        self._dashboard = dashboard
        self._answers = answers
        self._began = began
        self._seconds = max(ended - began, 1.0)

    def panels(self) -> list[Panel]:
        """All of them, rows too."""
        marks = tuple(self._marks())
        return [self._panel(each, marks) for each in self._dashboard["panels"]]

    def page(self, panels: Sequence[Panel], caption: str) -> str:
        """As HTML, on its own."""
        loader = FileSystemLoader(Path(__file__).parent)
        environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        notes = [(each["name"], COLORS[each["iconColor"]]) for each in self._dashboard["annotations"]["list"]]
        return environment.get_template("panels.html").render(
            title=self._dashboard["title"],
            caption=caption,
            notes=notes,
            panels=panels,
            height=HEIGHT,
            left=LEFT,
        )

    def _panel(self, panel: Mapping[str, Any], marks: tuple[tuple[float, str], ...]) -> Panel:
        at = panel["gridPos"]
        place = f"{at['y'] + 1} / {at['x'] + 1} / span {at['h']} / span {at['w']}"
        title, kind = panel["title"], panel["type"]
        match kind:
            case "row":
                return Panel(title, kind, place)
            case "stat":
                return Panel(title, kind, place, stats=tuple(_stats(panel, self._series(panel))))
            case "timeseries":
                return Panel(title, kind, place, **self._drawn(panel, marks))
            case _:
                raise ValueError(f"{title}: nobody can draw a {kind}")

    def _drawn(self, panel: Mapping[str, Any], marks: tuple[tuple[float, str], ...]) -> dict[str, Any]:
        """The parts of a drawing. `marks`: by their share of the time."""
        series = list(self._series(panel))
        top = _top(value for each in series for _, value in each.points)
        unit, width = panel["fieldConfig"]["defaults"]["unit"], panel["gridPos"]["w"] * COLUMN - GAP
        shares = (0.0, 0.5, 1.0)
        return {
            "width": width,
            "lines": tuple(self._lines(panel, series, top, width)),
            "ticks": tuple((_y(top * n / TICKS, top), said(top * n / TICKS, unit)) for n in range(TICKS + 1)),
            "times": tuple((_x(share, width), f"{share * self._seconds:.0f} s") for share in shares),
            "marks": tuple((_x(share, width), color) for share, color in marks),
        }

    def _series(self, panel: Mapping[str, Any]) -> Iterator[Series]:
        for target in panel["targets"]:
            for answer in self._answers(target["expr"]):
                points = ((float(at), float(value)) for at, value in answer["values"])
                numbers = tuple(point for point in points if math.isfinite(point[1]))
                if numbers:
                    yield Series(legend(target["legendFormat"], answer["metric"]), numbers)

    def _lines(self, panel: Mapping[str, Any], series: Sequence[Series], top: float, width: int) -> Iterator[Line]:
        defaults = panel["fieldConfig"]["defaults"]
        stepped = {"stepAfter": True, "linear": False}[defaults["custom"]["lineInterpolation"]]
        for number, each in enumerate(series):
            path, before, height = [], None, 0.0
            for at, value in each.points:
                x, y = _x(self._share(at), width), _y(value, top)
                gap = before is None or at - before > 1.5
                path.append(f"M{x:.1f} {y:.1f}" if gap else f"H{x:.1f}V{y:.1f}" if stepped else f"L{x:.1f} {y:.1f}")
                before, height = at, y
            path.append(f"h2V{height:.1f}")  # so that a single point is seen
            text = f"{each.name} {said(each.last, defaults['unit'])}"
            yield Line("".join(path), PALETTE[number % len(PALETTE)], text)

    def _marks(self) -> Iterator[tuple[float, str]]:
        """Where something began to be so that the annotations tell."""
        for each in self._dashboard["annotations"]["list"]:
            for answer in self._answers(each["expr"]):
                times = [float(at) for at, _ in answer["values"]]
                for at, before in zip(times, [-math.inf, *times], strict=False):
                    if at - before > 1.5:
                        yield self._share(at), COLORS[each["iconColor"]]

    def _share(self, at: float) -> float:
        return (at - self._began) / self._seconds


def empty(panels: Sequence[Panel]) -> list[str]:
    """The titles of those that show no data."""
    return [each.title for each in panels if each.kind != "row" and not each.stats and not each.lines]


def _stats(panel: Mapping[str, Any], series: Iterator[Series]) -> Iterator[Stat]:
    defaults, by_name = panel["fieldConfig"]["defaults"], panel["options"]["textMode"] == "name"
    for each in series:
        text = each.name if by_name else said(each.last, defaults["unit"])
        yield Stat(text, _color(each.last, defaults["thresholds"]))


def _color(value: float, thresholds: Mapping[str, Any]) -> str:
    """That of the last step which the value has come to."""
    reached = [step for step in thresholds["steps"] if step["value"] is None or value >= step["value"]]
    return COLORS[reached[-1]["color"]]


def _top(values: Iterator[float]) -> float:
    """A round number that none exceeds: 1, 2, 4 or 8 times a power of ten."""
    most = max(values, default=1.0)
    if most <= 0:
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(most))
    return next(unit * n for n in (1, 2, 4, 8, 10) if unit * n >= most)


def _x(share: float, width: int) -> float:
    return LEFT + (width - LEFT) * share


def _y(value: float, top: float) -> float:
    return HEIGHT - HEIGHT * value / top


def legend(form: str, labels: Mapping[str, str]) -> str:
    """A legend with its labels filled in."""
    return re.sub(r"{{ *(\w+) *}}", lambda name: labels.get(name[1], ""), form).strip()


def said(value: float, unit: str) -> str:
    """A value in a unit of Grafana's."""
    match unit:
        case "s":
            return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
        case "bytes":
            return f"{value / 2**20:.3g} MiB"
        case "reqps":
            return f"{value:.2g} req/s"
        case "short":
            return f"{value:.3g}"
        case _:
            raise ValueError(f"nobody knows the unit {unit}")

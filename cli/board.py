"""The board: a live picture on a terminal, else a line for each thing that has happened since the last look.

What is seen is a `View`: whoever uses the board says how it looks, and what has changed in it. How the steps of a
request look is the same for everyone, and stands here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, Self, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

ENDS = ("succeeded", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that has happened: `kind` is a word, such as `step`."""

    kind: str
    text: str


class View(Protocol):
    """Everything to be seen at one moment. It does not change."""

    def picture(self, height: int, width: int) -> RenderableType:
        """In so many lines and columns."""

    def changes(self, before: Self | None) -> Iterator[Line]:
        """What has happened since another one; None: everything."""


V = TypeVar("V", bound=View)


class Board(Generic[V]):
    """Shows views, one after the other. `tell` takes the lines where nobody sees pictures."""

    def __init__(self, console: Console, tell: Callable[[V, Line], None], *, live: bool) -> None:
        self._console = console
        self._tell = tell
        self._wanted = live
        self._before: V | None = None
        self._live: Live | None = None

    @contextmanager
    def lit(self) -> Iterator[None]:
        """While the show goes on; the last picture stays."""
        if not self._wanted:
            yield
            return
        try:
            with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as self._live:
                yield
        finally:
            self._live = None

    @property
    def seen(self) -> bool:
        """Whether somebody sees pictures now."""
        return self._live is not None

    def show(self, view: V) -> None:
        """How things stand now."""
        if self._live is not None:
            self._live.update(view.picture(self._console.height, self._console.width), refresh=True)
        else:
            for line in view.changes(self._before):
                self._tell(view, line)
        self._before = view


def step_lines(record: Mapping[str, Any] | None) -> list[Line]:
    """What a record has come to so far: its steps, then its end. The longer a request runs, the more lines."""
    if record is None:
        return []
    steps = _steps(record)
    lines = [Line("step", str(step["name"])) for step in steps]
    if record.get("ended_at"):
        took_each = (f"{step['name']} {took(step).total_seconds():.2f} s" for step in steps)
        lines.append(Line("ended", f"{record['state']} ({', '.join(took_each)})" if steps else str(record["state"])))
        lines.append(Line("", str(record.get("message") or "")))
    return lines


def step_cells(record: Mapping[str, Any] | None) -> list[Text]:
    """The steps with how long they took, then the state."""
    if record is None:
        return [Text("queued", "dim")]
    state = str(record["state"])
    colour = "bold green" if state == "succeeded" else "bold red" if state == "failed" else "dim"
    return [*(_step_cell(step) for step in _steps(record)), Text(state, colour)]


def took(step: Mapping[str, Any]) -> timedelta:
    """How long a step took; until now where it goes on."""
    start = datetime.fromisoformat(step["started_at"])
    end = datetime.fromisoformat(step["ended_at"]) if step.get("ended_at") else datetime.now(start.tzinfo)
    return max(timedelta(), end - start)


def _steps(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return record.get("steps") or ()


def _step_cell(step: Mapping[str, Any]) -> Text:
    seconds = f"{took(step).total_seconds():6.2f} s"
    return Text.assemble((f"{step['name']:<12}", "" if step.get("ended_at") else "bold yellow"), seconds)

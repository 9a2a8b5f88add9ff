"""Where results go: tables when a person looks, tab-separated lines when piped, JSON when asked for.

Piped, an empty cell is `-`, moments are RFC 3339 and times are seconds. Whatever a server says is stripped of control
characters: it must not steer a terminal.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TextIO

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from cli import durations
from shared.clock import rfc3339

Cell = str | int | float | bool | datetime | timedelta | None

_COLOURS: Final = {
    **dict.fromkeys(("succeeded", "ready", "yes", "ok", "leader"), "green"),
    **dict.fromkeys(("failed", "down", "wrong"), "red"),
    **dict.fromkeys(("running", "queued", "waiting", "drain", "pause", "unknown"), "yellow"),
    "skipped": "dim",
}
"""Of cells that are only this word."""
_GAP: Final = 2
_READABLE: Final = 20
"""So wide a sentence has to be at the least."""
_NO_END: Final = 10_000
"""Columns of a terminal that is none."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their columns. Piped, each begins with its `kind`, where several kinds of rows are shown."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    kind: str | None = None
    spare: tuple[str, ...] = ()
    """Columns that a person can do without on a narrow terminal, the first to go first."""


class Output:
    """One command's standard output."""

    def __init__(self, stream: TextIO, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.person = stream.isatty() and not as_json
        self._stream = stream
        width = None if self.person else _NO_END
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False, width=width)

    def document(self, document: object, *, line: bool = False) -> None:
        """JSON; on one `line` where several follow each other."""
        self._write(json.dumps(document, indent=None if line else 2))

    def table(self, table: Table) -> None:
        """For a person, columns that have something to say; piped, all of them."""
        if self.person:
            self.console.print(drawn(table, self.console.width))
            return
        for row in table.rows:
            self._write("\t".join([*([table.kind] if table.kind else []), *map(piped, row)]))

    def line(self, text: str, style: str = "") -> None:
        """A sentence for a person; piped, nothing but tables is said."""
        if self.person:
            self.console.print(Text(clean(text), style), soft_wrap=True)

    def raw(self, text: str) -> None:
        """As it is."""
        self._write(text.rstrip("\n"))

    def _write(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()


def warn(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"scaler: {clean(text)}\n")
    sys.stderr.flush()


def swallow_output() -> None:
    """Nobody reads on (`| head`): what is left in buffers goes nowhere, without an error at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def drawn(table: Table, width: int) -> RichTable:
    """As a person sees it, in so many columns of a terminal."""
    made = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    used = _fitting(table, width)
    for i in used:
        number = all(isinstance(row[i], int | float | timedelta | None) for row in table.rows)
        justify: Literal["left", "right"] = "right" if number else "left"
        made.add_column(table.columns[i].upper(), justify=justify, no_wrap=not _wraps(table, i), overflow="fold")
    for row in table.rows:
        made.add_row(*(_cell(row[i]) for i in used))
    return made


def _fitting(table: Table, width: int) -> list[int]:
    """The columns that say something, without those that are spared where there is no room for all."""
    used = [i for i in range(len(table.columns)) if any(row[i] not in (None, "") for row in table.rows)]
    for name in table.spare:
        if sum(_least(table, i) + _GAP for i in used) <= width:
            break
        used = [i for i in used if table.columns[i] != name]
    return used


def _least(table: Table, i: int) -> int:
    """How wide a column has to be."""
    cells = max((len(for_people(row[i])) for row in table.rows), default=0)
    return max(len(table.columns[i]), min(cells, _READABLE) if _wraps(table, i) else cells)


def _wraps(table: Table, i: int) -> bool:
    """Sentences do, names and numbers do not."""
    return any(isinstance(row[i], str) and " " in str(row[i]) for row in table.rows)


def _cell(value: Cell) -> Text:
    text = for_people(value)
    return Text(text, _COLOURS.get(text, ""))


def for_people(value: Cell) -> str:
    """A cell as a person reads it: local time, the date only where it is not today's."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            local = value.astimezone()
            today = local.date() == datetime.now(UTC).astimezone().date()
            return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M:%S}"
        case timedelta():
            return durations.shown(value)
        case float():
            return f"{value:g}"
        case _:
            return clean(str(value))


def piped(value: Cell) -> str:
    """A cell as a program reads it."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return rfc3339(value)
        case timedelta():
            return f"{value.total_seconds():.3f}"
        case _:
            return " ".join(clean(str(value)).split()) or "-"


def clean(text: str) -> str:
    """Without control characters; lines stay lines."""
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)


def moment(value: Any) -> datetime | None:
    """A moment of a document; None where there is none, or it cannot be read."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def joined(parts: Iterable[object]) -> str:
    """Those that say something, with commas."""
    return ", ".join(str(part) for part in parts if part)

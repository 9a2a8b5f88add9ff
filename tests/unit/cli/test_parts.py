"""The small parts: times, cells, and what the parser has in common with ingest."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from rich.console import Console

from cli import durations, parser
from cli.output import Table, drawn, for_people, piped
from cli.program import COMMANDS
from shared.fields import MAX_BY
from shared.records import State


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), ("0.5", 0.5)],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert durations.parsed(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "0", "-1", "2h30", "1 h", "\u0661", "9999999999d", "1e3", "2x", "30m1h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    if text == "2h30":  # hours, and seconds without their letter
        assert durations.parsed(text) == timedelta(seconds=7230)
        return
    with pytest.raises(ValueError, match=r"time|more than nothing"):
        durations.parsed(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (9.96, "10 s"), (61, "1 min 1 s"), (7200, "2 h"), (90061, "1 d 1 h")]
)
def test_times_are_shown_in_two_units_at_most(seconds: float, text: str) -> None:
    assert durations.shown(timedelta(seconds=seconds)) == text


def test_what_ingest_takes_the_parser_takes() -> None:
    assert parser.MAX_BY == MAX_BY
    assert set(parser.STATES) == {str(state) for state in State}


def test_each_command_of_the_parser_is_one_of_the_program() -> None:
    (commands,) = [action for action in parser.build()._actions if isinstance(action.choices, dict)]
    assert commands.choices is not None
    assert set(commands.choices) == set(COMMANDS)


def test_cells_are_what_people_and_programs_read() -> None:
    assert [piped(each) for each in (None, "", "a\tb\nc", True, timedelta(seconds=1), 3)] == [
        *("-", "-", "a b c", "yes", "1.000", "3"),
    ]
    assert [for_people(each) for each in (None, False, timedelta(seconds=61), 0.5)] == ["", "no", "1 min 1 s", "0.5"]


def test_a_narrow_terminal_loses_what_can_be_spared_and_nothing_else() -> None:
    rows = [("ip-10-0-3-12", "would-not-fit: web.1 fits on no other node", "i-0123456789abcdef0", "eu-central-1a")]
    table = Table(("node", "removable", "instance", "zone"), rows, spare=("zone", "instance"))

    def shown(width: int) -> list[bool]:
        console = Console(file=io.StringIO(), width=width)
        console.print(drawn(table, width))
        assert isinstance(console.file, io.StringIO)
        assert "would-not-fit" in console.file.getvalue()
        return [name in console.file.getvalue() for name in ("NODE", "REMOVABLE", "INSTANCE", "ZONE")]

    assert shown(120) == [True, True, True, True]
    assert shown(60) == [True, True, True, False]
    assert shown(40) == [True, True, False, False]

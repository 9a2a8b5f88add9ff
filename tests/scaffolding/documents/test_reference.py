"""The reference is what the code says: its tables are made from it, and each has a place on the page."""

import re
from pathlib import Path

import pytest

from cli.program import COMMANDS
from infra.local.surroundings import OWN
from infra.reference.page import ARCHITECTURE, PAGE, ROOMS, TABLES, filled, marks
from infra.reference.targets import table_of
from ingest.outcomes import MOST as WAITING
from ingest.settings import IngestSettings
from ingest.wait import LONGEST
from rules.settings import RulesSettings
from shared.actions import ACTIONS
from shared.messages import MAX_REQUEST_BYTES
from shared.records import State
from shared.table import KEPT
from worker.settings import WorkerSettings


def rows(name: str) -> dict[str, tuple[str, ...]]:
    """A table's rows by their first cell, without its back quotes."""
    lines = TABLES[name]().splitlines()[2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {row[0].strip("`"): tuple(row[1:]) for row in cells}


@pytest.mark.parametrize("page", [PAGE, ARCHITECTURE], ids=lambda page: page.name)
def test_the_page_is_what_the_code_says(page: Path) -> None:
    assert page.read_text() == filled(page.read_text()), "the code has changed: run `make docs`"


def test_the_tree_of_the_worker_stands_on_the_page_of_the_architecture() -> None:
    assert marks(ARCHITECTURE.read_text()) == list(ROOMS)
    assert "terminate" in ROOMS["rooms of the worker"]()


def test_each_table_stands_on_the_page_once() -> None:
    assert sorted(marks(PAGE.read_text())) == sorted(TABLES)


def test_what_stands_between_marks_is_replaced_and_nothing_else() -> None:
    text = "before\n<!-- made: targets -->\nold\n<!-- end -->\nafter\n"
    assert filled(text) == f"before\n<!-- made: targets -->\n{TABLES['targets']()}<!-- end -->\nafter\n"


def test_a_mark_without_a_table_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled("<!-- made: nothing -->\n<!-- end -->")


def test_every_variable_stands_on_it_with_a_meaning() -> None:
    parts = ("both", "ingest", "worker", "rules")
    found = {name: row for part in parts for name, row in rows(f"variables of {part}").items()}
    assert set(found) == {
        name.upper() for cls in (IngestSettings, WorkerSettings, RulesSettings) for name in cls.model_fields
    }
    assert all(meaning != "None" for _, meaning in found.values())


def test_every_action_stands_on_it() -> None:
    assert {f"POST {action.route}" for action in ACTIONS.values()} <= set(rows("routes"))
    assert {action for action in ACTIONS if f'{{"action": "{action}"' in PAGE.read_text()} == set(ACTIONS)


def test_the_figures_in_the_sentences_are_those_of_the_code() -> None:
    text = " ".join(PAGE.read_text().split())
    assert f"at most {MAX_REQUEST_BYTES // 1024} KiB" in text
    assert f"kept for {KEPT.days} days" in text
    assert f"`wait=SECONDS` (0 to {LONGEST.total_seconds():.0f})" in text
    assert f"where {WAITING} callers wait already" in text
    assert all(f"`{state}`" in text for state in State)


def test_every_command_stands_on_it_with_what_it_does() -> None:
    found = {name.split()[1]: row for name, row in rows("commands").items()}
    assert set(found) == set(COMMANDS)
    assert all(does.endswith(".") for (does,) in found.values())


def test_metrics_are_named_as_prometheus_shows_them() -> None:
    assert "scaler_requests_total{action,outcome}" in rows("metrics of worker")
    assert "scaler_http_requests_total{code,route}" in rows("metrics of ingest")
    assert not [name for name in rows("metrics of worker") if "created" in name]


def test_every_event_has_a_row_of_its_own() -> None:
    lines = TABLES["notifications"]().splitlines()
    assert len(lines) == len(set(lines))
    assert {line.count(" | ") for line in lines[2:]} == {5}


def test_targets_that_share_a_line_are_all_named() -> None:
    assert "`make a-b`, `make c` | what they do." in table_of("a-b c: x-%: y ## what they do\n\tcommand\n")


def test_every_variable_of_the_environments_file_is_named() -> None:
    text = PAGE.read_text()
    assert not [name for name in OWN if f"`{name}`" not in text]

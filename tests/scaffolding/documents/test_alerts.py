"""docs/alerts.md: every label and shortcut stands there as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.labels import FIELDS
from rules.shortcuts import SHORTCUTS
from tests.unit.rules.test_decision import alert, only
from tests.unit.rules.test_decision import decided as decided_of

PAGE = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()


def row(name: str) -> str:
    """A shortcut's row of the table."""
    shortcut = SHORTCUTS[name]
    places = ["Q", "D", "V"][3 - len(shortcut.arguments) :]
    values = f":{','.join(places)}" if places else ""
    expression = shortcut.filled(shortcut.expression.replace("<<R>>", "R"), "S", None, places)
    labels = " ".join(f"`{key}={value}`" for key, value in shortcut.labels.items())
    return f"| `{name}{values}` | `{expression}` | {labels} |"


@pytest.mark.parametrize("name", SHORTCUTS)
def test_every_shortcut_stands_in_the_table_with_its_expression_and_labels(name: str) -> None:
    assert row(name) in PAGE.splitlines()


@pytest.mark.parametrize("name", SHORTCUTS)
def test_every_shortcut_has_an_example_that_works(name: str) -> None:
    example = SHORTCUTS[name].example or name
    assert only(decided_of("web", alert(1, "x", example))).name == "web_x"


def test_every_label_stands_there() -> None:
    scrape = ("scrapePort", "metricsPath", "scrapeInterval", "scrapeTimeout", "scrapeNetwork", "notify")
    for name in (*FIELDS, *scrape):
        assert f"`com.df.{name}`" in PAGE, name

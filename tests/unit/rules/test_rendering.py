"""The file: whatever stands in a label is text there, for YAML and for Prometheus."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rules.decision import decide
from rules.model import Decision, Problem, Rule
from rules.rendering import rendered
from tests.unit.rules.promtool import check, needs_promtool
from tests.unit.rules.test_decision import alert, service

HOSTILE = [
    "10: #1 of 2",
    "a\nb\r\n\tc",
    "- list",
    "{a: b}",
    "'\"\\",
    "yes",
    "~",
    "!!int 3",
    "\u2028\u0085\ufeff\x7f\x01",
    "é😀",
    "%percent @at `tick`",
    "---\n...",
    " spaces ",
]


def _file(values: list[str]) -> str:
    rules = tuple(Rule("s", f"s_{place}", "up", "", {"l": text}, {"a": text}) for place, text in enumerate(values))
    return rendered(Decision(rules, tuple(Problem("s", text, text) for text in values)))


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=3))
def test_every_text_is_read_back_as_it_was(values: list[str]) -> None:
    groups = yaml.safe_load(_file(values))["groups"]
    read = [rule["annotations"]["a"] for group in groups if group["name"] == "service s" for rule in group["rules"]]
    assert read == values


@needs_promtool
def test_prometheus_takes_a_file_whatever_stands_in_labels(tmp_path: Path) -> None:
    assert check(tmp_path, _file(HOSTILE)) == ""
    templates = tuple(
        Problem("s", text, f"is {text}") for text in ("{{", "{{ $value", "}}", "{{{{", "{{{", "{{ end }}")
    )
    assert check(tmp_path, rendered(Decision((), templates))) == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_wrong_with_a_hostile_label_can_be_told(text: str, tmp_path: Path) -> None:
    decision = decide([service("web", alert(1, text, text, Labels=text, Annotations=text))])
    assert len(decision.problems) == 1
    assert yaml.safe_load(rendered(decision))["groups"][0]["rules"][0]["labels"]["service"] == "web"


def test_the_same_services_in_any_order_are_the_same_file() -> None:
    services = [service(name, {**alert(2, "b", "up"), **alert(1, "a", "up")}) for name in ("b", "a", "c")]
    assert rendered(decide(services)) == rendered(decide(services[::-1]))


def test_without_services_there_are_no_rules() -> None:
    assert yaml.safe_load(rendered(decide([]))) == {"groups": []}

"""The registry of actions is the one place where ingest and shared name them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.action import Action
from shared.actions import ACTIONS
from shared.messages import parse_request

ROOT = Path(__file__).parents[3]
NAMES = {*ACTIONS, *(action.alert_name for action in ACTIONS.values())}


def strings(module: Path) -> Iterator[str]:
    """The string constants of a module, without its docstrings' prose: whole words only are compared."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.strip("/").removeprefix("v1/").partition("?")[0]


def test_no_other_module_names_an_action_or_its_alert() -> None:
    modules = [path for room in ("ingest", "shared") for path in (ROOT / room).rglob("*.py")]
    assert len(modules) > 20
    named = {path.name for path in modules if NAMES & set(strings(path))}
    assert named == {"actions.py"}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS.keys())
def test_each_entry_agrees_with_its_model(action: Action) -> None:
    assert ACTIONS[action.name] is action
    fields = action.fields
    assert [item.name for item in action.parameters if item.name not in fields] == []
    assert action.sentences.keys() <= {item.name for item in action.parameters}
    required = {name for name, item in fields.items() if item.is_required()} - {"action"}
    assert required == action.sentences.keys()
    values = {item.name: item.example for item in action.parameters}
    assert parse_request({"action": action.name, **values}).action == action.name

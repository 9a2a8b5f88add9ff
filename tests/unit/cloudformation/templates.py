"""CloudFormation's YAML as plain values: `!Ref X` is {"Ref": "X"}, `!Sub [a, b]` is {"Sub": [a, b]}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """Knows the short forms of the intrinsic functions."""


def _tagged(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", _tagged)


def read(path: Path) -> dict[str, Any]:
    """A template."""
    parsed: dict[str, Any] = yaml.load(path.read_text(), Loader)  # a SafeLoader
    return parsed


def listed(value: Any) -> list[Any]:
    """A value that may be one or several."""
    return value if isinstance(value, list) else [value]


def statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    """A policy's statements, also those under a condition."""
    found = [one.get("If", [None, one])[1] for one in document["Statement"]]
    return [dict(one) for one in found]


def allowed(document: dict[str, Any]) -> set[str]:
    """The actions that a policy allows."""
    assert {one["Effect"] for one in statements(document)} == {"Allow"}
    return {action for one in statements(document) for action in listed(one["Action"])}

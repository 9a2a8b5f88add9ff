"""Prometheus's rule file of a decision: YAML with every text quoted, so that nothing in a label means anything."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final

import yaml

from rules.model import Decision, Problem, Rule
from rules.templates import literal

INVALID: Final = "ScalerRuleInvalid"
RUNBOOK: Final = "docs/operations.md#scalerruleinvalid"
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_HEAD: Final = "# Written by `python -m rules` from the labels of services; what is changed here is overwritten.\n"


def rendered(decision: Decision) -> str:
    """The file: a group for each service, and one of what was left out."""
    by_service = groupby(decision.rules, key=lambda rule: rule.service)
    texts = [_group(f"service {name}", map(_rule, rules)) for name, rules in by_service]
    if decision.problems:
        texts.append(_group("labels", map(_told, decision.problems)))
    return _HEAD + ('"groups":\n' + "".join(texts) if texts else '"groups": []\n')


def _group(name: str, rules: Iterable[dict[str, Any]]) -> str:
    """One group, by itself: PyYAML holds ten times a text's size while it writes it."""
    text: str = yaml.dump(
        [{"name": name, "rules": list(rules)}],
        Dumper=_DUMPER,
        default_style='"',
        default_flow_style=False,
        sort_keys=False,
        width=2**31 - 1,
        allow_unicode=True,
    )
    return text


def _rule(rule: Rule) -> dict[str, Any]:
    lasting = {"for": rule.lasting} if rule.lasting else {}
    return {
        "alert": rule.name,
        "expr": rule.expression,
        **lasting,
        "labels": dict(rule.labels),
        "annotations": dict(rule.annotations),
    }


def _told(problem: Problem) -> dict[str, Any]:
    """An alert that says what is wrong with a label, for as long as it is."""
    where = f"service {problem.service}" if problem.service else "own shortcuts"
    summary = f"Left out, {where}, {problem.alert}: {problem.reason}"
    return {
        "alert": INVALID,
        "expr": "vector(1)",
        "labels": {"service": literal(problem.service), "alert": literal(problem.alert), "severity": "warning"},
        "annotations": {"summary": literal(summary), "runbook_url": RUNBOOK},
    }

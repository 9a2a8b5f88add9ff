"""From `alertIf` to an expression with its labels and annotations: shortcuts, alone or joined, or PromQL itself."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rules.model import BadLabel, Service
from rules.promql import checked
from rules.shortcuts import Shortcut

_JOINT: Final = re.compile(r"_(and|or|unless)_(?=@)")
WHAT: Final = "alertIf"


@dataclass(frozen=True, slots=True)
class Condition:
    """When to fire, and what the alert says of itself."""

    expression: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def condition(text: str, service: Service, shortcuts: Mapping[str, Shortcut]) -> Condition:
    """What an `alertIf` stands for. Raises BadLabel."""
    wanted = text.strip()
    if not wanted.startswith("@"):
        return Condition(checked(wanted, WHAT), {"service": service.name}, {})
    first, *rest = _JOINT.split(wanted)
    parts = [_part(each, service, shortcuts) for each in (first, *rest[1::2])]
    joined = _joined(parts, rest[0::2])
    return Condition(checked(joined.expression, WHAT), joined.labels, joined.annotations)


@dataclass(frozen=True, slots=True)
class _Part:
    condition: Condition
    series: str


def _part(text: str, service: Service, shortcuts: Mapping[str, Shortcut]) -> _Part:
    """One shortcut, `@name` or `@name:value,value`."""
    name, colon, given = text.partition(":")
    shortcut = shortcuts.get(name)
    if shortcut is None:
        raise BadLabel(f"{WHAT}: {name} is no shortcut{_nearest(name, shortcuts)}")
    values = [value.strip() for value in given.split(",")] if colon else []
    if len(values) != len(shortcut.arguments) or not all(values):
        raise BadLabel(f"{WHAT}: {name} takes {_usage(shortcut)}")
    read = [each.read(value, f"{WHAT} {name}") for each, value in zip(shortcut.arguments, values, strict=True)]
    if shortcut.counts_replicas() and service.replicas is None:
        raise BadLabel(f"{WHAT}: {name} needs a number of replicas, and nobody says how many {service.name} shall have")

    def filled(texts: Mapping[str, str]) -> dict[str, str]:
        return {key: shortcut.filled(each, service.name, service.replicas, values) for key, each in texts.items()}

    expression = shortcut.filled(shortcut.expression, service.name, service.replicas, read)
    labels = {"receiver": "system", "service": service.name, **filled(shortcut.labels)}
    return _Part(Condition(expression, labels, filled(shortcut.annotations)), shortcut.series)


def _joined(parts: Sequence[_Part], words: Sequence[str]) -> Condition:
    """All parts as one, with the labels that they agree on. Precedence is PromQL's: `or` comes last."""
    if len(parts) == 1:
        return parts[0].condition
    first = parts[0]
    expression = f"({first.condition.expression})"
    summaries = [first.condition.annotations.get("summary", "")]
    for word, part in zip(words, parts[1:], strict=True):
        # Results of unlike things (a container's, a node's) share no labels to be matched by.
        apart = word != "or" and part.series != first.series
        expression += f" {word}{' on ()' if apart else ''} ({part.condition.expression})"
        summaries += [word, part.condition.annotations.get("summary", "")]
    labels = dict(first.condition.labels.items() & _common([part.condition.labels for part in parts]))
    return Condition(expression, labels, {"summary": " ".join(summaries)})


def _common(labels: Sequence[Mapping[str, str]]) -> set[tuple[str, str]]:
    return set.intersection(*(set(each.items()) for each in labels))


def _usage(shortcut: Shortcut) -> str:
    if not shortcut.arguments:
        return "no values"
    meanings = "; ".join(argument.meaning for argument in shortcut.arguments)
    example = f", as in {shortcut.example}" if shortcut.example else ""
    return f"{len(shortcut.arguments)} value(s): {meanings}{example}"


def _nearest(name: str, shortcuts: Mapping[str, Shortcut]) -> str:
    near = difflib.get_close_matches(name, shortcuts, n=1)
    return f"; do you mean {near[0]}?" if near else f"; there are {', '.join(sorted(shortcuts))}"

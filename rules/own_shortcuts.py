"""Shortcuts of the operators' own: files `alertif-*` in a folder (Docker secrets or configs), read at each look.

The format is Docker Flow Monitor's: YAML, a mapping of `@name` to `expanded`, `annotations` and `labels`, with
`{{ .Alert.ServiceName }}`, `{{ .Alert.Replicas }}` and `{{ index .Values 0 }}` filled in. Every other template is left
for Prometheus. A name that is built in too counts as the file says.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from rules.model import BadLabel, Problem
from rules.shortcuts import Argument, Shortcut
from rules.texts import label_name

PREFIX: Final = "alertif-"
_NAME: Final = re.compile(r"@[A-Za-z][A-Za-z0-9_]*")
_PLACEHOLDER: Final = re.compile(
    r"\{\{\s*(?:(?P<service>\.Alert\.ServiceName)|(?P<replicas>\.Alert\.Replicas)|index \.Values (?P<number>[0-9]))"
    r"\s*\}\}"
)
_KEYS: Final = frozenset({"expanded", "annotations", "labels"})
_LARGEST_BYTES: Final = 256 * 1024


def read(folder: Path) -> tuple[dict[str, Shortcut], list[Problem]]:
    """The shortcuts of all files, and what is wrong with files or shortcuts: each costs itself. No folder: none."""
    found: dict[str, Shortcut] = {}
    problems: list[Problem] = []
    for path in sorted(folder.glob(f"{PREFIX}*")):
        try:
            document = _document(path)
        except BadLabel as error:
            problems.append(Problem("", path.name, str(error)))
            continue
        for name, body in document.items():
            try:
                found[_named(name)] = _shortcut(body)
            except BadLabel as error:
                problems.append(Problem("", f"{path.name}: {name}", str(error)))
    return found, problems


def _document(path: Path) -> Mapping[object, object]:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise BadLabel(f"the file is larger than {_LARGEST_BYTES} bytes")
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise BadLabel(f"the file cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise BadLabel("the file is no mapping of @name to expanded, annotations and labels")
    return document


def _named(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadLabel("a shortcut's name is @ and letters, digits or _")
    return name


def _shortcut(body: object) -> Shortcut:
    if not isinstance(body, dict) or not isinstance(body.get("expanded"), str):
        raise BadLabel("it has no text `expanded`")
    unknown = sorted(str(key) for key in body.keys() - _KEYS)
    if unknown:
        raise BadLabel(f"it has {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    annotations, labels = (dict(_texts(body, key)) for key in ("annotations", "labels"))
    texts = [body["expanded"], *annotations.values(), *labels.values()]
    count = max(
        (int(match["number"]) + 1 for text in texts for match in _PLACEHOLDER.finditer(text) if match["number"]),
        default=0,
    )
    arguments = tuple(Argument(f"value {place}", _as_it_is) for place in range(count))
    filled = ({key: _ours(text) for key, text in each.items()} for each in (annotations, labels))
    return Shortcut(_ours(body["expanded"]), next(filled), arguments, "own", next(filled))


def _texts(body: Mapping[str, Any], key: str) -> Iterator[tuple[str, str]]:
    value = body.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(each, (str, int, float)) for each in value.values()):
        raise BadLabel(f"its {key} are no mapping of names to texts")
    for name, text in value.items():
        yield label_name(str(name), f"its {key}"), str(text).lower() if isinstance(text, bool) else str(text)


def _as_it_is(text: str, _what: str) -> str:
    return text.strip()


def _ours(text: str) -> str:
    """With our placeholders."""
    return _PLACEHOLDER.sub(
        lambda match: "<<S>>" if match["service"] else "<<R>>" if match["replicas"] else f"<<{match['number']}>>", text
    )

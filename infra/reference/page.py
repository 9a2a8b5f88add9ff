"""The pages: texts with marks, and what belongs between them.

A table stands between `<!-- made: NAME -->` and `<!-- end -->`. What stands there is replaced; the rest is left alone.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.reference import (
    command_line,
    http,
    metrics,
    notifications,
    reasons,
    requests,
    rooms,
    targets,
    variables,
)

DOCS = Path(__file__).parents[2] / "docs"
PAGE, ARCHITECTURE = DOCS / "reference.md", DOCS / "architecture.md"

TABLES: Mapping[str, Callable[[], str]] = {
    "routes": http.routes,
    "parameters": http.parameters,
    "codes": http.codes,
    "fields": requests.fields,
    "record": requests.record,
    "reasons": reasons.reasons,
    "notifications": notifications.notifications,
    "variables of both": variables.shared,
    "variables of ingest": variables.ingest,
    "variables of worker": variables.worker,
    "variables of rules": variables.rules,
    "metrics of ingest": metrics.ingest,
    "metrics of worker": metrics.worker,
    "metrics of rules": metrics.rules,
    "commands": command_line.commands,
    "options": command_line.options,
    "exit codes": command_line.exits,
    "variables of scaler": command_line.variables,
    "piped columns": command_line.columns,
    "targets": targets.targets,
}
ROOMS: Mapping[str, Callable[[], str]] = {"rooms of the worker": rooms.rooms}
"""What stands on the page about the architecture."""

_MARKED = re.compile(r"(?P<begin><!-- made: (?P<name>[a-z ]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The text with each table made anew. Raises KeyError for a mark that names no table."""
    made = {**TABLES, **ROOMS}
    return _MARKED.sub(lambda mark: f"{mark['begin']}{made[mark['name']]()}{mark['end']}", text)


def marks(text: str) -> list[str]:
    """The names of the tables that a text has a place for."""
    return [mark["name"] for mark in _MARKED.finditer(text)]

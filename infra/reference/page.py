"""The page: a text with marks, and what belongs between them.

A table stands between `<!-- made: NAME -->` and `<!-- end -->`. What stands there is replaced; the rest is left alone.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.reference import http, metrics, notifications, requests, targets, variables

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"

TABLES: Mapping[str, Callable[[], str]] = {
    "routes": http.routes,
    "parameters": http.parameters,
    "codes": http.codes,
    "fields": requests.fields,
    "record": requests.record,
    "notifications": notifications.notifications,
    "variables of both": variables.shared,
    "variables of ingest": variables.ingest,
    "variables of worker": variables.worker,
    "metrics of ingest": metrics.ingest,
    "metrics of worker": metrics.worker,
    "targets": targets.targets,
}

_MARKED = re.compile(r"(?P<begin><!-- made: (?P<name>[a-z ]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The text with each table made anew. Raises KeyError for a mark that names no table."""
    return _MARKED.sub(lambda mark: f"{mark['begin']}{TABLES[mark['name']]()}{mark['end']}", text)


def marks(text: str) -> list[str]:
    """The names of the tables that a text has a place for."""
    return [mark["name"] for mark in _MARKED.finditer(text)]

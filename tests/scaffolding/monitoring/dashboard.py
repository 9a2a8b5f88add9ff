"""The dashboard, read: its panels, and every query in it as Prometheus would be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

PATH: Final = Path(__file__).parents[3] / "monitoring" / "dashboard.json"
PICTURE: Final = Path(__file__).parents[3] / "docs" / "dashboard.png"
RATE: Final = "30s"
RANGE: Final = "5m"


def dashboard() -> dict[str, Any]:
    """The document."""
    found: dict[str, Any] = json.loads(PATH.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    """Those that show something; rows do not."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def titles() -> list[str]:
    """The words that a picture of it shows: its own title, and those of rows and panels."""
    return [dashboard()["title"], *(panel["title"] for panel in dashboard()["panels"])]


def queries() -> Iterator[tuple[str, str]]:
    """Each query, with where it stands: panels' and annotations'."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def ready(query: str, cluster: str) -> str:
    """With Grafana's variables filled in."""
    return query.replace("$__rate_interval", RATE).replace("$__range", RANGE).replace("$cluster", cluster)

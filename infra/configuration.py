"""`docs/configuration.md`, made from the settings classes themselves: `python -m infra.configuration` writes it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ingest.settings import IngestSettings
from rules.settings import RulesSettings
from shared.settings import Settings
from worker.settings import WorkerSettings

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"

HEAD = """\
# Configuration

Everything is read from the environment. Every variable `X` may be given as `X_FILE` instead, a path whose content is
the value, without the newline at its end (Docker secrets); both at once is an error. An empty variable counts as
absent, but for `NODE_SCALER_BACKEND`, where it means `none`. Bad configuration ends the process with exit code 2 and
one line on standard error for each problem, naming the variable.

The AWS SDK's own variables count too (`AWS_ENDPOINT_URL`, credentials, profiles, roles); its own `*_FILE` variables are
left to it. The tables below are made from the settings classes: `make docs` writes this page.
"""

SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("ingest and worker", Settings),
    ("ingest", IngestSettings),
    ("worker", WorkerSettings),
    ("rules", RulesSettings),
)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(title, cls) for title, cls in SECTIONS)])


def _section(title: str, cls: type[BaseModel]) -> str:
    inherited = set(Settings.model_fields) if issubclass(cls, Settings) and cls is not Settings else set()
    rows = [_row(name, cls.model_fields[name]) for name in cls.model_fields if name not in inherited]
    return "\n".join([f"## {title}\n", "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _row(name: str, field: Any) -> str:
    default = "required" if field.is_required() else _shown(field.default)
    return f"| `{name.upper()}` | {default} | {field.description} |"


def _shown(default: object) -> str:
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, timedelta):
        return f"`{default.total_seconds():g}`"
    return f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(page())

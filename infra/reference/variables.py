"""The variables, from the settings classes."""

from typing import Any

from pydantic import BaseModel

from infra.reference.markdown import code, table
from ingest.settings import IngestSettings
from rules.settings import RulesSettings
from shared.settings import Settings
from shared.usage import default_text
from worker.settings import WorkerSettings


def shared() -> str:
    """What both processes read."""
    return _table(Settings, set())


def ingest() -> str:
    """What only ingest reads."""
    return _table(IngestSettings, set(Settings.model_fields))


def worker() -> str:
    """What only the worker reads."""
    return _table(WorkerSettings, set(Settings.model_fields))


def rules() -> str:
    """What `rules` reads; it knows nothing of AWS."""
    return _table(RulesSettings, set())


def _table(settings: type[BaseModel], without: set[str]) -> str:
    rows = [_row(name, field) for name, field in settings.model_fields.items() if name not in without]
    return table(("variable", "default", "meaning"), rows)


def _row(name: str, field: Any) -> tuple[str, str, str]:
    default = "required" if field.is_required() else _shown(field.default)
    return code(name.upper()), default, str(field.description)


def _shown(default: object) -> str:
    text = default_text(default)
    return text if default is None else code(text)

"""The page of settings is the settings."""

import re

from infra.configuration import PAGE, page
from ingest.settings import IngestSettings
from rules.settings import RulesSettings
from worker.settings import WorkerSettings


def test_the_page_is_what_the_settings_classes_say() -> None:
    assert PAGE.read_text() == page(), "the settings have changed: run `make docs`"


def test_every_variable_stands_on_it_with_a_meaning() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| .+? \| (.+) \|$", page(), re.MULTILINE))
    names = {name.upper() for cls in (IngestSettings, WorkerSettings, RulesSettings) for name in cls.model_fields}
    assert set(rows) == names
    assert all(meaning != "None" for meaning in rows.values())

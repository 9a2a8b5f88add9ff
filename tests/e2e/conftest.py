"""One stage for each module that asks for it, with the settings that the module names; figures at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.house import Theatre
from tests.e2e.stage import Measured, Stage
from tests.real import mark


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them start processes."""
    mark(items, Path(__file__).parent)


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The embedded environment. `SETTINGS` and `WORKERS` of the module count."""
    settings = {"LEASE_SECONDS": "3", "BOOT_DELAY": "0.5", **getattr(request.module, "SETTINGS", {})}
    workers = getattr(request.module, "WORKERS", 2)
    with Stage(tmp_path_factory.mktemp("stage"), settings, workers) as stage:
        yield stage


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """A house with a crew of workers, for those who end them."""
    theatre = Theatre(lambda: tmp_path_factory.mktemp("house"))
    yield theatre
    theatre.close()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Take a figure down: it is shown in the summary at the end."""

    def note(name: str, value: object) -> None:
        request.node.user_properties.append((name, str(value)))

    return note

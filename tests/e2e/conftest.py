"""One env for each module that asks for it, with the settings that the module names; figures at the end."""

from collections.abc import Iterator

import pytest

from tests.e2e.crash_setups import CrashSetups
from tests.e2e.environment import Environment, Measured


@pytest.fixture(scope="module")
def env(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """The embedded environment. `SETTINGS` and `WORKERS` of the module count."""
    settings = {"LEASE_SECONDS": "3", "BOOT_DELAY": "0.5", **getattr(request.module, "SETTINGS", {})}
    workers = getattr(request.module, "WORKERS", 2)
    with Environment(tmp_path_factory.mktemp("env"), settings, workers) as env:
        yield env


@pytest.fixture(scope="module")
def crash_setups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashSetups]:
    """A setup with a workers of workers, for those who end them."""
    crash_setups = CrashSetups(lambda: tmp_path_factory.mktemp("setup"))
    yield crash_setups
    crash_setups.close()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Take a figure down: it is shown in the summary at the end."""

    def note(name: str, value: object) -> None:
        request.node.user_properties.append((name, str(value)))

    return note

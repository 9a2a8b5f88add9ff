"""One stage for each module that asks for it, with the settings that the module names."""

from collections.abc import Iterator

import pytest

from tests.e2e.stage import Stage


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The embedded environment. `SETTINGS` and `WORKERS` of the module count."""
    settings = {"LEASE_SECONDS": "3", "BOOT_DELAY": "0.5", **getattr(request.module, "SETTINGS", {})}
    workers = getattr(request.module, "WORKERS", 2)
    with Stage(tmp_path_factory.mktemp("stage"), settings, workers) as stage:
        yield stage

"""The browser, and a service behind it. All of these are slow, and talk to a real process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sanic import Sanic

from tests.e2e.browser.chromium import Tab, chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow, all of them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def _several_services() -> Iterator[None]:
    Sanic.test_mode = True
    yield
    Sanic.test_mode = False


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    """A browser's page of this test's own."""
    async with chromium() as found:
        yield found

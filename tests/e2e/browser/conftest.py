"""The browser, and a service behind it, in a test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.behaviour.ingest.conftest import _several_services
from tests.e2e.browser.chromium import Tab, chromium

__all__ = ["_several_services"]


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    """A browser's page of this test's own."""
    async with chromium() as found:
        yield found

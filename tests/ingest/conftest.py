"""A service for each test; Sanic allows several in one process only when told so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from sanic import Sanic

from tests.ingest.serving import Service, serving


@pytest.fixture(autouse=True, scope="session")
def _several_services() -> Iterator[None]:
    Sanic.test_mode = True
    yield
    Sanic.test_mode = False


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """With default settings."""
    async with serving() as running:
        yield running


@pytest.fixture
async def prefixed() -> AsyncIterator[Service]:
    """With a prefix and a token."""
    async with serving({"SERVER_PREFIX": "scaler", "WEBHOOK_TOKEN": "correct horse"}) as running:
        yield running

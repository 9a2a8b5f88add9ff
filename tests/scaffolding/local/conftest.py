"""What the tests of the embedded environment share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.real import mark


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones start the environment's processes."""
    mark(items, Path(__file__).parent, only="slow")


@pytest.fixture(scope="session", autouse=True)
def _no_stray_event_loop() -> None:
    """Else pytest-asyncio asks Python 3.11 for the current event loop, which makes one that nobody closes."""
    asyncio.set_event_loop(None)


class Http:
    """Asks, and gives status and what the body says."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(self, method: str, url: str, body: Any = None, data: bytes | None = None) -> tuple[int, Any]:
        given = {"data": data} if data is not None else {"json": body} if body is not None else {}
        async with self.session.request(method, url, **given) as answer:
            kind = answer.content_type
            return answer.status, await (answer.json() if kind == "application/json" else answer.text())


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield Http(session)

"""What the tests of the embedded environment share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest


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

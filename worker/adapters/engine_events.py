"""The engine's stream of events, through asyncio: an endless read has no thread, for nothing could stop one."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Self

import aiohttp
from docker.errors import DockerException

from shared.causes import cause
from shared.errors import Unavailable
from worker.adapters.engine_address import EngineAddress


@asynccontextmanager
async def subscription(
    address: EngineAddress, filters: Mapping[str, list[str]], limit: timedelta
) -> AsyncIterator[AsyncIterator[None]]:
    """One item per burst of events, subscribed from entering on. It ends when the engine goes away.

    Entering takes at most `limit`. Raises Unavailable then, and where there is no engine or it says no.
    """
    try:
        base, connector = address.reachable()
    except DockerException as error:
        raise Unavailable(f"Docker: {cause(error)}") from error
    endless = aiohttp.ClientTimeout(total=None, sock_connect=limit.total_seconds())
    async with aiohttp.ClientSession(connector=connector, timeout=endless) as session:
        try:
            async with asyncio.timeout(limit.total_seconds()):
                answer = await _subscribed(session, base, filters)
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"Docker events: {cause(error)}") from error
        try:
            yield _Bursts(answer.content)
        finally:
            answer.close()


async def _subscribed(
    session: aiohttp.ClientSession, base: str, filters: Mapping[str, list[str]]
) -> aiohttp.ClientResponse:
    """The engine answers a moment before it subscribes: `since` makes it hand out what came in between."""
    params = {"filters": json.dumps(filters), "since": str(int(time.time()) - 1)}
    answer = await session.get(f"{base}/events", params=params)
    if answer.status >= 300:
        raise Unavailable(f"Docker events: {answer.status} {(await answer.text())[:200].strip()}")
    return answer


class _Bursts:
    """Whatever has come in since the last look is one item. The filters let nothing else come in."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        try:
            come = await self._content.readany()
        except (aiohttp.ClientError, OSError):
            raise StopAsyncIteration from None
        if not come:
            raise StopAsyncIteration

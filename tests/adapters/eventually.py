"""Waiting for something that another thread or process does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], wanted: Callable[[T], bool], seconds: float = 10.0) -> T:
    """Look until what is seen is as wanted; the last look counts."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        seen = await look()
        if wanted(seen) or loop.time() > deadline:
            assert wanted(seen), seen
            return seen
        await asyncio.sleep(0.01)

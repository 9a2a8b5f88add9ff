"""Small HTTP servers and free ports on 127.0.0.1, for what only this machine may reach."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

from aiohttp import web

HOST: Final = "127.0.0.1"
# Below what kernels give to outgoing connections, which could otherwise take a port between choice and use.
_PORTS: Final = range(20_000, 32_000)
_SLICE: Final = 100


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Serve on a free port; the URL."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def free_ports() -> Iterator[int]:
    """Ports that nobody listens on. Raises OSError where there is none.

    Whoever is given one listens on it only later. So none comes twice before many others have come, and processes
    side by side draw from different ones.
    """
    while True:
        port = next(filter(_is_free, itertools.islice(_own_ports(), _SLICE)), None)
        if port is None:
            raise OSError("There is no free port")
        yield port


@cache
def _own_ports() -> Iterator[int]:
    """This process's own, over and over."""
    slices = len(_PORTS) // _SLICE
    first = _PORTS[os.getpid() % slices * _SLICE]
    return itertools.cycle(random.sample(range(first, first + _SLICE), _SLICE))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True

"""Small HTTP servers and free ports on 127.0.0.1, for what only this machine may reach."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

HOST: Final = "127.0.0.1"
# Below what kernels give to outgoing connections, which could otherwise take a port between choice and use.
_PORTS: Final = range(20_000, 32_000)
_TRIES: Final = 200


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
    """Ports that nobody listens on, each once."""
    for port in random.sample(_PORTS, _TRIES):
        if _is_free(port):
            yield port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True

"""Serving: from the listening socket to the last answer after a stop."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sanic import Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.http.constants import HTTP
from sanic.server.async_server import AsyncioServer

from ingest.app import App
from ingest.connection import Connection

GRACE = timedelta(seconds=8)
"""The longest time for answers under way, once stopping has begun."""
BACKLOG = 512

_LOOK = 0.02
_OTHER_FILES = 300


@asynccontextmanager
async def listening(app: App, listener: socket.socket) -> AsyncIterator[None]:
    """Answer requests on a bound socket until the context ends; then finish those under way."""
    server = await app.create_server(
        sock=listener, protocol=Connection, backlog=BACKLOG, return_asyncio_server=True, access_log=False
    )
    app.state.server_info.append(ApplicationServerInfo(settings={"version": HTTP.VERSION_1}))  # else: empty Alt-Svc
    assert server is not None  # noqa: S101 - it is None only on a path that Sanic has deprecated
    try:
        await server.startup()  # type: ignore[no-untyped-call]  # Sanic's
        await server.before_start()  # type: ignore[no-untyped-call]  # Sanic's
        await server.after_start()  # type: ignore[no-untyped-call]  # Sanic's
        yield
    finally:
        await _stop(server)
        Sanic.unregister_app(app)


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the first address of the host. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def make_room(connections: int) -> None:
    """Raise this process's limit of open files where it is too low for so many connections."""
    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


async def _stop(server: AsyncioServer) -> None:
    """No new connections; those without a request go at once, the others when answered or after the grace."""
    sockets: asyncio.Server | None = server.server
    if sockets is not None:
        sockets.close()
    connections: set[Any] = server.connections
    try:
        async with asyncio.timeout(GRACE.total_seconds()):
            while connections:
                for connection in list(connections):
                    connection.close_if_idle()
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        for connection in list(connections):
            connection.abort()

"""Sockets: one per engine, or one that speaks through whoever leads.

The socket of a node goes down with its machine and comes back with it; the main socket is always there.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from infra.local.engine.api import make_app
from infra.local.engine.swarm import SimulatedSwarm

_GRACE_SECONDS = 1.0


class Door:
    """The listening socket of one engine."""

    def __init__(self, protocol: web.Server, path: Path) -> None:
        self._protocol = protocol
        self._path = path
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        if self._server is None:
            self._remove_file()
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(self._protocol, str(self._path), backlog=1024)

    def slam(self) -> None:
        """Refuse new connections and cut those there are."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._remove_file()
        for connection in self._protocol.connections:
            if connection.transport is not None:
                connection.transport.abort()

    def _remove_file(self) -> None:
        self._path.unlink(missing_ok=True)

    async def follow(self, power: asyncio.Queue[bool]) -> None:
        """Open and shut with the machine."""
        while True:
            if await power.get():
                await self.open()
            else:
                self.slam()


@asynccontextmanager
async def serve(swarm: SimulatedSwarm, path: Path, node_id: str | None = None) -> AsyncIterator[None]:
    """Serve the Docker API at `path`: of that node's engine, or without a node of the leader's."""
    runner = web.AppRunner(
        make_app(swarm, node_id),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_GRACE_SECONDS,
    )
    await runner.setup()
    door = Door(_protocol(runner), path)
    await door.open()
    try:
        async with _following_power(swarm, door, node_id):
            yield
    finally:
        await runner.cleanup()
        door.slam()


def _protocol(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("the runner is not set up")
    return runner.server


@asynccontextmanager
async def _following_power(swarm: SimulatedSwarm, door: Door, node_id: str | None) -> AsyncIterator[None]:
    power: asyncio.Queue[bool] = asyncio.Queue()

    def watch(changed_id: str, alive: bool) -> None:
        if changed_id == node_id:
            power.put_nowait(alive)

    with swarm.membership.watching_power(watch):
        follower = asyncio.create_task(door.follow(power))
        try:
            yield
        finally:
            follower.cancel()

"""What leads from one network to another: connections are passed on, to the first of some addresses that takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def leading(where: str, targets: Callable[[], Iterable[str]]) -> AsyncIterator[str]:
    """An address there at which each connection leads to the first of `targets()` that takes it; `HOST:PORT`."""
    connections: set[asyncio.Task[None]] = set()

    def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(led((reader, writer), targets()))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(taken, where, 0)
    try:
        yield f"{where}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def led(near: Streams, targets: Iterable[str]) -> None:
    """What either side says goes to the other, until one of them has nothing more to say."""
    async with AsyncExitStack() as both:
        both.push_async_callback(hang_up, near[1])
        for target in targets:
            host, _, port = target.rpartition(":")
            with suppress(OSError):
                far = await asyncio.open_connection(host, int(port))
                both.push_async_callback(hang_up, far[1])
                ways = {asyncio.ensure_future(pour(near[0], far[1])), asyncio.ensure_future(pour(far[0], near[1]))}
                both.push_async_callback(asyncio.wait, ways)
                for way in ways:
                    both.callback(way.cancel)
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                return


async def pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()

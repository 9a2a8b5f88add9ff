"""`/healthz` and `/metrics`: whether the process lives, and what it counts. A standby is healthy, also without AWS."""

import socket
from contextlib import AsyncExitStack

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

log = structlog.get_logger()


def bind(port: int) -> socket.socket:
    """A socket on that port of every address. Raises OSError where it is taken."""
    return socket.create_server(("0.0.0.0", port))  # noqa: S104 - a container's own port


async def serve(stack: AsyncExitStack, registry: CollectorRegistry, listener: socket.socket) -> None:
    """Answer on a bound socket for as long as the stack lives."""
    app = web.Application()

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "OK", "message": "alive"})

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", show)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, shutdown_timeout=1).start()
    log.info("health_served", port=listener.getsockname()[1])

"""`/healthz` and `/metrics`: whether the process lives, and what it counts. A standby is healthy, also without AWS."""

from contextlib import AsyncExitStack

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from worker.metrics import Metrics

log = structlog.get_logger()


async def serve(stack: AsyncExitStack, metrics: Metrics, port: int) -> None:
    """Listen for as long as the stack lives. Raises OSError where the port is taken."""
    app = web.Application()

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "OK", "message": "alive"})

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", show)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "0.0.0.0", port, shutdown_timeout=1).start()  # noqa: S104 - a container's own port
    log.info("health_served", port=port)

"""The worker's process: reads the environment, opens the clients, runs the worker until SIGTERM or SIGINT."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from contextlib import AsyncExitStack
from datetime import timedelta

import aiohttp
import structlog

from shared import logs
from shared.alertmanager import Alertmanager
from shared.aws import open_client, open_session
from shared.clock import SystemClock
from shared.records import Layout
from shared.settings import BadConfiguration, read, sdk_secrets
from worker import health
from worker.adapters.autoscaling import AwsGroups
from worker.adapters.journal import DynamoJournal
from worker.adapters.lease import DynamoLeaseStore
from worker.adapters.sqs import POLL, SqsInbox
from worker.adapters.swarm import DockerSwarm
from worker.lifecycle import Ports, Worker
from worker.metrics import Metrics
from worker.settings import WorkerSettings

log = structlog.get_logger()

STOP_SECONDS = 8.0
"""Stopping takes at most so long: a call that changes something is awaited, then the lease is released."""


def main() -> int:
    """Run the worker. Returns the exit code: 0 after a stop, 2 where the configuration is wrong."""
    try:
        settings = read(WorkerSettings, os.environ)
        listener = open_listener(settings)
        logs.configure(settings.log_level, settings.log_format, [*settings.secrets(), *sdk_secrets(os.environ)])
        asyncio.run(run(settings, listener))
    except BadConfiguration as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def open_listener(settings: WorkerSettings) -> socket.socket | None:
    """The socket for health and metrics, if they are wanted. Raises BadConfiguration where the port is taken."""
    if not settings.worker_port:
        return None
    try:
        return health.bind(settings.worker_port)
    except OSError as error:
        problem = f"WORKER_PORT: cannot listen on {settings.worker_port} ({os.strerror(error.errno or 0)})"
        raise BadConfiguration([problem]) from error


async def run(settings: WorkerSettings, listener: socket.socket | None) -> None:
    """Open everything, work until told to stop, close everything."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        if listener is not None:
            await health.serve(stack, metrics, listener)
        ports = await open_ports(stack, settings)
        owner = f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        log.info("worker_started", owner=owner, cluster=settings.scaler_cluster)
        await until_stopped(Worker(ports, settings, SystemClock(), metrics, owner), stop)
    log.info("worker_stopped")


async def until_stopped(worker: Worker, stop: asyncio.Event) -> None:
    """Run the worker; when told to stop, let it end its calls and release the lease, for a bounded time."""
    running, stopping = asyncio.ensure_future(worker.run()), asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()
    await asyncio.wait({running}, timeout=STOP_SECONDS)
    if not running.done():
        log.error("worker_stopped_hard", reason="calls did not end in time; the lease runs out by itself")
        os._exit(0)
    if not running.cancelled():
        running.result()


async def open_ports(stack: AsyncExitStack, settings: WorkerSettings) -> Ports:
    """The real outside world."""
    clock, limit = SystemClock(), settings.call_timeout()
    session, region = open_session(), settings.aws_default_region

    async def client(service: str, read_timeout: timedelta = limit / 2, attempts: int = 2) -> object:
        return await open_client(
            stack, service, region, read_timeout=read_timeout, connections=25, attempts=attempts, session=session
        )

    dynamodb, layout = await client("dynamodb"), Layout(settings.scaler_cluster)
    # Each termination lowers the capacity by one: the SDK must not repeat it when its answer is lost.
    groups = AwsGroups(await client("autoscaling", attempts=1), await client("ec2"), limit)
    swarm = await stack.enter_async_context(DockerSwarm(settings.docker_host, limit))
    poll = await client("sqs", POLL + limit)
    return Ports(
        inbox=SqsInbox(await client("sqs"), poll, settings.sqs_queue_url, settings.sqs_dlq_url, clock, limit),
        journal=DynamoJournal(dynamodb, settings.dynamodb_table, layout, limit, clock),
        leases=DynamoLeaseStore(dynamodb, settings.dynamodb_table, layout, limit),
        groups=groups,
        change_groups=groups,
        swarm=swarm,
        change_swarm=swarm,
        alerts=await open_alerts(stack, settings),
    )


async def open_alerts(stack: AsyncExitStack, settings: WorkerSettings) -> Alertmanager | None:
    """Alertmanager, if one is configured."""
    if settings.alertmanager_address is None:
        return None
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return Alertmanager(session, settings.alertmanager_address, settings.alert_timeout)

"""The worker's process: reads the environment, opens the clients, and runs the worker until SIGTERM, or a check."""

import asyncio
import os
import socket
import sys
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import aiohttp
import structlog

from shared import health, logs
from shared.addresses import addresses
from shared.alertmanager import open_alertmanager
from shared.aws import open_client, open_session
from shared.clock import SystemClock
from shared.credentials import NoCredentials, prove, stop_event, stopped_or_lost
from shared.settings import BadConfiguration, read, sdk_secrets
from shared.table import Layout
from shared.usage import take_arguments
from worker.adapters import machines
from worker.adapters.autoscaling import AwsGroups
from worker.adapters.doctor_alerts import probe
from worker.adapters.doctor_aws import DoctorAws
from worker.adapters.journal import DynamoJournal
from worker.adapters.lease import DynamoLeaseStore
from worker.adapters.sqs import POLL, SqsInbox
from worker.adapters.swarm import DockerSwarm
from worker.doctor.examination import Examination
from worker.doctor.finding import wrong
from worker.lifecycle import Ports, Worker
from worker.metrics import Metrics
from worker.metrics.calls import Calls
from worker.settings import WorkerSettings

log = structlog.get_logger()

CHECK = "look at everything that the worker needs, change nothing, say what to do; exit 1 if something is wrong"
CHECK_PATIENCE = timedelta(seconds=10)
"""A person waits."""

USED = {"ec2": machines.USED}
"""Of the services of AWS, where it is little."""

STOP_SECONDS = 8.0
"""Stopping takes at most so long: a call that changes something is awaited, then the lease is released."""


def main() -> int:
    """Run the worker, or check what it needs.

    Returns the exit code: 0 after a stop, 1 without credentials or where a check says what to do, 2 where the
    configuration is wrong.
    """
    description = "Does what is asked of Docker Scaler."
    given = take_arguments("scaler-worker", description, WorkerSettings, sys.argv[1:], {"check": CHECK})
    try:
        settings = read(WorkerSettings, os.environ)
        level = "error" if "check" in given else settings.log_level
        logs.configure(level, settings.log_format, [*settings.secrets(), *sdk_secrets(os.environ)])
        if "check" in given:
            return asyncio.run(check(settings))
        asyncio.run(run(settings, open_listener(settings)))
    except BadConfiguration as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except NoCredentials as error:
        log.error("worker_gave_up", error=str(error))  # noqa: TRY400 - the line says all
        return 1
    return 0


async def check(settings: WorkerSettings) -> int:
    """Look at all that a worker with these settings needs, and say so line by line. Returns 1 where one is wrong."""
    async with AsyncExitStack() as stack:
        session = open_session(USED)
        try:
            await prove(session, CHECK_PATIENCE)
        except NoCredentials as error:
            sys.stdout.write(f"{wrong(f'credentials: {error}')}\n")
            return 1
        examination = await open_examination(stack, settings, session)
        good = True
        async for finding in examination.findings():
            print(finding, flush=True)  # noqa: T201 - a program for a terminal here
            good = good and finding.good
    return 0 if good else 1


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
    """Open everything, work until told to stop, close everything. Raises NoCredentials."""
    async with AsyncExitStack() as stack:
        metrics = Metrics(settings.scaler_cluster)
        if listener is not None:
            await health.serve(stack, metrics.registry, listener)
        session = open_session(USED)
        ports = measured(await open_ports(stack, settings, session), metrics.calls)
        stop = stop_event()  # from here on there is something to end; until then signals end the process at once
        owner = f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        log.info("worker_started", owner=owner, cluster=settings.scaler_cluster)
        await until_stopped(Worker(ports, settings, SystemClock(), metrics, owner), stopped_or_lost(stop, session))
    log.info("worker_stopped")


async def until_stopped(worker: Worker, stop: Coroutine[Any, Any, NoCredentials | None]) -> None:
    """Run the worker; when told to stop, let it end its calls and release the lease, for a bounded time.

    Raises NoCredentials where that is why it stopped: the lease is released, or runs out, and others go on.
    """
    running, stopping = asyncio.ensure_future(worker.run()), asyncio.ensure_future(stop)
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    lost = stopping.result() if stopping.done() else None
    stopping.cancel()
    running.cancel()
    await asyncio.wait({running}, timeout=STOP_SECONDS)
    if not running.done():
        log.error("worker_stopped_hard", reason="calls did not end in time; the lease runs out by itself")
        os._exit(0 if lost is None else 1)
    if not running.cancelled():
        running.result()
    if lost is not None:
        raise lost


async def open_examination(stack: AsyncExitStack, settings: WorkerSettings, session: Any) -> Examination:
    """What `check` looks at, by the worker's own clients."""
    limit = settings.call_timeout()

    async def client(service: str) -> Any:
        region = settings.aws_default_region
        return await open_client(stack, service, region, read_timeout=limit / 2, attempts=1, session=session)

    autoscaling, ec2 = await client("autoscaling"), await client("ec2")
    http = await stack.enter_async_context(aiohttp.ClientSession())
    swarm = DockerSwarm(settings.docker_host, limit, settings.docker_certificates())
    listed = settings.alertmanager_address
    return Examination(
        settings=settings,
        aws=DoctorAws(settings, await client("sqs"), await client("dynamodb"), autoscaling, ec2),
        groups=AwsGroups(autoscaling, ec2, limit),
        swarm=await stack.enter_async_context(swarm),
        alertmanagers={} if listed is None else {url: probe(http, url, limit) for url in addresses(listed)},
    )


async def open_ports(stack: AsyncExitStack, settings: WorkerSettings, session: Any) -> Ports:
    """The real outside world."""
    clock, limit = SystemClock(), settings.call_timeout()
    region = settings.aws_default_region

    async def client(service: str, read_timeout: timedelta = limit / 2, attempts: int = 2) -> object:
        return await open_client(
            stack, service, region, read_timeout=read_timeout, connections=25, attempts=attempts, session=session
        )

    dynamodb, layout = await client("dynamodb"), Layout(settings.scaler_cluster)
    # Each termination lowers the capacity by one: the SDK must not repeat it when its answer is lost.
    groups = AwsGroups(await client("autoscaling", attempts=1), await client("ec2"), limit)
    swarm = await stack.enter_async_context(DockerSwarm(settings.docker_host, limit, settings.docker_certificates()))
    poll = await client("sqs", POLL + limit)
    return Ports(
        inbox=SqsInbox(await client("sqs"), poll, settings.sqs_queue_url, settings.sqs_dlq_url, clock, limit),
        journal=DynamoJournal(dynamodb, settings.dynamodb_table, layout, limit, clock),
        leases=DynamoLeaseStore(dynamodb, settings.dynamodb_table, layout, limit),
        groups=groups,
        change_groups=groups,
        swarm=swarm,
        change_swarm=swarm,
        alerts=await open_alertmanager(stack, settings),
    )


def measured(ports: Ports, calls: Calls) -> Ports:
    """The same, with each call measured under the name of who is asked."""
    return Ports(
        inbox=calls.measured("sqs", ports.inbox),
        journal=calls.measured("dynamodb", ports.journal),
        leases=calls.measured("dynamodb", ports.leases),
        groups=calls.measured("autoscaling", ports.groups),
        change_groups=calls.measured("autoscaling", ports.change_groups),
        swarm=calls.measured("docker", ports.swarm),
        change_swarm=calls.measured("docker", ports.change_swarm),
        alerts=None if ports.alerts is None else calls.measured("alertmanager", ports.alerts),
    )

"""ingest's process: settings, logs, clients, then serve until told to stop."""

import asyncio
import os
import socket
import sys
from contextlib import AsyncExitStack
from typing import Any

import structlog
import uvloop

from ingest import connection, inbox, journal
from ingest.app import Parts, create_app
from ingest.bad_requests import BadRequests
from ingest.outcomes import Outcomes
from ingest.queue_counts import SqsCounts
from ingest.service import bind, listening, make_room
from ingest.settings import IngestSettings
from shared import logs
from shared.alertmanager import open_alertmanager
from shared.aws import open_client, open_session
from shared.clock import SystemClock
from shared.credentials import NoCredentials, stop_event, stopped_or_lost
from shared.settings import BadConfiguration, read, sdk_secrets
from shared.table import Layout
from shared.usage import take_arguments

_log = structlog.get_logger(__name__)


def main() -> int:
    """Run the service. Returns the exit code: 0 after a stop, 1 without credentials, 2 for a wrong configuration."""
    take_arguments("scaler-ingest", "Queues over HTTP what is asked of Docker Scaler.", IngestSettings, sys.argv[1:])
    try:
        settings = read(IngestSettings, os.environ)
        listener = _listener(settings)
        logs.configure(settings.log_level, settings.log_format, [*settings.secrets(), *sdk_secrets(os.environ)])
        make_room(connection.MOST)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, listener))
    except BadConfiguration as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except NoCredentials as error:
        _log.error("ingest_gave_up", error=str(error))
        return 1
    return 0


async def serve(settings: IngestSettings, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT. Raises NoCredentials where there have been none for too long."""
    async with AsyncExitStack() as stack:
        session = open_session()
        parts = await _open(settings, stack, session)
        stop = stop_event()  # from here on there is something to end; until then signals end the process at once
        group = await stack.enter_async_context(asyncio.TaskGroup())
        background = [group.create_task(parts.outcomes.run()), group.create_task(parts.counts.run())]
        async with listening(create_app(parts), listener):
            host, port = listener.getsockname()[:2]
            _log.info("ingest_ready", host=host, port=port)
            lost = await stopped_or_lost(stop, session)
            _log.info("ingest_stopping")
            parts.outcomes.stop()
        for task in background:
            task.cancel()
    if lost is not None:
        raise lost
    _log.info("ingest_stopped")


async def _open(settings: IngestSettings, stack: AsyncExitStack, session: Any) -> Parts:
    """The parts of the service, over clients that live as long as the stack."""
    clock = SystemClock()
    region = settings.aws_default_region
    sqs = await open_client(stack, "sqs", region, read_timeout=inbox.ATTEMPT, connections=100, session=session)
    dynamodb = await open_client(stack, "dynamodb", region, read_timeout=journal.ATTEMPT, session=session)
    records = journal.DynamoJournal(dynamodb, settings.dynamodb_table, Layout(settings.scaler_cluster))
    return Parts(
        settings=settings,
        inbox=await stack.enter_async_context(inbox.open_inbox(sqs, settings.sqs_queue_url)),
        journal=records,
        counts=SqsCounts(sqs, settings.sqs_queue_url, settings.sqs_dlq_url),
        outcomes=Outcomes(records),
        bad_requests=BadRequests(await open_alertmanager(stack, settings), clock),
        clock=clock,
    )


def _listener(settings: IngestSettings) -> socket.socket:
    try:
        return bind(settings.ingest_host, settings.ingest_port)
    except OSError as error:
        place = f"{settings.ingest_host}:{settings.ingest_port}"
        raise BadConfiguration([f"INGEST_HOST, INGEST_PORT: cannot listen on {place} ({error.strerror})"]) from error

"""The process of `rules`: reads the environment, then keeps the file true to the services until SIGTERM or SIGINT.

Plain threads and the standard library instead of asyncio: one waits for events, one answers for health, the main thread
works; aiohttp alone would be ten of the 60 MiB that the process may have. What the threads and the signal handlers have
to say goes through a SimpleQueue, whose `put` is safe in a signal handler.
"""

import os
import signal
import sys
import time
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, Literal

import structlog

from rules.engine import Engine
from rules.file import RuleFile
from rules.health import Health
from rules.metrics import Metrics
from rules.settings import RulesSettings
from rules.writer import Writer
from shared import logs
from shared.errors import Unavailable
from shared.settings import BadConfiguration, load
from shared.usage import take_arguments

log = structlog.get_logger()

POLL_SECONDS: Final = 60.0
"""How often services are read though no event came."""
RETRY_SECONDS: Final = 2.0
"""After a failure; and before events are asked for again."""
BURST_SECONDS: Final = 0.3
"""Events seldom come alone: a deployment of a stack is one reading, not twenty."""

News = SimpleQueue[Literal["changed", "stop"]]


def main() -> int:
    """Run it. Returns the exit code: 0 after a stop, 2 where the configuration is wrong."""
    take_arguments("scaler-rules", "Alert rules from the labels of services.", RulesSettings, sys.argv[1:])
    metrics = Metrics()
    try:
        settings = load(RulesSettings, os.environ)
        _refuse_tls(settings)
        file = writable(settings)
        health = listening(settings, metrics)
    except BadConfiguration as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.configure(settings.log_level, settings.log_format)
    news: News = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: news.put("stop"))
    if health is not None:
        health.begin()
    log.info("rules_started", file=str(settings.rules_file), docker=settings.docker_host)
    engine = Engine(settings.docker_host)
    Thread(target=attend, args=(engine, news), name="events", daemon=True).start()
    run(Writer(engine, file, settings.alertif_folder, metrics), news)
    log.info("rules_stopped")
    return 0


def _refuse_tls(settings: RulesSettings) -> None:
    """Raise BadConfiguration rather than talk in clear where somebody asks for TLS."""
    if os.environ.get("DOCKER_TLS_VERIFY") and not settings.docker_host.startswith("unix:"):
        raise BadConfiguration(["DOCKER_TLS_VERIFY: not supported; give rules a read-only socket (stacks/monitor.yml)"])


def writable(settings: RulesSettings) -> RuleFile:
    """The file. Raises BadConfiguration where it could not be written."""
    file = RuleFile(settings.rules_file)
    try:
        file.check()
    except OSError as error:
        problem = f"RULES_FILE: cannot write into {settings.rules_file.parent} ({os.strerror(error.errno or 0)})"
        raise BadConfiguration([problem]) from error
    return file


def listening(settings: RulesSettings, metrics: Metrics) -> Health | None:
    """Health and metrics, if they are wanted. Raises BadConfiguration where the port is taken."""
    if not settings.rules_port:
        return None
    try:
        return Health(settings.rules_port, metrics.registry)
    except OSError as error:
        problem = f"RULES_PORT: cannot listen on {settings.rules_port} ({os.strerror(error.errno or 0)})"
        raise BadConfiguration([problem]) from error


def attend(engine: Engine, news: News) -> None:
    """Say when something has changed, for as long as the process lives."""
    while True:
        try:
            for _ in engine.changes():
                news.put("changed")
        except Unavailable as error:
            log.warning("events_unavailable", error=str(error))
        time.sleep(RETRY_SECONDS)  # the process does not wait for this thread when it stops


def run(writer: Writer, news: News) -> None:
    """Look at once, after each change, and now and then; until told to stop."""
    while True:
        done = writer.look()
        if _stopped(news, POLL_SECONDS if done else RETRY_SECONDS):
            return


def _stopped(news: News, patience: float) -> bool:
    """Wait for news, and for what comes with them. Whether the news is to stop."""
    try:
        if news.get(timeout=patience) == "stop":
            return True
        until = time.monotonic() + BURST_SECONDS
        while (left := until - time.monotonic()) > 0:
            if news.get(timeout=left) == "stop":
                return True
    except Empty:
        pass
    return False

"""`make bench`'s rows about ingest alone: one process under load, beside a stub of SQS that takes its time.

SQS_SECONDS sets how long the stub takes for a send. CPU is what ingest's process used, by the kernel's count: unlike
rates and times it hardly depends on what else the machine does. The callers are this process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from infra.local import children
from infra.local.callers import Heard, call
from infra.local.children import Child
from infra.local.figures import Figures
from infra.local.loopback import HOST, free_ports
from infra.local.stub_sqs import QUEUE_PATH, StubSqs, stub_sqs
from infra.local.surroundings import inherited

SQS_SECONDS: Final = 0.01
ROUNDS: Final = 3
WARM: Final = 500
ROUND: Final[Mapping[int, int]] = {1: 200, 8: 1_000, 64: 4_000}
"""Connections, and POSTs of one round over them."""
_PATH: Final = "/v1/scale-nodes?scale=up&type=worker"
_BODY: Final = b'{"groupLabels": {"scale": "up"}}'
_MIB: Final = 2**20
_TICKS: Final = os.sysconf("SC_CLK_TCK")


async def load_ingest(figures: Figures, logs: Path, environ: Mapping[str, str]) -> None:
    """Take all figures down. Raises SetUpFailed, and RuntimeError where a POST was not answered 202."""
    seconds = float(environ.get("SQS_SECONDS") or SQS_SECONDS)
    async with stub_sqs(seconds) as stub, _ingest(stub, logs, environ) as ingest:
        await _posts(ingest, connections=8, times=WARM)
        for _ in range(ROUNDS):
            alone = await _round(figures, stub, ingest, 1)
            await _round(figures, stub, ingest, 8)
            many = await _round(figures, stub, ingest, 64)
            pings = await call(str(ingest.url), "/v1/ping", b"", connections=64, times=ROUND[64], method="GET")
            figures.note("64 connections, in times of one", many.rate / alone.rate, unit="x", more_is_better=True)
            figures.note("64 connections: p99 in round trips to SQS", many.slowest_of(0.99) / seconds, unit="x")
            accepted = many.rate / pings.rate
            figures.note("64 connections, in times of a bare route", accepted, unit="x", more_is_better=True)
        figures.note("ingest: resident after all that", resident(ingest.pid), unit="MiB")


async def _round(figures: Figures, stub: StubSqs, ingest: Child, connections: int) -> Heard:
    times, calls, used = ROUND[connections], stub.calls, cpu_seconds(ingest.pid)
    heard = await _posts(ingest, connections=connections, times=times)
    what = f"{connections} connection{'s' if connections > 1 else ''}"
    figures.note(f"{what}: POSTs accepted a second", heard.rate, unit="/s", more_is_better=True)
    figures.note(f"{what}: p99", heard.slowest_of(0.99))
    figures.note(f"{what}: CPU a POST", (cpu_seconds(ingest.pid) - used) / times * 1000, unit="ms")
    figures.note(f"{what}: calls of SQS a POST", (stub.calls - calls) / times, unit="")
    return heard


async def _posts(ingest: Child, *, connections: int, times: int) -> Heard:
    heard = await call(str(ingest.url), _PATH, _BODY, connections=connections, times=times)
    if set(heard.codes) != {202}:
        raise RuntimeError(f"not all POSTs were accepted: {dict(heard.codes)}")
    return heard


@asynccontextmanager
async def _ingest(stub: StubSqs, logs: Path, environ: Mapping[str, str]) -> AsyncIterator[Child]:
    """The process, listening."""
    port = next(free_ports())
    own = {
        "AWS_ENDPOINT_URL": stub.url,
        "AWS_DEFAULT_REGION": "ca-west-1",
        "AWS_ACCESS_KEY_ID": "AKIALOCALSCALER00001",
        "AWS_SECRET_ACCESS_KEY": "local-secret-key",
        "SQS_QUEUE_URL": f"{stub.url}{QUEUE_PATH}",
        "DYNAMODB_TABLE": "nobody-reads-it",
        "INGEST_PORT": str(port),
    }
    log = logs / "ingest-under-load.log"
    log.unlink(missing_ok=True)
    ingest = await children.start("ingest", "ingest", inherited(environ) | own, log, f"http://{HOST}:{port}")

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await children.until(listens, [ingest], "An ingest that listens", 30.0)
        yield ingest
    finally:
        await children.stop([ingest])


@asynccontextmanager
async def busy(number: int) -> AsyncIterator[None]:
    """Processes that do nothing but use a processor each."""
    loops = [await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass") for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            await loop.wait()


def cpu_seconds(pid: int) -> float:
    """What a process has used, in user and in system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident(pid: int) -> float:
    """A process's resident memory, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB

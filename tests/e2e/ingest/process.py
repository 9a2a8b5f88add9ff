"""`python -m ingest` as a process of its own, against an emulated AWS."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.processes import Process
from tests.waiting import until

READY_WITHIN = 20.0


@dataclass(frozen=True)
class Ingest:
    """A running process, and the port that it has found for itself."""

    process: Process
    port: int

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """One request: its status, and its answer, read as JSON where it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        return response.status, json.loads(text) if text.startswith("{") else text

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop; its exit code."""
        return self.process.ends(number, 15)[0]

    @property
    def log(self) -> str:
        return self.process.log.read_text()


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment of its own: nothing of ours but where programs are."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {**kept, **environ}


@contextmanager
def started(environ: Mapping[str, str]) -> Iterator[Ingest]:
    """The process, ready; killed at the end if it is still there."""
    settings = clean({"INGEST_HOST": "127.0.0.1", "INGEST_PORT": "0", **environ})
    with (
        tempfile.TemporaryDirectory() as folder,
        Process.started("ingest", settings, Path(folder) / "log", 0) as process,
    ):
        ready = until(lambda: _ready(process), "a ready ingest", READY_WITHIN)
        yield Ingest(process, json.loads(ready)["port"])


def _ready(process: Process) -> str | None:
    """The line of the log that says so."""
    process.assert_alive()
    return next((line for line in process.log.read_text().splitlines() if "ingest_ready" in line), None)


def ended(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a process that ends by itself."""
    command = [sys.executable, "-m", "ingest", *arguments]
    done = subprocess.run(command, env=clean(environ), capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stderr

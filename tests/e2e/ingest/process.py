"""`python -m ingest` as a process of its own, against an emulated AWS."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

READY_WITHIN = 20.0


@dataclass
class Ingest:
    """A running process. `lines` is its log so far."""

    process: subprocess.Popen[str]
    ready_after: float = 0.0
    port: int = 0
    lines: list[str] = field(default_factory=list)
    _reader: threading.Thread | None = None

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

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop; its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = 15) -> int:
        code = self.process.wait(seconds)
        if self._reader is not None:
            self._reader.join(5)
        return code

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def read_log(self) -> None:
        """Wait for the line that says it is ready, then go on reading on a thread."""
        began, stderr = time.monotonic(), self.process.stderr
        assert stderr is not None
        while not self.port and time.monotonic() - began < READY_WITHIN:
            line = stderr.readline()
            assert line, f"it ended: {self.log}"
            self.lines.append(line)
            if "ingest_ready" in line:
                self.port = json.loads(line)["port"]
        self.ready_after = time.monotonic() - began
        self._reader = threading.Thread(target=lambda: self.lines.extend(stderr), daemon=True)
        self._reader.start()


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment of its own: nothing of ours but where programs are."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {**kept, **environ}


@contextmanager
def started(environ: Mapping[str, str]) -> Iterator[Ingest]:
    """The process, ready; killed at the end if it is still there."""
    settings = {"INGEST_HOST": "127.0.0.1", "INGEST_PORT": "0", **environ}
    with subprocess.Popen(
        [sys.executable, "-m", "ingest"], env=clean(settings), stderr=subprocess.PIPE, text=True
    ) as it:
        ingest = Ingest(it)
        try:
            ingest.read_log()
            yield ingest
        finally:
            if it.poll() is None:
                it.terminate()
                ingest.wait()


def ended(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a process that ends by itself."""
    command = [sys.executable, "-m", "ingest", *arguments]
    done = subprocess.run(command, env=clean(environ), capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stderr

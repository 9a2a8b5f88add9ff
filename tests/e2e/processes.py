"""One process of ours, started with an environment of its own, watched from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psutil
import requests

from infra.local import tether

_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Process:
    """`python -m MODULE`."""

    module: str
    url: str
    log: Path
    popen: subprocess.Popen[bytes]
    began: float
    access_key: str
    """Its own, unless its settings said otherwise: what it asks of AWS is known by it."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    def text(self, path: str) -> str:
        """What it answers with 200; nothing else."""
        try:
            answer = requests.get(self.url + path, timeout=3, proxies={"no_proxy": "*"})
        except requests.RequestException:
            return ""
        return answer.text if answer.status_code == 200 else ""

    def is_ready(self) -> bool:
        """ingest: SQS answers, or it wants a token; worker: it answers for its health."""
        self.assert_alive()
        if self.module == "worker":
            return bool(self.text("/healthz"))
        try:
            return requests.get(f"{self.url}/readyz", timeout=3).status_code in {200, 401}
        except requests.RequestException:
            return False

    def is_active(self) -> bool:
        """Whether it holds the lease."""
        self.assert_alive()
        return "scaler_active 1.0" in self.text("/metrics")

    def assert_alive(self) -> None:
        """A process that has ended says why in its log."""
        assert self.popen.poll() is None, self.log.read_text()[-3000:]

    def resident_mib(self) -> float:
        """Its resident memory."""
        return float(psutil.Process(self.pid).memory_info().rss) / _MIB

    def ends(self, number: signal.Signals, within: float = 30.0) -> tuple[int, float]:
        """Send a signal: its exit code, and the seconds it took."""
        began = time.monotonic()
        self.popen.send_signal(number)
        return self.popen.wait(within), time.monotonic() - began

    def kill(self) -> None:
        """As a crash ends it."""
        self.popen.kill()
        self.popen.wait(10)

    @classmethod
    @contextmanager
    def started(cls, module: str, environ: Mapping[str, str], log: Path, port: int) -> Iterator[Self]:
        """Start it; at the end it is killed. It ends with us, too, however we end."""
        command = [sys.executable, "-S", tether.__file__, sys.executable, "-m", module]
        began = time.monotonic()
        with log.open("wb") as output:
            popen = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        process = cls(module, f"http://127.0.0.1:{port}", log, popen, began, environ.get("AWS_ACCESS_KEY_ID", ""))
        try:
            yield process
        finally:
            process.kill()

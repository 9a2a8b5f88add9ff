"""`python -m rules` as a process, over the simulated Swarm's socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import requests
import yaml

from infra.local.loopback import free_ports

PATIENCE: Final = 20.0
LOOK: Final = threading.Event()
"""Never set: what to wait on between two looks."""


def until(true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something that has to come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} never came"
        LOOK.wait(0.02)


class Rules:
    """A running one."""

    def __init__(self, folder: Path, docker_host: str, **more: str) -> None:
        self.file = folder / "services" / "rules.yml"
        self.file.parent.mkdir(exist_ok=True)
        self.port = next(free_ports())
        self.log = folder / "rules.log"
        given = {"DOCKER_HOST": docker_host, "RULES_FILE": str(self.file), "RULES_PORT": str(self.port)}
        environ = {"PATH": os.environ["PATH"], "ALERTIF_FOLDER": str(folder), **given, **more}
        self.began = time.monotonic()
        with self.log.open("ab") as output:
            command = [sys.executable, "-m", "rules"]
            self.popen = subprocess.Popen(command, env=environ, stdout=output, stderr=output)

    def groups(self) -> dict[str, list[dict[str, Any]]]:
        """The rules of each group; empty while there is no file."""
        if not self.file.exists():
            return {}
        groups = yaml.load(self.file.read_text(), yaml.CSafeLoader)["groups"]
        return {group["name"]: group["rules"] for group in groups}

    def says(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of an event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def page(self, path: str) -> tuple[int, str]:
        """What it answers."""
        answer = requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, proxies={"no_proxy": "*"})
        return answer.status_code, answer.text

    def metric(self, name: str) -> float:
        """One of its metrics."""
        lines = [line for line in self.page("/metrics")[1].splitlines() if line.startswith(f"{name} ")]
        return float(lines[0].rpartition(" ")[2])

    def processor_seconds(self) -> float:
        """What it has used of a processor."""
        times = psutil.Process(self.popen.pid).cpu_times()
        return float(times.user + times.system)

    def resident_mib(self) -> float:
        """Its memory."""
        return float(psutil.Process(self.popen.pid).memory_info().rss) / 2**20


@contextmanager
def started(folder: Path, docker_host: str, **more: str) -> Iterator[Rules]:
    """Start it; at the end it is killed."""
    rules = Rules(folder, docker_host, **more)
    try:
        yield rules
    finally:
        rules.popen.kill()
        rules.popen.wait(10)

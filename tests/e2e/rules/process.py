"""`python -m rules` as a process, over the simulated Swarm's socket."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests
import yaml

from infra.local.loopback import free_ports
from tests.e2e.processes import Process


class Rules(Process):
    """A running one. Its log lies beside the files of its shortcuts."""

    @property
    def file(self) -> Path:
        """What it writes."""
        return self.log.parent / "services" / "rules.yml"

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
        answer = requests.get(f"{self.url}{path}", timeout=5, proxies={"no_proxy": "*"})
        return answer.status_code, answer.text

    def metric(self, name: str) -> float:
        """One of its metrics."""
        lines = [line for line in self.page("/metrics")[1].splitlines() if line.startswith(f"{name} ")]
        return float(lines[0].rpartition(" ")[2])

    def processor_seconds(self) -> float:
        """What it has used of a processor."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def started(folder: Path, docker_host: str, **more: str) -> Iterator[Rules]:
    """Start it; at the end it is killed."""
    (folder / "services").mkdir(exist_ok=True)
    port, file = next(free_ports()), folder / "services" / "rules.yml"
    given = {"DOCKER_HOST": docker_host, "RULES_FILE": str(file), "RULES_PORT": str(port)}
    environ = {"PATH": os.environ["PATH"], "ALERTIF_FOLDER": str(folder), **given, **more}
    with Rules.started("rules", environ, folder / "rules.log", port) as rules:
        yield rules

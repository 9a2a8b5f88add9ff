"""What stacks/monitor.yml would run, as Debian's programs: Prometheus and Alertmanager on the stack's own files.

Rules, thresholds, routes and times are the stack's. Targets are a file, since tasks with a host network have no address
that Prometheus could find them by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from infra.lab import commands
from infra.lab.machine import Machine
from infra.lab.places import EXPORTER_PORT
from infra.local import children
from infra.local.children import Child
from infra.local.loopback import HOST, free_ports
from tests.infra.test_stacks import STACKS, rendered
from tests.infra.tutorial import TOKEN

WORKER_PORT: Final = 8081


class StackMonitoring:
    """Both programs. `start`, then `watch` the machines as they come and go."""

    def __init__(self, folder: Path, alertmanager: str, secrets: Mapping[str, str]) -> None:
        """`alertmanager`: HOST:PORT where it is to listen; `secrets`: the stack's, by name."""
        self.folder = folder
        self.prometheus: Child | None = None
        self._alertmanager, self._secrets = alertmanager, secrets
        self._settings: dict[str, str] = {}
        self._running: list[Child] = []

    async def start(self, settings: Mapping[str, str], ingest: str) -> None:
        """`settings`: the environment of the service `prometheus`; `ingest`: a URL."""
        self._settings = dict(settings)
        token = self.folder / TOKEN
        token.write_text(self._secrets[TOKEN])
        routes = self._secrets["alertmanager_config"].replace("http://ingest:8080", ingest)
        (self.folder / "alertmanager.yml").write_text(routes.replace(f"/run/secrets/{TOKEN}", str(token)))
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(self._scraping()))
        own = [f"--config.file={self.folder}/alertmanager.yml", f"--storage.path={self.folder}/silences"]
        listening = ["--cluster.listen-address=", f"--web.listen-address={self._alertmanager}"]
        command = ["prometheus-alertmanager", *own, *listening]
        self._running = [await commands.start("alertmanager", command, self.folder / "alertmanager.log")]
        await self._start_prometheus()

    async def set(self, name: str, value: str) -> None:
        """As `docker service update --env-add` does: Prometheus starts again, with its rules rendered anew."""
        self._settings[name] = value
        await self._end_prometheus()
        await self._start_prometheus()

    async def stop(self) -> None:
        """End both."""
        await self._end_prometheus()
        await children.stop(self._running)

    def watch(self, machines: Iterable[Machine]) -> None:
        """Scrape these. Prometheus sees the file change."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "targets.json"
        path.with_suffix(".new").write_text(json.dumps(list(_targets([one for one in machines if one.alive]))))
        path.with_suffix(".new").replace(path)

    def _scraping(self) -> dict[str, Any]:
        parsed: dict[str, Any] = yaml.safe_load((STACKS / "prometheus/prometheus.yml").read_text())
        targets = {"job_name": "swarm", "file_sd_configs": [{"files": [str(self.folder / "targets.json")]}]}
        return {
            **parsed,
            "rule_files": [str(self.folder / "rules.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self._alertmanager]}]}]},
            "scrape_configs": [targets],
        }

    async def _start_prometheus(self) -> None:
        (self.folder / "rules.yml").write_text(rendered(STACKS / "prometheus/rules.yml", self._settings))
        own = [f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/measured"]
        command = ["prometheus", *own, f"--web.listen-address={HOST}:{next(free_ports())}"]
        self.prometheus = await commands.start("prometheus", command, self.folder / "prometheus.log")

    async def _end_prometheus(self) -> None:
        if self.prometheus is not None:
            await children.stop([self.prometheus])


def _targets(alive: list[Machine]) -> Iterator[dict[str, Any]]:
    for role in ("manager", "worker"):
        addresses = [f"{one.address}:{EXPORTER_PORT}" for one in alive if one.role == role]
        yield {"targets": addresses, "labels": {"job": f"node-exporter-{role}"}}
    workers = [f"{one.address}:{WORKER_PORT}" for one in alive if one.role == "manager"]
    yield {"targets": workers, "labels": {"job": "worker"}}
